"""The driver: durable before sent, one write per batch, one timer, and errors that stop the node."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.artifacts.fetcher import ArtifactFetcher
from node.artifacts.store import ArtifactStore
from node.blocking import run_inline
from node.catchup import BlockFetcher
from node.driver import Driver, Hands
from node.errors import DiskFull
from node.inbox import Inbox
from node.keysmith import Keysmith
from node.observations import ObservationHub
from node.services import RecentBlocks
from node.submissions import Submissions
from node.timings import Timings
from node.witnesses import WitnessAsker
from node.workbench import Tools, Workbench
from protocol.blocks import compute_block_hash
from protocol.errors import InvariantViolation
from protocol.genesis import compute_chain_id
from protocol.gossip import Admission, Topic
from protocol.interface import (
    ArmTimer,
    Broadcast,
    Effect,
    FinalizedBlock,
    Input,
    Persist,
    PersistBlock,
    TimeAdvanced,
    WorkFailed,
)
from protocol.journal import OwnProposalRecord, ScoreRecord
from protocol.key_work import KeyHolder
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.messages import Proposal
from protocol.units import MemberId, Millis, Ppm, Round
from tests.helpers import LedgerBuilder, make_digest, make_founders, make_genesis
from tests.node.fakes import FakeLearner, ScriptedCore, TrioClock
from tests.sim.memory_disk import MemoryDisk
from tests.sim.memory_store import MemoryStore
from tests.sim.memory_transport import MemoryNetwork

FOUNDERS = make_founders(2)
GENESIS = make_genesis(FOUNDERS)
ME, PEER = FOUNDERS[0].member, FOUNDERS[1].member
WRITE_S = 1.0

RECORD = Persist(record=ScoreRecord(model_digest=make_digest("model"), score=Ppm(1)))
MESSAGE = Broadcast(topic=Topic.CONSENSUS, message=b"signed")
ANY_INPUT = WorkFailed(round=Round(1), reason="for the test")


@dataclass(slots=True)
class Bench:
    """A driver at work and what its peer has heard."""

    core: ScriptedCore
    inbox: Inbox
    disk: MemoryDisk
    clock: TrioClock
    recent: RecentBlocks
    heard: list[tuple[bytes, float]] = field(default_factory=list)

    async def wait_heard(self, count: int) -> None:
        with trio.fail_after(100.0):
            while len(self.heard) < count:
                await trio.sleep(0.01)

    async def wait_handled(self, count: int) -> None:
        with trio.fail_after(100.0):
            while len(self.core.handled) < count:
                await trio.sleep(0.01)


@asynccontextmanager
async def run_driver(
    tmp_path: Path, answer: Callable[[Input], list[Effect]], *, first: list[Effect] | None = None, is_full: bool = False
) -> AsyncIterator[Bench]:
    """Give a running driver around a scripted core; what stops the driver leaves the block as it was raised."""
    core = ScriptedCore(state=compute_genesis_state(GENESIS), answer=answer, first=first or [])
    disk = MemoryDisk()
    store = MemoryStore(disk=disk, genesis=GENESIS, member=ME, draw_write_s=lambda: WRITE_S)
    store.load()
    disk.is_full = is_full
    inbox, clock, timings = Inbox(), TrioClock(), Timings()
    bench = Bench(core=core, inbox=inbox, disk=disk, clock=clock, recent=RecentBlocks(compute_chain_id(GENESIS)))

    def hear(_topic: Topic, _neighbour: MemberId, message: bytes) -> Admission:
        bench.heard.append((message, trio.current_time()))
        return Admission.ACCEPT

    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(members=(ME, PEER), nursery=nursery)
        transport = network.attach(ME, gossip=hear, services={})
        network.attach(PEER, gossip=hear, services={})
        artifacts = ArtifactStore(tmp_path, run_blocking=run_inline)
        tools = Tools(
            learner=FakeLearner(),
            artifacts=artifacts,
            fetcher=ArtifactFetcher(transport, artifacts, run_blocking=run_inline),
            schema=GENESIS.schema,
            timings=timings,
        )
        hands = Hands(
            store=store,
            transport=transport,
            fetcher=BlockFetcher(
                transport=transport, inbox=inbox, get_height=lambda: core.state.height, timings=timings
            ),
            witnesses=WitnessAsker(
                transport=transport, inbox=inbox, chain_id=compute_chain_id(GENESIS), member=ME
            ),
            workbench=Workbench(inbox=inbox, tools=tools),
            keysmith=Keysmith(
                holder=KeyHolder(member=ME, bls_key=FOUNDERS[0].bls_key, secret=bytes(32)),
                inbox=inbox,
                run_blocking=run_inline,
                timings=timings,
            ),
            recent=bench.recent,
            hub=ObservationHub(),
            submissions=Submissions(inbox),
        )
        nursery.start_soon(Driver(core=core, inbox=inbox, hands=hands, clock=clock, timings=timings).run)
        yield bench
        nursery.cancel_scope.cancel()


async def test_what_is_signed_leaves_only_after_its_record_is_durable(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with run_driver(tmp_path, lambda _: [MESSAGE, RECORD]) as bench:
        await bench.inbox.put(ANY_INPUT)
        await bench.wait_heard(1)
        assert bench.disk.writes_count == 1
        assert bench.heard[0][1] >= WRITE_S


async def test_what_needs_no_record_does_not_wait_for_the_disk(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with run_driver(tmp_path, lambda _: [MESSAGE]) as bench:
        await bench.inbox.put(ANY_INPUT)
        await bench.wait_heard(1)
        assert bench.heard[0][1] < WRITE_S
        assert bench.disk.writes_count == 0


async def test_inputs_that_wait_together_share_one_write(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with run_driver(tmp_path, lambda _: [RECORD, MESSAGE], first=[RECORD]) as bench:
        for _ in range(10):
            await bench.inbox.put(ANY_INPUT)
        await bench.wait_heard(10)
        assert bench.disk.writes_count == 2


async def test_a_full_disk_stops_the_node_before_anything_signed_leaves(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    heard: list[tuple[bytes, float]] = []
    with pytest.RaisesGroup(DiskFull, flatten_subgroups=True):
        async with run_driver(tmp_path, lambda _: [MESSAGE, RECORD], is_full=True) as bench:
            heard = bench.heard
            await bench.inbox.put(ANY_INPUT)
            await trio.sleep(10.0)
    assert heard == []


async def test_bodies_of_proposed_blocks_are_kept_for_members_that_lack_them(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    block = LedgerBuilder(founders=FOUNDERS).build_block()
    record = OwnProposalRecord(proposal=Proposal(block=block, parent_certificate=None, nullifications=()))
    async with run_driver(tmp_path, lambda _: [Persist(record=record), MESSAGE]) as bench:
        await bench.inbox.put(ANY_INPUT)
        await bench.wait_heard(1)
        assert bench.recent.get(compute_block_hash(compute_chain_id(GENESIS), block.header)) == block


async def test_a_snapshot_is_saved_when_one_is_due(tmp_path: Path, autojump_clock: MockClock) -> None:
    builder = LedgerBuilder(founders=FOUNDERS)

    def execute(_event: Input) -> list[Effect]:
        outcome = builder.add_block()
        bench.core.state = builder.state
        block = builder.blocks[-1].block
        final = FinalizedBlock(block=block, certificate=builder.certify(block))
        return [PersistBlock(height=builder.state.height, finalized=final, outcome=outcome)]

    async with run_driver(tmp_path, execute) as bench:
        for _ in range(210):
            await bench.inbox.put(ANY_INPUT)
        await bench.wait_handled(210)
        await trio.sleep(2 * WRITE_S)
        assert bench.disk.image is not None
        assert len(bench.disk.image.snapshots) == 1


async def test_a_mistake_of_our_own_stops_the_node(tmp_path: Path, autojump_clock: MockClock) -> None:
    def fail(_event: Input) -> list[Effect]:
        raise InvariantViolation("the sum of all stake is not the supply")

    with pytest.RaisesGroup(InvariantViolation, flatten_subgroups=True):
        async with run_driver(tmp_path, fail) as bench:
            await bench.inbox.put(ANY_INPUT)
            await trio.sleep(10.0)


async def test_the_timer_comes_at_its_time_and_the_last_one_counts(tmp_path: Path, autojump_clock: MockClock) -> None:
    early, late = Millis(TrioClock().origin_ms + 20_000), Millis(TrioClock().origin_ms + 30_000)
    first: list[Effect] = [ArmTimer(at_ms=early), ArmTimer(at_ms=late)]
    async with run_driver(tmp_path, lambda _: [], first=first) as bench:
        await bench.wait_handled(1)
        event, now_ms = bench.core.handled[0]
        assert event == TimeAdvanced()
        assert late <= now_ms < late + 100
        await trio.sleep(60.0)
        assert len(bench.core.handled) == 1


async def test_a_clock_that_is_set_forward_is_noticed_within_a_second(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    at_ms = Millis(TrioClock().origin_ms + 1_000_000)
    async with run_driver(tmp_path, lambda _: [], first=[ArmTimer(at_ms=at_ms)]) as bench:
        await trio.sleep(5.0)
        bench.clock.shift_ms = 2_000_000
        started = trio.current_time()
        await bench.wait_handled(1)
        assert trio.current_time() - started < 1.5


async def test_a_clock_that_is_put_back_lets_the_core_look_at_its_timers(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Otherwise a timer that was set by a clock hours ahead would run for hours."""
    at_ms = Millis(TrioClock().origin_ms + 9_000_000)
    async with run_driver(tmp_path, lambda _: [ArmTimer(at_ms=at_ms)], first=[ArmTimer(at_ms=at_ms)]) as bench:
        bench.clock.shift_ms = 8_000_000
        await trio.sleep(5.0)
        assert bench.core.handled == []
        bench.clock.shift_ms = 0
        started = trio.current_time()
        await bench.wait_handled(1)
        assert trio.current_time() - started < 1.5
        await trio.sleep(60.0)
        assert len(bench.core.handled) == 1


async def test_a_due_timer_is_not_starved_by_a_full_inbox(tmp_path: Path, autojump_clock: MockClock) -> None:
    at_ms = Millis(TrioClock().origin_ms + 1_500)

    def refill(event: Input) -> list[Effect]:
        if event != TimeAdvanced():
            bench.inbox.offer_nowait(ANY_INPUT)
        return [RECORD]

    async with run_driver(tmp_path, refill, first=[ArmTimer(at_ms=at_ms)]) as bench:
        bench.inbox.offer_nowait(ANY_INPUT)
        await trio.sleep(5.0)
        times = [now_ms for event, now_ms in bench.core.handled if event == TimeAdvanced()]
        assert len(times) == 1
        assert times[0] <= at_ms + 1_000 * WRITE_S
