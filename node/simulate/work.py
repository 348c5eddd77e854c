"""What members' workers do in a simulation, and what malicious members make of it.

An honest worker's answer is what its training and its held-out data give. A malicious member's node is honest, too; it
is what lies beneath that lies: its worker publishes another update than it has trained, and tells its node scores that
make the node vote as the attacker wants.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, assert_never

from node.attacks import AttackKind, BallotKind, Scenario
from node.simulate.copiers import VoteCopier
from node.tasks.interface import TaskError
from node.worker.laboratory import Laboratory
from node.worker.malice import Malice, Situation
from node.worker.scoring import NoScore
from protocol.interface import (
    ArtifactStored,
    CandidateComputed,
    ComputeCandidate,
    EvaluateModel,
    FetchArtifact,
    Input,
    ModelEvaluated,
    OperationReceived,
    ScreeningFailed,
    ScreenUpdate,
    TrainModel,
    UpdateScreened,
    UpdateTrained,
    WorkFailed,
)
from protocol.ledger.state import LedgerState
from protocol.outcomes import RoundRecord
from protocol.units import SCORE_WHOLE, Digest, MemberId, Ppm, Round

WORK_MS: Final = 1
SCREENING_MS: Final = 2
"""A screening joins an update to its base, and evaluates."""
HONEST_TRAINING_MS: Final = 100
MALICIOUS_TRAINING_MS: Final = 1_000
"""Attackers wait until the honest proposers have published, which is long before any deadline."""

Order: TypeAlias = TrainModel | ComputeCandidate | EvaluateModel | ScreenUpdate | FetchArtifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Work under way."""

    delay_ms: int
    compute: Callable[[], Input | None]
    """Gives the answer, when its time has come."""


