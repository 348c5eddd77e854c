"""Stake over time: what is computed backwards is what the ledger held."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import trio
import trio.testing

from node.http.history import POINTS_MAX, StakeHistory, compute_change, compute_past, compute_totals
from node.http.recorder import Outcomes, Recorder
from node.observations import WATCHER_OBSERVATIONS_MAX, ObservationHub
from protocol.observations import BlockExecuted, Observation, PhaseEntered, ViewFailed, WorkAbandoned
from protocol.operations import Unbond
from protocol.outcomes import Phase, StakeMove, StakeReason, Verdict
from protocol.parameters import Parameters
from protocol.units import Height, MemberId, Millis, Round, Stake, View
from tests.helpers import BuiltBlock, LedgerBuilder
from tests.node.control_desks import FOUNDERS, ME
from tests.node.fakes import TrioClock

NEWCOMER = MemberId(bytes(32))


@dataclass(slots=True)
class Book:
    """A ledger, and what everybody held after each of its rounds, noted while it was built."""

    builder: LedgerBuilder = field(
        default_factory=lambda: LedgerBuilder(
            founders=FOUNDERS, parameters=Parameters(treasury_initial=Stake(64_000_000))
        )
    )
    noted: list[dict[MemberId, Stake]] = field(default_factory=list)

    def run_round(self, *, is_accept: bool = True) -> None:
        self.builder.run_round(is_accept=is_accept)
        self.noted.append(compute_totals(self.builder.state))

    def make_outcomes(self) -> Outcomes:
        return [(built.block.header.height, built.outcome) for built in reversed(self.builder.blocks)]


def make_book() -> Book:
    book = Book()
    book.run_round()
    book.run_round(is_accept=False)
    book.builder.add_payloads((ME, Unbond(amount=Stake(5_000_000))))
    book.run_round()
    book.builder.run_draw()
    # A proposer stays silent and pays for it, so that stake moves for another reason as well.
    book.builder.run_training(silent=book.builder.round.proposers[:1])
    return book


def observe(built: BuiltBlock) -> BlockExecuted:
    header = built.block.header
    return BlockExecuted(
        height=header.height,
        view=header.view,
        time_ms=header.time_ms,
        leader=header.leader,
        operation_count=len(built.block.operations),
        outcome=built.outcome,
    )


def test_the_past_is_the_present_with_movements_taken_back() -> None:
    book = make_book()
    points = compute_past(compute_totals(book.builder.state), book.make_outcomes())
    assert [point.round for point in points] == [1, 2, 3]
    assert [point.totals for point in points] == book.noted
    assert len({tuple(sorted(totals.items())) for totals in book.noted}) == 3


def test_a_member_that_lost_everything_and_came_back_has_a_past() -> None:
    book = Book()
    book.run_round()
    (settled,) = [outcome for _, outcome in book.make_outcomes() if outcome.settled is not None]
    slash = StakeMove(member=NEWCOMER, reason=StakeReason.SLASH_EQUIVOCATION, amount=Stake(9))
    mint = StakeMove(member=NEWCOMER, reason=StakeReason.MINT, amount=Stake(5))
    newest_first = [
        (Height(4), replace(settled, moves=(mint,))),
        (Height(3), settled),
        (Height(2), replace(settled, moves=(slash,))),
        (Height(1), settled),
    ]
    points = compute_past({**compute_totals(book.builder.state), NEWCOMER: Stake(5)}, newest_first)
    assert [point.totals.get(NEWCOMER) for point in points] == [9, None, None, 5]


def test_blocks_that_follow_are_added_once() -> None:
    book = make_book()
    history = StakeHistory()
    history.restart(Height(0), compute_totals(Book().builder.state))
    for built in (*book.builder.blocks[:5], *book.builder.blocks):
        history.note_block(built.block.header.height, built.outcome)
    assert [point.totals for point in history.points] == book.noted


def test_bonding_moves_nothing_and_every_other_reason_something() -> None:
    still = {StakeReason.BOND, StakeReason.UNBOND, StakeReason.RELEASE}
    for reason in StakeReason:
        change = compute_change(StakeMove(member=ME, reason=reason, amount=Stake(7)))
        assert abs(change) == (0 if reason in still else 7)
        assert (change < 0) == reason.name.startswith("SLASH")


def test_the_history_is_bounded() -> None:
    book = Book()
    book.run_round()
    outcome = next(outcome for _, outcome in book.make_outcomes() if outcome.settled is not None)
    history = StakeHistory()
    for height in range(1, POINTS_MAX + 10):
        history.note_block(Height(height), outcome)
    assert len(history.points) == POINTS_MAX


def make_recorder(book: Book, hub: ObservationHub, present: LedgerBuilder) -> Recorder:
    async def read(first: Round, last: Height) -> Outcomes:
        return [(height, outcome) for height, outcome in book.make_outcomes() if height <= last]

    return Recorder(hub=hub, clock=TrioClock(), get_state=lambda: present.state, read_outcomes=read)


async def record(book: Book, observations: list[Observation]) -> Recorder:
    hub = ObservationHub()
    recorder = make_recorder(book, hub, Book().builder)
    async with trio.open_nursery() as nursery:
        await nursery.start(recorder.run)
        for observation in observations:
            hub.publish(observation)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return recorder


async def test_the_recorder_counts_verdicts_and_times_phases_by_the_ledger() -> None:
    book = Book()
    book.run_round()
    built = book.builder.blocks
    observations: list[Observation] = [observe(built[0])]
    for phase, block in zip((Phase.TRAIN, Phase.SEAL, Phase.REVEAL), built[1:], strict=True):
        entered = PhaseEntered(
            round=Round(1), phase=phase, attempt=0, deadline_ms=Millis(0), proposers=(), voters=(), replaced=()
        )
        observations += [entered, observe(block)]
    recorder = await record(book, observations)
    assert recorder.verdicts == {Verdict.ACCEPT: 1}
    assert [point.totals for point in recorder.history.points] == book.noted
    for phase, (before, after) in zip((Phase.TRAIN, Phase.SEAL, Phase.REVEAL), pairwise(built), strict=True):
        taken = (after.block.header.time_ms - before.block.header.time_ms) / 1_000
        assert recorder.durations[phase].sum_s == taken > 0
        assert sum(recorder.durations[phase].counts) == 1


async def test_the_recorder_remembers_trouble() -> None:
    failed = ViewFailed(view=View(3), leader=ME, failures=1)
    recorder = await record(Book(), [failed, WorkAbandoned(round=Round(4), reason="NaN")])
    assert (recorder.failed_views, recorder.abandoned_round) == (1, 4)
    assert recorder.failures[0].leader == ME


async def test_stake_stays_right_when_observations_were_lost() -> None:
    book = Book()
    hub = ObservationHub()
    recorder = make_recorder(book, hub, book.builder)
    async with trio.open_nursery() as nursery:
        await nursery.start(recorder.run)
        await trio.testing.wait_all_tasks_blocked()
        # The recorder cannot take anything in between, so the block's movements are lost to it.
        for _ in range(WATCHER_OBSERVATIONS_MAX):
            hub.publish(ViewFailed(view=View(1), leader=ME, failures=1))
        book.run_round(is_accept=False)
        for built in book.builder.blocks:
            hub.publish(observe(built))
        await trio.testing.wait_all_tasks_blocked()
        book.run_round()
        hub.publish(observe(book.builder.blocks[-1]))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [point.totals for point in recorder.history.points] == book.noted
    assert recorder.verdicts == {Verdict.REJECT: 1, Verdict.ACCEPT: 1}


async def test_a_phase_whose_end_was_lost_is_not_timed() -> None:
    book = Book()
    book.run_round()
    built = book.builder.blocks
    entered = [
        PhaseEntered(
            round=Round(1), phase=phase, attempt=0, deadline_ms=Millis(0), proposers=(), voters=(), replaced=()
        )
        for phase in (Phase.TRAIN, Phase.REVEAL)
    ]
    recorder = await record(book, [observe(built[0]), entered[0], observe(built[2]), entered[1], observe(built[3])])
    assert sum(recorder.durations[Phase.TRAIN].counts) == 0
    assert sum(recorder.durations[Phase.REVEAL].counts) == 1


async def test_what_is_observed_while_the_past_is_read_comes_after_it() -> None:
    book = Book()
    for _ in range(3):
        book.run_round()
    hub = ObservationHub()
    is_read = trio.Event()
    past = book.make_outcomes()
    present = book.builder.state

    async def read(_first: Round, _last: Height) -> Outcomes:
        await is_read.wait()
        return past

    recorder = Recorder(hub=hub, clock=TrioClock(), get_state=lambda: present, read_outcomes=read)
    async with trio.open_nursery() as nursery:
        await nursery.start(recorder.run)
        seen = len(book.builder.blocks)
        book.run_round()
        for built in book.builder.blocks[seen:]:
            hub.publish(observe(built))
        await trio.testing.wait_all_tasks_blocked()
        before = [point.round for point in recorder.history.points]
        is_read.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert before == [4]
    assert [point.round for point in recorder.history.points] == [1, 2, 3, 4]
    assert [point.totals for point in recorder.history.points] == book.noted


async def test_a_verdict_that_was_lost_twice_is_counted_once() -> None:
    book = Book()
    hub = ObservationHub()
    readings: list[trio.Event] = []

    async def read(_first: Round, last: Height) -> Outcomes:
        readings.append(trio.Event())
        await readings[-1].wait()
        return [(height, outcome) for height, outcome in book.make_outcomes() if height <= last]

    recorder = Recorder(hub=hub, clock=TrioClock(), get_state=lambda: book.builder.state, read_outcomes=read)

    async def lose_a_round() -> None:
        for _ in range(WATCHER_OBSERVATIONS_MAX):
            hub.publish(ViewFailed(view=View(1), leader=ME, failures=1))
        seen = len(book.builder.blocks)
        book.run_round()
        for built in book.builder.blocks[seen:]:
            hub.publish(observe(built))
        await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        await nursery.start(recorder.run)
        await trio.testing.wait_all_tasks_blocked()
        await lose_a_round()
        await lose_a_round()
        readings[-1].set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(readings) == 3
    assert recorder.verdicts == {Verdict.ACCEPT: 2}
    assert [point.totals for point in recorder.history.points] == book.noted
