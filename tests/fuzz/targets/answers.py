"""C10, C14, W6: what members answer when this node asks for blocks, progress, artifacts and its own votes.

An input is an array: what is asked for, and a list of answers, each a list of frames or how a request fails. Whatever
comes, the asker goes on; what it takes has been checked, and whoever lies is charged for it.
"""

import shutil
from functools import cache
from typing import Final, cast

import msgpack
import trio

from node.artifacts.fetcher import ArtifactFetcher
from node.artifacts.store import ArtifactStore
from node.blocking import run_inline
from node.catchup import BlockFetcher
from node.errors import PeerMisbehaved, PeerUnreachable
from node.inbox import Inbox
from node.ports import PeerStatus, ReceiveFrame, Service, Transport
from node.services import Progress
from node.timings import Timings
from node.witnesses import WitnessAsker
from protocol.blocks import compute_block_hash
from protocol.chunks import ArtifactHasher
from protocol.codec import encode
from protocol.genesis import FIRST_EPOCH
from protocol.interface import BlockFetched, BlocksFetched, WitnessHeard
from protocol.units import Digest, Height, MemberId, Millis, View
from protocol.votes import VoteKind, check_vote, sign_vote
from tests.fuzz.driving import hush_logs, make_scratch, run_virtually
from tests.fuzz.msgpack_mutation import make_msgpack_mutator, parse
from tests.fuzz.recording import ABSENT, record
from tests.fuzz.target import MIB, Target

MEMBERS: Final = (MemberId(bytes([1] * 32)), MemberId(bytes([2] * 32)))
PATIENCE_S: Final = 120.0
ARTIFACT: Final = b"a model, as far as anybody can tell from outside" * 20
CHARGES_MAX: Final = 100_000


class LyingTransport:
    """Two members that answer as the input says, and with nothing once that is used up."""

    def __init__(self, answers: list[object]) -> None:
        self.charged = 0
        self._answers = answers

    def get_peers(self) -> tuple[PeerStatus, ...]:
        return tuple(
            PeerStatus(
                member=member,
                is_connected=True,
                addresses=(),
                bytes_received=0,
                bytes_sent=0,
                score=0,
                round_trip_ms=None,
            )
            for member in MEMBERS
        )

    def lower_score(self, _member: MemberId, *, by: int) -> None:
        self.charged += by

    async def request(
        self, _member: MemberId, _service: Service, _request: bytes, receive: ReceiveFrame, *, timeout_ms: Millis
    ) -> None:
        await trio.sleep(0.01)
        match self._answers.pop(0) if self._answers else None:
            case list(frames):
                for frame in frames:
                    await receive(frame if isinstance(frame, bytes) else b"")
            case True:
                raise PeerMisbehaved("it sent a frame over the limit")
            case False:
                await trio.sleep(timeout_ms / 1_000)
                raise PeerUnreachable("it is too slow")
            case _:
                return


def run(data: bytes) -> None:
    """Ask for something and be answered with this."""
    match parse(data):
        case [int(asked), list(answers)]:
            pass
        case _:
            return
    hush_logs()
    transport = LyingTransport(list(answers))
    ask = (_fetch_blocks, _fetch_artifact, _ask_witnesses)[asked % 3]
    run_virtually(lambda: ask(transport))
    assert transport.charged <= CHARGES_MAX, "somebody was charged again and again for the same"


async def _fetch_blocks(transport: LyingTransport) -> None:
    inbox = Inbox(capacity=10_000)
    fetcher = BlockFetcher(
        transport=cast(Transport, transport), inbox=inbox, get_height=lambda: Height(3), timings=Timings()
    )
    known = compute_block_hash(record().chain_id, record().blocks[4].finalized.block.header)
    with trio.move_on_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetcher.run)
            await trio.sleep(0.001)
            fetcher.want_blocks(Height(9), None)
            fetcher.want_body(known)
    while events := await inbox.take(wait_s=0):
        assert all(isinstance(event, BlocksFetched | BlockFetched) for event in events), "not what was asked for"


async def _ask_witnesses(transport: LyingTransport) -> None:
    inbox = Inbox(capacity=100)
    own = record().keys[ABSENT].key.member
    asker = WitnessAsker(
        transport=cast(Transport, transport), inbox=inbox, chain_id=record().chain_id, member=own
    )
    asker.want_answers()
    with trio.move_on_after(PATIENCE_S):
        await asker.run()
    heard = await inbox.take(wait_s=0)
    assert len(heard) <= len(MEMBERS), "a member was heard twice"
    for event in heard:
        assert isinstance(event, WitnessHeard), "not what was asked for"
        for vote in event.votes:
            assert vote.member == own, "a vote of somebody else was passed on"
            check_vote(record().chain_id, vote)


async def _fetch_artifact(transport: LyingTransport) -> None:
    folder = make_scratch() / "fetched"
    store = ArtifactStore(folder, run_blocking=run_inline)
    fetcher = ArtifactFetcher(cast(Transport, transport), store, run_blocking=run_inline)
    digest = _get_artifact_name()
    try:
        with trio.move_on_after(PATIENCE_S):
            path = await fetcher.fetch(digest, bytes_expected=len(ARTIFACT))
            assert path.read_bytes() == ARTIFACT, "other bytes are stored under the artifact's name"
    finally:
        shutil.rmtree(folder)


@cache
def _get_artifact_name() -> Digest:
    hasher = ArtifactHasher()
    hasher.update(ARTIFACT)
    return hasher.finish()[0]


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return true answers, and some that come late or not at all."""
    blocks = [encode(entry.finalized) for entry in record().blocks[3:8]]
    body = encode(record().blocks[4].finalized.block)
    progress = encode(Progress(height=Height(11), view=View(12), votes=()))
    hasher = ArtifactHasher()
    hasher.update(ARTIFACT)
    chunk_list = b"".join(hasher.finish()[2])
    vote = sign_vote(
        record().chain_id,
        record().keys[ABSENT].key,
        epoch=FIRST_EPOCH,
        kind=VoteKind.NULLIFY,
        view=View(3),
        block_hash=None,
    )
    seen = encode(Progress(height=Height(3), view=View(4), votes=(vote,)))
    inputs: list[list[object]] = [
        [2, [[seen], [progress]]],
        [2, [False, [seen], True, [progress]]],
        [0, [blocks, [body], [progress]]],
        [0, [[progress], [body], True, False, blocks[:2]]],
        [1, [[chunk_list], [ARTIFACT]]],
        [1, [[chunk_list[:20], chunk_list[20:]], False, [ARTIFACT[:-1]], True, [ARTIFACT]]],
    ]
    return tuple(cast(bytes, msgpack.packb(entry)) for entry in inputs)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=make_msgpack_mutator(make_seeds()), memory_bytes=64 * MIB)