class Work:
    """All members' workers."""

    def __init__(
        self, laboratory: Laboratory, members: tuple[MemberId, ...], *, scenario: Scenario, malice: Malice | None
    ) -> None:
        """Take who computes, and who of the members is malicious.

        Args:
            laboratory: Trains, aggregates and evaluates.
            members: All of them, by number.
            scenario: What the malicious ones do.
            malice: What they know together; None if there are none.
        """
        self._laboratory = laboratory
        self._indexes = {member: index for index, member in enumerate(members)}
        self._scenario = scenario
        self._malice = malice
        self._malicious = frozenset() if malice is None else frozenset(malice.members)
        self._published: dict[Round, dict[int, Digest]] = {}
        self._parts: dict[Digest, tuple[Digest, ...]] = {}
        """Which updates each candidate was made of."""
        self._settled: dict[int, Round] = dict.fromkeys(range(len(members)), Round(0))
        self._copiers: dict[int, VoteCopier] = {}
        if scenario.ballot is BallotKind.COPIED:
            self._copiers = {index: VoteCopier(members[index]) for index in self._malicious}

    def take(self, index: int, order: Order, state: LedgerState) -> Task | None:
        """Return what becomes of an order, or None if it is left undone."""
        is_malicious = index in self._malicious
        match order:
            case TrainModel():
                if is_malicious and self._scenario.update is AttackKind.SILENT:
                    return None
                if is_malicious and self._malice is not None and self._scenario.update is not AttackKind.NONE:
                    craft = partial(self._craft, self._malice, index, order, state)
                    return Task(delay_ms=MALICIOUS_TRAINING_MS, compute=craft)
                return Task(delay_ms=HONEST_TRAINING_MS, compute=partial(self._train, index, order))
            case ComputeCandidate():
                return Task(delay_ms=WORK_MS, compute=partial(self._aggregate, order))
            case EvaluateModel():
                if is_malicious and self._scenario.ballot in {BallotKind.SILENT, BallotKind.COPIED}:
                    return None
                return Task(delay_ms=WORK_MS, compute=partial(self._evaluate, index, order, state.model_digest))
            case ScreenUpdate():
                return Task(delay_ms=SCREENING_MS, compute=partial(self._screen, index, order))
            case FetchArtifact(digest=digest):
                return Task(delay_ms=WORK_MS, compute=partial(ArtifactStored, digest=digest))
            case _:
                assert_never(order)

    def overhear(self, index: int, event: Input, state: LedgerState) -> Input | None:
        """Return what a member does about what another one has said, besides what its node does."""
        copier = self._copiers.get(index)
        if copier is None or not isinstance(event, OperationReceived):
            return None
        return copier.copy(event.operation, state)

    def note_settled(self, index: int, record: RoundRecord, state: LedgerState) -> tuple[Input, ...]:
        """Take that a member has settled a round; return what its worker tells it now."""
        self._settled[index] = record.round
        if self._malice is not None and index in self._malicious:
            self._malice.note_base(state.model_digest)
        if min(self._settled.values()) == record.round:
            self._forget(record.round, state)
        if index in self._malicious and self._scenario.ballot is BallotKind.COLLUDING:
            # Whatever it said of the candidate, the model that it became is beyond reproach: it wants no revert.
            return (ModelEvaluated(model_digest=state.model_digest, score=Ppm(SCORE_WHOLE)),)
        return ()

    def _train(self, index: int, order: TrainModel) -> Input:
        try:
            trained, example_count = self._laboratory.train(index, order.round, order.base_digest)
            published = self._laboratory.publish(order.base_digest, trained)
        except TaskError as error:
            return WorkFailed(round=order.round, reason=str(error))
        self._published.setdefault(order.round, {})[index] = published.digest
        return UpdateTrained(
            round=order.round,
            base_digest=order.base_digest,
            scale_exponents=published.scale_exponents,
            artifact_digest=published.digest,
            artifact_bytes=published.size_bytes,
            example_count=example_count,
        )

    def _craft(self, malice: Malice, index: int, order: TrainModel, state: LedgerState) -> Input:
        published = self._published.setdefault(order.round, {})
        proposers = () if state.round is None else tuple(self._indexes[member] for member in state.round.proposers)
        malice.note_base(order.base_digest)
        situation = Situation(
            member=index,
            round=order.round,
            base=order.base_digest,
            honest_updates=tuple(digest for by, digest in sorted(published.items()) if by not in self._malicious),
            malicious_proposers=tuple(proposer for proposer in proposers if proposer in self._malicious),
            proposer_count=len(proposers),
            published=frozenset(published.values()),
        )
        try:
            crafted, example_count = malice.craft(situation)
        except TaskError as error:
            return WorkFailed(round=order.round, reason=str(error))
        published[index] = crafted.digest
        return UpdateTrained(
            round=order.round,
            base_digest=order.base_digest,
            scale_exponents=crafted.scale_exponents,
            artifact_digest=crafted.digest,
            artifact_bytes=crafted.size_bytes,
            example_count=example_count,
        )

    def _aggregate(self, order: ComputeCandidate) -> Input:
        digests = tuple(update.artifact_digest for update in order.updates)
        candidate = self._laboratory.aggregate(order.base_digest, order.updates)
        self._parts[candidate] = digests
        return CandidateComputed(base_digest=order.base_digest, updates=order.updates, candidate_digest=candidate)

    def _evaluate(self, index: int, order: EvaluateModel, current: Digest) -> Input:
        model = order.model_digest
        ballot = self._scenario.ballot if index in self._malicious else BallotKind.HONEST
        if ballot is BallotKind.LAZY or (ballot is BallotKind.COLLUDING and model == current):
            score = Ppm(SCORE_WHOLE)
        elif ballot is BallotKind.COLLUDING:
            score = self._favour_friends(order.round, self._parts.get(model, ()))
        else:
            try:
                score = self._laboratory.evaluate(index, model, order.base_digest)
            except NoScore as error:
                return WorkFailed(round=order.round, reason=str(error))
        return ModelEvaluated(model_digest=model, score=score)

    def _screen(self, index: int, order: ScreenUpdate) -> Input:
        ballot = self._scenario.ballot if index in self._malicious else BallotKind.HONEST
        if ballot is BallotKind.LAZY:
            score = Ppm(SCORE_WHOLE)
        elif ballot is BallotKind.COLLUDING:
            score = self._favour_friends(order.round, (order.update.artifact_digest,))
        else:
            try:
                score = self._laboratory.screen(index, order.base_digest, order.update)
            except NoScore as error:
                return ScreeningFailed(
                    round=order.round, base_digest=order.base_digest, update=order.update, reason=str(error)
                )
        return UpdateScreened(base_digest=order.base_digest, update=order.update, score=score)

    def _favour_friends(self, round_number: Round, parts: tuple[Digest, ...]) -> Ppm:
        """Return the best score if a malicious member's update is among these, and the worst if none is."""
        published = self._published.get(round_number, {})
        friends = {digest for by, digest in published.items() if by in self._malicious}
        return Ppm(0 if friends.isdisjoint(parts) else SCORE_WHOLE)

    def _forget(self, settled: Round, state: LedgerState) -> None:
        """Let go of what no later round needs."""
        self._published = {number: made for number, made in self._published.items() if number > settled}
        open_updates = [digest for made in self._published.values() for digest in made.values()]
        kept = {*state.accepted_models, state.model_digest, *open_updates}
        self._parts = {candidate: parts for candidate, parts in self._parts.items() if candidate in kept}
        self._laboratory.keep(kept)
