"""W5, W6: what members may ask of a node: blocks, progress and artifacts; MalformedMessage or a bounded answer.

The first byte of an input chooses the service. The database and the artifacts behind them are real ones.
"""

import random
from functools import cache
from typing import Final

from node.artifacts.service import ArtifactService, ChunkListRequest, ChunkRangeRequest, encode_artifact_request
from node.blocking import run_inline
from node.ports import RequestHandler
from node.services import BlocksRequest, BodyRequest, Progress, StatusService, SyncService, encode_sync_request
from protocol.blocks import Block, compute_block_hash
from protocol.errors import MalformedMessage
from protocol.units import Digest, Height, View
from tests.fuzz.driving import drive, hush_logs
from tests.fuzz.msgpack_mutation import make_msgpack_mutator
from tests.fuzz.real_stores import open_artifacts, open_ledger
from tests.fuzz.recording import record
from tests.fuzz.target import Mutator, Target
from tests.values import make_digest

ANSWER_BYTES_MAX: Final = 8 << 20
"""No service answers one request with more."""


@cache
def _make_handlers() -> tuple[RequestHandler, ...]:
    hush_logs()
    run_of = record()
    store, _ = open_artifacts()
    bodies: dict[Digest, Block] = {
        compute_block_hash(run_of.chain_id, entry.finalized.block.header): entry.finalized.block
        for entry in run_of.blocks
    }
    return (
        SyncService(open_ledger(), bodies.get).handle,
        ArtifactService(store, run_blocking=run_inline).handle,
        StatusService(lambda _member: Progress(height=Height(3), view=View(4), votes=())).handle,
    )


def run(data: bytes) -> None:
    """Ask one service."""
    if not data:
        return
    handlers = _make_handlers()
    answered = 0

    async def send(frame: bytes) -> None:
        nonlocal answered
        answered += len(frame)

    try:
        drive(handlers[data[0] % len(handlers)](record().keys[1].key.member, data[1:], send))  # type: ignore[arg-type]
    except MalformedMessage:
        assert answered == 0, "a malformed request was answered"
    assert answered <= ANSWER_BYTES_MAX, f"an answer of {answered} bytes"


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return true requests to each service."""
    known = compute_block_hash(record().chain_id, record().blocks[2].finalized.block.header)
    artifact = open_artifacts()[1].digest
    return (
        b"\x00" + encode_sync_request(BlocksRequest(from_height=Height(1))),
        b"\x00" + encode_sync_request(BlocksRequest(from_height=Height(20))),
        b"\x00" + encode_sync_request(BodyRequest(block_hash=known)),
        b"\x01" + encode_artifact_request(ChunkListRequest(digest=artifact)),
        b"\x01" + encode_artifact_request(ChunkListRequest(digest=make_digest("elsewhere"))),
        b"\x01" + encode_artifact_request(ChunkRangeRequest(digest=artifact, first_index=0, count=3)),
        b"\x02",
    )


@cache
def _get_mutator() -> Mutator:
    return make_msgpack_mutator([seed[1:] for seed in make_seeds()])


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change the request."""
    return data[:1] + _get_mutator()(data[1:], chance)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate, input_bytes_max=1_024)
