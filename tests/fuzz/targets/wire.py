"""W1: every class that is encoded by itself, decoded from anything: the value of this encoding, or MalformedMessage.

The first byte of an input chooses the class.
"""

import random
from collections.abc import Callable, Hashable, Sequence
from functools import cache, partial
from typing import Final, TypeAlias, cast

from node.artifacts.service import ArtifactRequest, ChunkListRequest, ChunkRangeRequest
from node.services import BlocksRequest, BodyRequest, Progress, SyncRequest
from node.worker import messages as pipe
from protocol.blocks import Block
from protocol.codec import decode, decode_union, encode, encode_union
from protocol.errors import MalformedMessage
from protocol.evidence import Evidence
from protocol.export import ExportedBlock, ExportFrame, ExportTrailer
from protocol.genesis import Genesis
from protocol.gossip import Topic
from protocol.interface import FinalizedBlock
from protocol.journal import BlockRecord, CertificateRecord, OwnProposalRecord, OwnVoteRecord, Record
from protocol.ledger.state import LedgerState
from protocol.messages import Certificates, ConsensusMessage, OperationMessage, Proposal, Votes
from protocol.operations import Operation
from protocol.outcomes import BlockOutcome
from protocol.units import Digest, Height, Ppm, View
from protocol.votes import VoteContent
from tests.fuzz.msgpack_mutation import make_msgpack_mutator
from tests.fuzz.recording import record
from tests.fuzz.target import Mutator, Target
from tests.values import make_digest, make_equivocation

BYTES_MAX: Final = 1 << 20

_Codec: TypeAlias = tuple[Callable[[bytes], object], Callable[[object], bytes]]


def _of_class(kind: type) -> _Codec:
    return partial(decode, kind, bytes_max=BYTES_MAX), encode


def _of_union(union: Hashable) -> _Codec:
    return partial(decode_union, union, bytes_max=BYTES_MAX), lambda value: encode_union(value, union)


CODECS: Final[dict[str, _Codec]] = {
    "consensus message": _of_union(ConsensusMessage),
    "operation message": _of_class(OperationMessage),
    "operation": _of_class(Operation),
    "block": _of_class(Block),
    "final block": _of_class(FinalizedBlock),
    "vote content": _of_class(VoteContent),
    "evidence": _of_union(Evidence),
    "record": _of_union(Record),
    "genesis": _of_class(Genesis),
    "state": _of_class(LedgerState),
    "outcome": _of_class(BlockOutcome),
    "export frame": _of_union(ExportFrame),
    "sync request": _of_union(SyncRequest),
    "progress": _of_class(Progress),
    "artifact request": _of_union(ArtifactRequest),
    "worker request": _of_union(pipe.Request),
    "worker reply": _of_union(pipe.Reply),
}
NAMES: Final = tuple(CODECS)


def run(data: bytes) -> None:
    """Decode, and encode again what came out."""
    if not data:
        return
    decode_one, encode_one = CODECS[NAMES[data[0] % len(NAMES)]]
    try:
        value = decode_one(data[1:])
    except MalformedMessage:
        return
    assert encode_one(value) == data[1:], "two encodings of one value"


def _make_values() -> dict[str, Sequence[object]]:
    run_of = record()
    messages = [
        cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=BYTES_MAX))
        for message in run_of.get_messages(Topic.CONSENSUS)
    ]
    proposals = [message for message in messages if isinstance(message, Proposal)]
    votes = [vote for message in messages if isinstance(message, Votes) for vote in message.votes]
    certificates = [proposal.parent_certificate for proposal in proposals if proposal.parent_certificate is not None]
    envelopes = [
        decode(OperationMessage, message, bytes_max=BYTES_MAX) for message in run_of.get_messages(Topic.OPERATIONS)
    ]
    final = [entry.finalized for entry in run_of.blocks]
    vote = votes[0]
    return {
        "consensus message": [*messages[::8], Certificates(certificates=tuple(certificates[:3]), attempt=1)],
        "operation message": envelopes,
        "operation": [decode(Operation, envelope.operation, bytes_max=BYTES_MAX) for envelope in envelopes],
        "block": [entry.block for entry in final[:4]],
        "final block": final[:4],
        "vote content": [VoteContent(epoch=vote.epoch, kind=vote.kind, view=vote.view, block_hash=vote.block_hash)],
        "evidence": [make_equivocation(run_of.chain_id, run_of.keys[1].key, View(3))],
        "record": [
            *run_of.records,
            OwnVoteRecord(vote=vote),
            OwnProposalRecord(proposal=proposals[-1]),
            BlockRecord(block=final[3].block),
            CertificateRecord(certificate=certificates[0]),
        ],
        "genesis": [run_of.genesis],
        "state": [run_of.states[0], run_of.states[5], run_of.states[-1]],
        "outcome": [entry.outcome for entry in run_of.blocks[:8]],
        "export frame": [
            ExportedBlock(block=final[0].block, certificate=final[0].certificate, outcome=run_of.blocks[0].outcome),
            ExportTrailer(height=Height(0), block_count=0, tip_hash=run_of.chain_id, state_root=run_of.chain_id),
        ],
        "progress": [Progress(height=Height(5), view=View(6), votes=(vote,))],
        **_make_requests(),
    }


def _make_requests() -> dict[str, Sequence[object]]:
    digest = make_digest("asked for")
    return {
        "sync request": [BlocksRequest(from_height=Height(7)), BodyRequest(block_hash=digest)],
        "artifact request": [
            ChunkListRequest(digest=digest),
            ChunkRangeRequest(digest=digest, first_index=2, count=8),
        ],
        "worker request": [
            pipe.TrainModel(round_number=3, base="/models/base", update="/updates/own"),
            pipe.AggregateUpdates(
                base="base", updates=(pipe.UpdateSource(path="one", scale_exponents=(-20, -21)),), candidate="made"
            ),
            pipe.ScreenUpdate(base="base", update=pipe.UpdateSource(path="one", scale_exponents=(-23, -24))),
        ],
        "worker reply": [
            pipe.ModelTrained(scale_exponents=(-20,), example_count=9, train_ms=12),
            pipe.UpdatesAggregated(digest=Digest(digest)),
            pipe.ModelEvaluated(score=Ppm(999)),
            pipe.RequestFailed(kind="ValueError", message="no such file"),
        ],
    }


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return encodings of every class, each behind the byte that chooses it."""
    pairs = [(name, value) for name, values in _make_values().items() for value in values]
    return tuple(bytes([NAMES.index(name)]) + CODECS[name][1](value) for name, value in pairs)


@cache
def _get_mutator() -> Mutator:
    return make_msgpack_mutator([seed[1:] for seed in make_seeds()])


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change the encoding, and seldom the class that it is read as."""
    kind = bytes([chance.randrange(len(NAMES))]) if chance.random() < 0.02 else data[:1]
    return kind + _get_mutator()(data[1:], chance)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate, input_bytes_max=1 << 20)
