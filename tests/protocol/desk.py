"""One member's duties on a bench: a ledger built by the test, and a worker that answers from a table."""

from dataclasses import dataclass, field, replace

from protocol.duties import Duties, DutiesConfig
from protocol.interface import (
    CandidateComputed,
    ComputeCandidate,
    Effect,
    EvaluateModel,
    ModelEvaluated,
    Persist,
    ScreeningFailed,
    ScreenUpdate,
    UpdateReference,
    UpdateScreened,
    UpdateTrained,
)
from protocol.journal import OwnBallotRecord
from protocol.operations import Ballot, Payload, SealBallot
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.units import Bps, Digest, MemberId, Millis, Ppm, Round
from tests.helpers import LedgerBuilder
from tests.values import SCHEMA, make_digest

PARAMETERS = Parameters(proposer_count=2, voter_count_max=5, tolerance_bps=Bps(500))


CANDIDATE = make_digest("candidate")


WHOLE, EIGHTH = (-20, -20), (-23, -23)
"""The scales of :func:`make_manifest`, and those of a share of such an update (F8)."""


def name_alone(update: UpdateReference) -> Digest:
    """Return the model that one update makes, whole or an eighth of it; other scales than the manifests' count."""
    if update.scale_exponents == EIGHTH:
        return make_digest("share", update.artifact_digest)
    scales = () if update.scale_exponents == WHOLE else update.scale_exponents
    return make_digest("alone", update.artifact_digest, *scales)


@dataclass(slots=True)
class Desk:
    """One member's duties, with a worker that answers from a table."""

    builder: LedgerBuilder
    member: MemberId
    inverts_ballots: bool = False
    scores: dict[Digest, int] = field(default_factory=dict)
    """In parts per million; 900_000 where nothing is said."""
    unscored: set[Digest] = field(default_factory=set)
    """What the worker fails to score."""
    unanswered: set[Digest] = field(default_factory=set)
    """Updates that are still being screened."""
    held: set[Digest] = field(default_factory=set)
    asked: list[Effect] = field(default_factory=list)
    duties: Duties = field(init=False)

    def __post_init__(self) -> None:
        self.duties = self.make_duties()
        self.held.add(self.builder.genesis.model_digest)

    def make_duties(self) -> Duties:
        return Duties(
            DutiesConfig(
                chain_id=self.builder.chain_id,
                parameters=self.builder.parameters,
                schema=SCHEMA,
                member=self.member,
                salt_secret=b"secret" * 6,
                inverts_ballots=self.inverts_ballots,
            )
        )

    def plan(self, *, now_ms: int | None = None) -> tuple[list[Effect], list[Payload]]:
        """Return what is to be done once."""
        now = self.builder.state.time_ms if now_ms is None else Millis(now_ms)
        plan = self.duties.plan(self.builder.state, self.held, now)
        return plan.effects, plan.payloads

    def work(self, *, now_ms: int | None = None) -> tuple[list[Effect], list[Payload]]:
        """Answer every order until nothing more is asked; return all effects and payloads."""
        everything: list[Effect] = []
        payloads: list[Payload] = []
        while True:
            effects, new = self.plan(now_ms=now_ms)
            everything += effects
            payloads += new
            if not effects and not new:
                return everything, payloads
            for effect in effects:
                self._answer(effect)

    def _answer(self, effect: Effect) -> None:
        match effect:
            case ComputeCandidate(base_digest=base_digest, updates=updates):
                candidate = CANDIDATE if len(updates) > 1 else name_alone(updates[0])
                event = CandidateComputed(base_digest=base_digest, updates=updates, candidate_digest=candidate)
                self.held.add(candidate)
                self.duties.on_candidate(event, self.builder.state)
            case EvaluateModel(model_digest=model_digest):
                score = Ppm(self.scores.get(model_digest, 900_000))
                self.duties.on_score(ModelEvaluated(model_digest=model_digest, score=score))
            case ScreenUpdate(update=update) if update.artifact_digest in self.unanswered:
                pass
            case ScreenUpdate(base_digest=base_digest, update=update):
                self.duties.on_screened(self._screen(effect.round, base_digest, update))
            case _:
                pass

    def _screen(
        self, round_number: Round, base_digest: Digest, update: UpdateReference
    ) -> UpdateScreened | ScreeningFailed:
        name = name_alone(update)
        if name in self.unscored:
            return ScreeningFailed(round=round_number, base_digest=base_digest, update=update, reason="no disk")
        return UpdateScreened(base_digest=base_digest, update=update, score=Ppm(self.scores.get(name, 900_000)))

    def get_ballot(self) -> Ballot:
        """Return the ballot that this member seals."""
        records = [effect.record for effect in self.work()[0] if isinstance(effect, Persist)]
        (ballot,) = [record.ballot for record in records if isinstance(record, OwnBallotRecord)]
        return ballot


def make_proposer(builder: LedgerBuilder) -> Desk:
    builder.run_draw()
    return Desk(builder, builder.round.proposers[0])


def make_voter(builder: LedgerBuilder, *, inverts_ballots: bool = False) -> Desk:
    builder.run_to_sealing()
    return Desk(builder, builder.round.voters[0], inverts_ballots)


def trained(desk: Desk, **changes: object) -> UpdateTrained:
    event = UpdateTrained(
        round=desk.builder.round.round,
        base_digest=desk.builder.round.base_digest,
        scale_exponents=(-20, -20),
        artifact_digest=make_digest("own update"),
        artifact_bytes=30,
        example_count=5,
    )
    return replace(event, **changes)  # type: ignore[arg-type]


def seal_everybody(builder: LedgerBuilder, desk: Desk, seal: Payload) -> None:
    """Let a member seal, and all other voters too."""
    others = [member for member in builder.round.voters if member != desk.member]
    seals = [(member, SealBallot(round=Round(1), attempt=0, seal=make_digest("seal", member))) for member in others]
    builder.add_payloads((desk.member, seal), *seals)
    assert builder.round.phase is Phase.REVEAL


def accept_worse_model(builder: LedgerBuilder) -> Digest:
    """Let the ledger accept a model, and return its digest."""
    builder.run_round()
    return builder.state.model_digest
