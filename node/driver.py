"""The driver: the single writer. Inputs in, durable log, core, effects out; no rule lives here.

It takes what the inbox holds, lets the core handle each input with the time of now, makes every record and block of the
batch durable in one write, and only then performs the other effects in their order (C10). What takes long (fetching,
training, evaluating) runs elsewhere and comes back as an input. An error that nobody can react to stops the node:
``InvariantViolation`` is our own bug, ``DiskFull`` comes before anything signed has left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, assert_never

from node.catchup import BlockFetcher
from node.inbox import Inbox
from node.keysmith import Keysmith
from node.observations import ObservationHub
from node.ports import Clock, Store, Transport
from node.services import RecentBlocks
from node.submissions import Submissions
from node.timings import Activity, Timings
from node.witnesses import WitnessAsker
from node.workbench import Workbench
from protocol.interface import (
    ArmTimer,
    AskWitnesses,
    Broadcast,
    ComputeCandidate,
    Effect,
    EvaluateModel,
    FetchArtifact,
    FetchBlock,
    FetchBlocks,
    ForgetArtifacts,
    Input,
    Observe,
    Persist,
    PersistBlock,
    ScreenUpdate,
    SetMembers,
    TimeAdvanced,
    TrainModel,
)
from protocol.journal import BlockRecord, OwnOperationRecord, OwnProposalRecord
from protocol.key_orders import CheckDeals, DeriveShare, JudgeDeal, MakeDeal
from protocol.ledger.state import LedgerState
from protocol.observations import BlockExecuted, Observation
from protocol.units import Millis

TIMER_WAIT_MAX_S: Final = 1.0
"""The clock is read again at least this often while a timer runs, because wall clocks are set now and then."""


class Core(Protocol):
    """The engine as the driver sees it."""

    @property
    def state(self) -> LedgerState:
        """The ledger after the last final block."""
        ...

    def start(self, now_ms: Millis) -> list[Effect]:
        """Return what to do first."""
        ...

    def handle(self, event: Input, now_ms: Millis) -> list[Effect]:
        """Return what to do about an input."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What the driver performs effects with."""

    store: Store
    transport: Transport
    fetcher: BlockFetcher
    witnesses: WitnessAsker
    workbench: Workbench
    keysmith: Keysmith
    recent: RecentBlocks
    hub: ObservationHub
    submissions: Submissions


class Driver:
    """Runs one core against the world."""

    def __init__(self, *, core: Core, inbox: Inbox, hands: Hands, clock: Clock, timings: Timings) -> None:
        """Take the core and its surroundings; nothing happens before :meth:`run`."""
        self._core = core
        self._inbox = inbox
        self._hands = hands
        self._clock = clock
        self._timings = timings
        self._timer_ms: Millis | None = None
        self._seen_ms = Millis(0)
        """The clock when it was last read; if somebody puts it back, the core looks at its timers again."""

    async def run(self) -> None:
        """Handle inputs until cancelled.

        Raises:
            DiskFull: A batch could not be made durable; none of its messages has left.
            StoreCorrupt: The database refused a batch.
            InvariantViolation: The core found itself in a wrong state.
        """
        await self._perform(self._handle(self._core.start))
        while True:
            events = await self._inbox.take(wait_s=self._compute_wait_s())
            effects: list[Effect] = []
            for event in (*events, *self._take_due_timer()):
                effects += self._handle(partial(self._core.handle, event))
            await self._perform(effects)

    def _handle(self, step: Callable[[Millis], list[Effect]]) -> list[Effect]:
        with self._timings.measure(Activity.CORE):
            return step(self._clock.get_now_ms())

    def _compute_wait_s(self) -> float | None:
        if self._timer_ms is None:
            return None
        return min((self._timer_ms - self._clock.get_now_ms()) / 1_000, TIMER_WAIT_MAX_S)

    def _take_due_timer(self) -> tuple[TimeAdvanced, ...]:
        now_ms = self._clock.get_now_ms()
        is_set_back, self._seen_ms = now_ms < self._seen_ms, now_ms
        if self._timer_ms is None or (now_ms < self._timer_ms and not is_set_back):
            return ()
        self._timer_ms = None
        return (TimeAdvanced(),)

    async def _perform(self, effects: Sequence[Effect]) -> None:
        await self._make_durable([effect for effect in effects if isinstance(effect, Persist | PersistBlock)])
        for effect in effects:
            await self._perform_one(effect)

    async def _make_durable(self, effects: Sequence[Persist | PersistBlock]) -> None:
        if not effects:
            return
        with self._timings.measure(Activity.DISK):
            await self._hands.store.append(effects)
        for effect in effects:
            match effect:
                case Persist(record=BlockRecord(block=block)):
                    self._hands.recent.add(block)
                case Persist(record=OwnProposalRecord(proposal=proposal)):
                    self._hands.recent.add(proposal.block)
                case Persist(record=OwnOperationRecord(operation=operation)):
                    self._hands.submissions.note_signed(operation)
                case _:
                    pass
        if any(isinstance(effect, PersistBlock) for effect in effects):
            await self._on_blocks_durable()

    async def _on_blocks_durable(self) -> None:
        self._hands.fetcher.note_height()
        if self._hands.store.is_snapshot_due():
            await self._hands.store.save_snapshot(self._core.state)

    async def _perform_one(self, effect: Effect) -> None:
        match effect:
            case Persist() | PersistBlock():
                pass
            case Broadcast(topic=topic, message=message):
                with self._timings.measure(Activity.PUBLISH):
                    await self._hands.transport.publish(topic, message)
            case ArmTimer(at_ms=at_ms):
                self._timer_ms = at_ms
            case AskWitnesses():
                self._hands.witnesses.want_answers()
            case SetMembers(contacts=contacts):
                self._hands.transport.set_members({contact.member: contact.addresses for contact in contacts})
            case FetchBlocks(from_height=from_height, hint=hint):
                self._hands.fetcher.want_blocks(from_height, hint)
            case FetchBlock(block_hash=block_hash):
                self._hands.fetcher.want_body(block_hash)
            case FetchArtifact() | TrainModel() | ComputeCandidate() | EvaluateModel() | ScreenUpdate():
                self._hands.workbench.start(effect)
            case MakeDeal() | CheckDeals() | DeriveShare() | JudgeDeal():
                self._hands.keysmith.start_nowait(effect)
            case ForgetArtifacts(digests=digests):
                self._hands.workbench.forget(digests)
            case Observe(observation=observation):
                self._tell(observation)
            case _:
                assert_never(effect)

    def _tell(self, observation: Observation) -> None:
        self._hands.workbench.note_observation(observation)
        if isinstance(observation, BlockExecuted):
            self._hands.submissions.note_executed(observation)
        self._hands.hub.publish(observation)
