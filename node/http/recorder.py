"""What the pages remember of the observations that went by: counts, durations, recent trouble, stake over time."""

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import trio

from node.http.history import POINTS_MAX, StakeHistory, compute_past, compute_totals
from node.observations import ObservationHub, Watcher
from node.ports import Clock
from protocol.ledger.state import LedgerState
from protocol.observations import (
    BlockExecuted,
    CandidateDiffers,
    Observation,
    OffenceSeen,
    PhaseEntered,
    UpdateNotScreened,
    ViewFailed,
    WorkAbandoned,
)
from protocol.outcomes import BlockOutcome, Phase, RoundRecord, Verdict
from protocol.units import Height, MemberId, Millis, Round, View

BUCKETS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)
"""Upper bounds of the phases' durations, in seconds; the last bucket has none."""
BLOCKS_MAX: Final = 60
FAILURES_MAX: Final = 60

Outcomes: TypeAlias = list[tuple[Height, BlockOutcome]]

ReadOutcomes: TypeAlias = Callable[[Round, Height], Awaitable[Outcomes]]
"""Reads what the blocks did after the one that opened a round up to a height, newest first; fewer if it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBlock:
    """A block that was executed."""

    height: Height
    view: View
    time_ms: Millis
    """Ledger time."""
    seen_ms: Millis
    """This node's clock when it was told."""
    leader: MemberId
    operation_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFailure:
    """A view whose timer ran out."""

    view: View
    leader: MemberId
    seen_ms: Millis


@dataclass(slots=True)
class PhaseDurations:
    """How long one phase took, in ledger time."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """By bucket, each value in one bucket only."""
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        index = next((index for index, bound in enumerate(BUCKETS_S) if seconds <= bound), len(BUCKETS_S))
        self.counts[index] += 1
        self.sum_s += seconds


class Recorder:
    """Watches the observations of one running node."""

    def __init__(
        self,
        *,
        hub: ObservationHub,
        clock: Clock,
        get_state: Callable[[], LedgerState],
        read_outcomes: ReadOutcomes,
    ) -> None:
        """Take where observations come from, and how to read the present and the past; nothing happens before run."""
        self._hub = hub
        self._clock = clock
        self._get_state = get_state
        self._read_outcomes = read_outcomes
        self._phase: tuple[Round, Phase, Millis] | None = None
        self.started_ms = clock.get_now_ms()
        self.history = StakeHistory()
        self.blocks: deque[SeenBlock] = deque(maxlen=BLOCKS_MAX)
        self.failures: deque[SeenFailure] = deque(maxlen=FAILURES_MAX)
        self.failed_views = 0
        self._counted_round = get_state().rounds_settled
        """The last round whose verdict was counted, is in the rounds below, or came before there was a counter."""
        self._uncounted_rounds: set[int] = set()
        """Rounds whose end was not observed and has not been read yet."""
        self.verdicts: Counter[Verdict] = Counter()
        self.durations = {phase: PhaseDurations() for phase in Phase}
        self.offenders: set[MemberId] = set()
        self.differed_round: Round | None = None
        """The last round whose accepted candidate is not the one that this node computed."""
        self.abandoned_round: Round | None = None
        """The last round in which this node's own work failed."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled."""
        with self._hub.watch() as watcher:
            task_status.started()
            while True:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._recall, self._restart())
                    await self._note_until_missed(watcher)
                    nursery.cancel_scope.cancel()

    async def _note_until_missed(self, watcher: Watcher) -> None:
        """Note what is observed until something was lost: without its movements the present would be wrong."""
        while not watcher.missed_count:
            self._note(await watcher.wait_next())
        watcher.missed_count = 0

    def _restart(self) -> LedgerState:
        """Begin the history anew from the present, which is returned; nothing waits for the past."""
        state = self._get_state()
        self.history.restart(state.height, compute_totals(state))
        self._uncounted_rounds |= set(range(max(self._counted_round + 1, _get_first(state)), state.rounds_settled + 1))
        self._counted_round = max(self._counted_round, state.rounds_settled)
        return state

    async def _recall(self, state: LedgerState) -> None:
        """Put the past before the history, which has begun anew with this state."""
        outcomes = await self._read_outcomes(_get_first(state), state.height)
        self.history.prepend(compute_past(compute_totals(state), outcomes))
        for _, outcome in outcomes:
            if outcome.settled is not None and outcome.settled.round in self._uncounted_rounds:
                self._uncounted_rounds.remove(outcome.settled.round)
                self.verdicts[outcome.settled.verdict] += 1

    def _note(self, observation: Observation) -> None:
        match observation:
            case BlockExecuted():
                self._note_block(observation)
            case PhaseEntered(round=round_number, phase=phase):
                self._end_phase()
                began_ms = self.blocks[-1].time_ms if self.blocks else self._get_state().time_ms
                self._phase = (round_number, phase, began_ms)
            case ViewFailed(view=view, leader=leader):
                self.failed_views += 1
                self.failures.append(SeenFailure(view=view, leader=leader, seen_ms=self._clock.get_now_ms()))
            case OffenceSeen(offence=offence):
                self.offenders.add(offence.member)
            case CandidateDiffers(round=round_number):
                self.differed_round = round_number
            case WorkAbandoned(round=round_number) | UpdateNotScreened(round=round_number):
                self.abandoned_round = round_number
            case _:
                pass

    def _note_block(self, executed: BlockExecuted) -> None:
        if self.blocks and executed.height != self.blocks[-1].height + 1:
            # What was lost may have ended the phase.
            self._phase = None
        self.blocks.append(
            SeenBlock(
                height=executed.height,
                view=executed.view,
                time_ms=executed.time_ms,
                seen_ms=self._clock.get_now_ms(),
                leader=executed.leader,
                operation_count=executed.operation_count,
            )
        )
        self.history.note_block(executed.height, executed.outcome)
        if executed.outcome.settled is not None:
            self._note_settled(executed.outcome.settled)

    def _note_settled(self, record: RoundRecord) -> None:
        self._count_verdict(record)
        self._end_phase()
        self._phase = None

    def _count_verdict(self, record: RoundRecord) -> None:
        if record.round > self._counted_round:
            self._counted_round = record.round
            self.verdicts[record.verdict] += 1

    def _end_phase(self) -> None:
        if self._phase is not None:
            _, phase, began_ms = self._phase
            self.durations[phase].add((self.blocks[-1].time_ms - began_ms) / 1_000 if self.blocks else 0.0)


def _get_first(state: LedgerState) -> Round:
    """Return the first round of which the history still has a point."""
    return Round(max(state.rounds_settled - POINTS_MAX + 1, 1))
