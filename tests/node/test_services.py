"""What a node answers to others about its ledger, and what it lets into its inbox."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import structlog
import structlog.testing
import trio
import trio.testing

from node.gate import COMPLAINT_INTERVAL_MS, GossipGate
from node.inbox import BATCH_INPUTS_MAX, Inbox
from node.peer_clocks import SAMPLE_GAP_S, SAMPLES, PeerClocks
from node.services import (
    RECENT_BLOCKS_MAX,
    BlocksRequest,
    BodyRequest,
    Progress,
    RecentBlocks,
    StatusService,
    SyncService,
    decode_progress,
    encode_sync_request,
)
from node.timings import Activity, Timings
from protocol.admission import Admitted
from protocol.blocks import Block, compute_block_hash
from protocol.codec import decode
from protocol.errors import MalformedMessage
from protocol.genesis import compute_chain_id
from protocol.gossip import Admission, Topic
from protocol.interface import ConsensusReceived, FinalizedBlock, TimeAdvanced, WorkFailed
from protocol.messages import Proposal
from protocol.units import Digest, Height, MemberId, Millis, Round, View
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_digest, make_genesis
from tests.node.fakes import TrioClock

FOUNDERS = make_founders(2)
CHAIN_ID = compute_chain_id(make_genesis(FOUNDERS))
ME, PEER = FOUNDERS[0].member, FOUNDERS[1].member


def build_blocks(count: int) -> tuple[FinalizedBlock, ...]:
    builder = LedgerBuilder(founders=FOUNDERS)
    for _ in range(count):
        builder.add_block()
    return tuple(
        FinalizedBlock(block=built.block, certificate=builder.certify(built.block)) for built in builder.blocks
    )


class ListedBlocks:
    """A block source that holds a list."""

    def __init__(self, blocks: Sequence[FinalizedBlock]) -> None:
        self.blocks = blocks

    def get_blocks(self, from_height: Height, *, bytes_max: int) -> tuple[FinalizedBlock, ...]:
        return tuple(self.blocks[from_height - 1 :])


async def ask(service: SyncService | StatusService, request: bytes) -> list[bytes]:
    frames: list[bytes] = []

    async def send(frame: bytes) -> None:
        frames.append(frame)

    await service.handle(PEER, request, send)
    return frames


async def test_final_blocks_are_served_from_the_height_asked_for() -> None:
    blocks = build_blocks(3)
    service = SyncService(ListedBlocks(blocks), lambda _: None)
    frames = await ask(service, encode_sync_request(BlocksRequest(from_height=Height(2))))
    assert [decode(FinalizedBlock, frame, bytes_max=1 << 20) for frame in frames] == list(blocks[1:])


async def test_one_body_is_served_by_hash_and_an_unknown_one_is_an_empty_answer() -> None:
    block = build_blocks(1)[0].block
    recent = RecentBlocks(CHAIN_ID)
    recent.add(block)
    service = SyncService(ListedBlocks(()), recent.get)
    known = BodyRequest(block_hash=compute_block_hash(CHAIN_ID, block.header))
    assert [decode(Block, frame, bytes_max=1 << 20) for frame in await ask(service, encode_sync_request(known))] == [
        block
    ]
    assert await ask(service, encode_sync_request(BodyRequest(block_hash=make_digest("unknown")))) == []


@pytest.mark.parametrize("request_bytes", [b"", b"\xc1", b"\x92\x07\x01", bytes(1_000)])
async def test_a_request_that_does_not_decode_is_refused(request_bytes: bytes) -> None:
    with pytest.raises(MalformedMessage):
        await ask(SyncService(ListedBlocks(()), lambda _: None), request_bytes)


async def test_a_node_tells_how_far_it_is() -> None:
    progress = Progress(height=Height(7), view=View(9), votes=())
    asked: list[MemberId] = []

    def get_progress(member: MemberId) -> Progress:
        asked.append(member)
        return progress

    (frame,) = await ask(StatusService(get_progress), b"")
    assert decode_progress(frame) == progress
    assert len(asked) == 1
    with pytest.raises(MalformedMessage):
        decode_progress(frame + b"\x00")


def test_recent_blocks_are_bounded_and_the_oldest_goes_first() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    recent = RecentBlocks(CHAIN_ID)
    hashes: list[Digest] = []
    for step in range(RECENT_BLOCKS_MAX + 1):
        block = builder.build_block(view=View(step + 1))
        hashes.append(compute_block_hash(CHAIN_ID, block.header))
        recent.add(block)
    assert recent.get(hashes[0]) is None
    assert recent.get(hashes[1]) is not None
    assert recent.get(hashes[-1]) is not None


def make_gate(inbox: Inbox, verdicts: dict[bytes, Admitted], clock: TrioClock) -> tuple[GossipGate, list[bytes]]:
    judged: list[bytes] = []

    def judge(_topic: Topic, message: bytes) -> Admitted:
        judged.append(message)
        return verdicts[message]

    gate = GossipGate(
        judge=judge, inbox=inbox, clock=clock, peer_clocks=PeerClocks(), drift_max_ms=Millis(5_000), timings=Timings()
    )
    return gate, judged


ACCEPTED = Admitted(admission=Admission.ACCEPT, event=TimeAdvanced(), reason="")
REJECTED = Admitted(admission=Admission.REJECT, event=None, reason="wrong vote signature")


async def test_what_the_core_accepts_is_in_the_inbox_before_it_is_forwarded() -> None:
    inbox = Inbox()
    gate, _ = make_gate(inbox, {b"good": ACCEPTED, b"bad": REJECTED}, TrioClock())
    assert gate.admit(Topic.CONSENSUS, PEER, b"good") is Admission.ACCEPT
    assert gate.admit(Topic.CONSENSUS, PEER, b"bad") is Admission.REJECT
    assert await inbox.take(wait_s=0.0) == [TimeAdvanced()]


async def test_the_times_of_fresh_proposals_tell_of_the_own_clock(autojump_clock: trio.testing.MockClock) -> None:
    """C8."""
    clock, clocks = TrioClock(), PeerClocks()
    builder = LedgerBuilder(founders=FOUNDERS)
    block = builder.build_block(time_ms=Millis(clock.get_now_ms() + 60_000))
    proposal = Proposal(block=block, parent_certificate=None, nullifications=())
    accepted = replace(ACCEPTED, event=ConsensusReceived(message=proposal))
    gate = GossipGate(
        judge=lambda _topic, message: REJECTED if message == b"bad" else accepted,
        inbox=Inbox(),
        clock=clock,
        peer_clocks=clocks,
        drift_max_ms=Millis(5_000),
        timings=Timings(),
    )
    with structlog.testing.capture_logs() as lines:
        for message in (b"bad", *[b"good"] * SAMPLES):
            await trio.sleep(SAMPLE_GAP_S)
            assert clocks.read(clock.get_now_ms()).member_count == 0
            gate.admit(Topic.CONSENSUS, PEER, message)
        gate.admit(Topic.CONSENSUS, PEER, b"good")
    reading = clocks.read(clock.get_now_ms())
    assert (reading.behind_ms, reading.member_count) == (60_000 - 4 * SAMPLE_GAP_S * 1_000, 1)
    assert [line["event"] for line in lines if line["event"] == "clock_differs"] == ["clock_differs"]


async def test_a_full_inbox_ignores_gossip_without_judging_it() -> None:
    inbox = Inbox(capacity=1)
    gate, judged = make_gate(inbox, {b"good": ACCEPTED}, TrioClock())
    assert gate.admit(Topic.CONSENSUS, PEER, b"good") is Admission.ACCEPT
    assert gate.admit(Topic.CONSENSUS, PEER, b"good") is Admission.IGNORE
    assert judged == [b"good"]


async def test_a_neighbour_that_goes_on_is_complained_about_once_in_a_while() -> None:
    clock = TrioClock()
    gate, _ = make_gate(Inbox(), {b"bad": REJECTED}, clock)
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            gate.admit(Topic.CONSENSUS, PEER, b"bad")
        gate.admit(Topic.CONSENSUS, ME, b"bad")
        clock.shift_ms += COMPLAINT_INTERVAL_MS
        gate.admit(Topic.CONSENSUS, PEER, b"bad")
    assert [line["neighbour"] for line in lines] == [PEER, ME, PEER]
    assert {line["reason"] for line in lines} == {"wrong vote signature"}


async def test_the_inbox_gives_a_bounded_batch_in_the_order_of_arrival() -> None:
    inbox = Inbox()
    events = [WorkFailed(round=Round(number), reason="") for number in range(BATCH_INPUTS_MAX + 3)]
    for event in events:
        assert inbox.offer_nowait(event)
    assert await inbox.take(wait_s=None) == events[:BATCH_INPUTS_MAX]
    assert await inbox.take(wait_s=None) == events[BATCH_INPUTS_MAX:]


async def test_a_passed_deadline_does_not_keep_inputs_waiting() -> None:
    inbox = Inbox()
    inbox.offer_nowait(TimeAdvanced())
    assert await inbox.take(wait_s=-1.0) == [TimeAdvanced()]


async def test_the_inbox_counts_what_it_refuses(autojump_clock: trio.testing.MockClock) -> None:
    inbox = Inbox(capacity=2)
    assert [inbox.offer_nowait(TimeAdvanced()) for _ in range(3)] == [True, True, False]
    assert inbox.refused_count == 1
    assert not inbox.has_room()
    await inbox.take(wait_s=1.0)
    assert await inbox.take(wait_s=1.0) == []


def test_time_spent_is_counted_even_when_the_work_fails() -> None:
    timings = Timings()
    with pytest.raises(ValueError, match="odd"), timings.measure(Activity.TRAIN):
        raise ValueError("odd")
    assert timings.spent[Activity.TRAIN].count == 1
    assert timings.spent[Activity.TRAIN].worst_ms >= 0.0
    assert timings.spent[Activity.CORE].count == 0
