"""F3, F6, F7, F8: what a node owes a round, as a function of the ledger and of what its worker has answered."""

from dataclasses import dataclass, field, replace

import pytest

from protocol.duties import Duties, DutiesConfig
from protocol.interface import (
    CandidateComputed,
    CandidateDiffers,
    ComputeCandidate,
    Effect,
    EvaluateModel,
    FetchArtifact,
    ModelEvaluated,
    Observe,
    Persist,
    TrainModel,
    UpdateTrained,
    WorkAbandoned,
    WorkFailed,
)
from protocol.journal import OwnBallotRecord, Record, ScoreRecord
from protocol.learning.artifact_format import compute_model_size_bytes
from protocol.operations import Ballot, Payload, RevealBallot, SealBallot, SubmitUpdate, compute_seal
from protocol.outcomes import Phase
from protocol.parameters import Parameters, Preset
from protocol.units import Bps, Digest, MemberId, Millis, Ppm, Round
from tests.helpers import LedgerBuilder, make_founders
from tests.values import SCHEMA, make_ballot, make_digest

PARAMETERS = Parameters(proposer_count=2, tolerance_bps=Bps(500))
CANDIDATE = make_digest("candidate")


@dataclass(slots=True)
class Desk:
    """One member's duties, with a worker that answers from a table."""

    builder: LedgerBuilder
    member: MemberId
    inverts_ballots: bool = False
    scores: dict[Digest, int] = field(default_factory=dict)
    """In parts per million; 900_000 where nothing is said."""
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
                digests = tuple(update.artifact_digest for update in updates)
                candidate = CANDIDATE if len(digests) > 1 else make_digest("alone", digests[0])
                event = CandidateComputed(base_digest=base_digest, update_digests=digests, candidate_digest=candidate)
                self.held.add(candidate)
                self.duties.on_candidate(event, self.builder.state)
            case EvaluateModel(model_digest=model_digest):
                score = Ppm(self.scores.get(model_digest, 900_000))
                self.duties.on_score(ModelEvaluated(model_digest=model_digest, score=score))
            case _:
                pass

    def get_ballot(self) -> Ballot:
        """Return the ballot that this member seals."""
        records = [effect.record for effect in self.work()[0] if isinstance(effect, Persist)]
        (ballot,) = [record.ballot for record in records if isinstance(record, OwnBallotRecord)]
        return ballot


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(7), parameters=PARAMETERS)


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


def test_a_proposer_trains_the_rounds_base_once(builder: LedgerBuilder) -> None:
    desk = make_proposer(builder)
    order = TrainModel(round=Round(1), base_digest=builder.round.base_digest)
    assert [effect for effect in desk.work()[0] if isinstance(effect, TrainModel)] == [order]


def test_a_proposer_submits_what_it_trained(builder: LedgerBuilder) -> None:
    """F3: the manifest names the artifact."""
    desk = make_proposer(builder)
    desk.duties.on_trained(trained(desk))
    assert desk.work()[1] == [
        SubmitUpdate(
            round=Round(1),
            base_digest=builder.round.base_digest,
            scale_exponents=(-20, -20),
            artifact_digest=make_digest("own update"),
            artifact_bytes=30,
            example_count=5,
        )
    ]


@pytest.mark.parametrize(
    "changes", [{"round": Round(7)}, {"base_digest": make_digest("other base")}], ids=["another round", "another base"]
)
def test_an_update_of_another_training_is_not_submitted(builder: LedgerBuilder, changes: dict[str, object]) -> None:
    desk = make_proposer(builder)
    desk.duties.on_trained(trained(desk, **changes))
    assert desk.work()[1] == []


def test_who_does_not_propose_does_not_train(builder: LedgerBuilder) -> None:
    builder.run_draw()
    desk = Desk(builder, builder.round.voters[0])
    effects, payloads = desk.work()
    assert not [effect for effect in effects if isinstance(effect, TrainModel)]
    assert payloads == []


def test_nothing_is_begun_after_the_deadline(builder: LedgerBuilder) -> None:
    """F15: it would come too late."""
    desk = make_proposer(builder)
    late = builder.round.deadline_ms + 1
    assert not [effect for effect in desk.work(now_ms=late)[0] if isinstance(effect, TrainModel)]


def test_a_model_that_is_not_here_is_fetched_first(builder: LedgerBuilder) -> None:
    desk = make_proposer(builder)
    desk.held.clear()
    digest = builder.genesis.model_digest
    size = compute_model_size_bytes(SCHEMA)
    fetch = FetchArtifact(digest=digest, bytes_expected=size, source=None, scale_exponents=None)
    assert desk.work()[0] == [fetch]


def test_a_voter_aggregates_the_updates_in_their_canonical_order(builder: LedgerBuilder) -> None:
    """F6: by itself, from the updates that the ledger names."""
    effects, _ = make_voter(builder).work()
    (order,) = [effect for effect in effects if isinstance(effect, ComputeCandidate)]
    digests = [update.artifact_digest for update in order.updates]
    assert digests == [entry.manifest.artifact_digest for entry in builder.round.updates] == sorted(digests)
    assert [update.scale_exponents for update in order.updates] == [(-20, -20), (-20, -20)]


def test_a_voter_seals_a_ballot_that_its_reveal_will_open(builder: LedgerBuilder) -> None:
    """F8."""
    desk = make_voter(builder)
    effects, payloads = desk.work()
    (record,) = [effect.record for effect in effects if isinstance(effect, Persist)]
    assert isinstance(record, OwnBallotRecord)
    (seal,) = payloads
    assert isinstance(seal, SealBallot)
    seal_everybody(builder, desk, seal)
    (reveal,) = desk.work()[1]
    assert isinstance(reveal, RevealBallot)
    assert reveal.ballot == record.ballot
    assert compute_seal(desk.member, reveal.round, reveal.attempt, reveal.ballot, reveal.salt) == seal.seal


def seal_everybody(builder: LedgerBuilder, desk: Desk, seal: Payload) -> None:
    """Let a member seal, and all other voters too."""
    others = [member for member in builder.round.voters if member != desk.member]
    seals = [(member, SealBallot(round=Round(1), attempt=0, seal=make_digest("seal", member))) for member in others]
    builder.add_payloads((desk.member, seal), *seals)
    assert builder.round.phase is Phase.REVEAL


def test_salts_differ_between_rounds_members_and_secrets(builder: LedgerBuilder) -> None:
    """F8: a known salt would unseal the ballot by trying both answers."""
    desk = make_voter(builder)
    one = desk.duties._compute_salt(builder.round)
    assert one != desk.duties._compute_salt(replace(builder.round, round=Round(2)))
    assert one != desk.duties._compute_salt(replace(builder.round, attempt=1))
    other = Duties(replace(desk.duties._config, salt_secret=b"other secret" * 3))
    assert one != other._compute_salt(builder.round)


@pytest.mark.parametrize(("score", "is_accept"), [(855_000, True), (854_999, False)])
def test_a_voter_accepts_down_to_the_tolerance(builder: LedgerBuilder, score: int, is_accept: bool) -> None:
    """F7: 5 % below 0.9 is 0.855."""
    desk = make_voter(builder)
    desk.scores = {builder.round.base_digest: 900_000, CANDIDATE: score}
    ballot = desk.get_ballot()
    assert (ballot.candidate_digest, ballot.is_accept) == (CANDIDATE, is_accept)


def test_a_voter_that_accepts_flags_nothing(builder: LedgerBuilder) -> None:
    """F8."""
    ballot = make_voter(builder).get_ballot()
    assert (ballot.is_accept, ballot.update_flags, ballot.is_base_flagged) == (True, (False, False), False)


def test_a_voter_that_rejects_judges_each_update_alone(builder: LedgerBuilder) -> None:
    """F8."""
    desk = make_voter(builder)
    bad = builder.round.updates[1].manifest.artifact_digest
    desk.scores = {CANDIDATE: 100_000, make_digest("alone", bad): 100_000}
    ballot = desk.get_ballot()
    assert (ballot.is_accept, ballot.update_flags) == (False, (False, True))


def accept_worse_model(builder: LedgerBuilder) -> Digest:
    """Let the ledger accept a model, and return its digest."""
    builder.run_round()
    return builder.state.model_digest


def test_the_reference_is_the_best_model_accepted_so_far(builder: LedgerBuilder) -> None:
    """F7: or the model could be ratcheted down by one tolerance each round."""
    first = builder.state.model_digest
    latest = accept_worse_model(builder)
    builder.run_to_sealing()
    desk = Desk(builder, builder.round.voters[0], held={latest})
    desk.duties.on_score(ModelEvaluated(model_digest=first, score=Ppm(900_000)))
    desk.scores = {latest: 860_000, CANDIDATE: 850_000}
    ballot = desk.get_ballot()
    assert (ballot.is_accept, ballot.is_base_flagged) == (False, False)


def test_a_base_that_fails_against_the_best_is_flagged(builder: LedgerBuilder) -> None:
    """F8."""
    first = builder.state.model_digest
    latest = accept_worse_model(builder)
    builder.run_to_sealing()
    desk = Desk(builder, builder.round.voters[0], held={latest})
    desk.duties.on_score(ModelEvaluated(model_digest=first, score=Ppm(900_000)))
    desk.scores = {latest: 700_000, CANDIDATE: 700_000}
    assert desk.get_ballot().is_base_flagged


def test_the_papers_reference_is_the_latest_model() -> None:
    """F7, preset paper."""
    builder = LedgerBuilder(make_founders(7), parameters=replace(PARAMETERS, preset=Preset.PAPER))
    first = builder.state.model_digest
    latest = accept_worse_model(builder)
    builder.run_to_sealing()
    desk = Desk(builder, builder.round.voters[0], held={latest})
    desk.duties.on_score(ModelEvaluated(model_digest=first, score=Ppm(900_000)))
    desk.scores = {latest: 700_000, CANDIDATE: 690_000}
    ballot = desk.get_ballot()
    assert (ballot.is_accept, ballot.is_base_flagged) == (True, False)


def test_on_request_a_voter_votes_the_wrong_way_round(builder: LedgerBuilder) -> None:
    desk = make_voter(builder, inverts_ballots=True)
    ballot = desk.get_ballot()
    assert (ballot.is_accept, ballot.update_flags) == (False, (True, True))


def test_who_does_not_vote_does_not_judge(builder: LedgerBuilder) -> None:
    builder.run_to_sealing()
    desk = Desk(builder, builder.round.proposers[0])
    effects, payloads = desk.work()
    assert not [effect for effect in effects if isinstance(effect, ComputeCandidate)]
    assert payloads == []


def test_a_ballot_is_sealed_once(builder: LedgerBuilder) -> None:
    desk = make_voter(builder)
    (seal,) = desk.work()[1]
    assert desk.work() == ([], [])
    builder.add_payloads((desk.member, seal))
    assert desk.work() == ([], [])


def test_a_ballot_that_the_ledger_has_no_seal_of_is_not_revealed(builder: LedgerBuilder) -> None:
    """F8: it would be refused."""
    desk = make_voter(builder)
    desk.work()
    builder.run_sealing(
        {member: make_ballot(builder.round) for member in builder.round.voters if member != desk.member}
    )
    assert builder.round.phase is Phase.REVEAL
    assert desk.work()[1] == []


def test_a_restart_reveals_the_ballot_behind_its_seal(builder: LedgerBuilder) -> None:
    """C10's idea for ballots: without the record the seal could not be opened."""
    desk = make_voter(builder)
    effects, (seal,) = desk.work()
    records: list[Record] = [effect.record for effect in effects if isinstance(effect, Persist)]
    seal_everybody(builder, desk, seal)
    desk.duties = desk.make_duties()
    assert desk.work()[1] == []
    desk.duties = desk.make_duties()
    desk.duties.restore(records)
    (reveal,) = desk.work()[1]
    assert isinstance(reveal, RevealBallot)


def test_a_restart_knows_the_scores(builder: LedgerBuilder) -> None:
    desk = make_voter(builder)
    desk.duties.restore([ScoreRecord(model_digest=builder.round.base_digest, score=Ppm(5))])
    assert desk.duties.get_score(builder.round.base_digest) == 5
    assert EvaluateModel(round=Round(1), model_digest=builder.round.base_digest) not in desk.work()[0]


def test_a_score_is_remembered_once(builder: LedgerBuilder) -> None:
    desk = make_voter(builder)
    event = ModelEvaluated(model_digest=CANDIDATE, score=Ppm(7))
    assert desk.duties.on_score(event) == [Persist(record=ScoreRecord(model_digest=CANDIDATE, score=Ppm(7)))]
    assert desk.duties.on_score(event) == []


def test_failed_work_makes_silent_for_this_round_only(builder: LedgerBuilder) -> None:
    desk = make_proposer(builder)
    observed = desk.duties.on_failed(WorkFailed(round=Round(1), reason="no memory"))
    assert observed == [Observe(observation=WorkAbandoned(round=Round(1), reason="no memory"))]
    assert not [effect for effect in desk.work()[0] if isinstance(effect, TrainModel)]
    while builder.round.round == 1:
        builder.pass_deadline()
    builder.run_draw()
    again = [desk for desk in [Desk(builder, builder.round.proposers[0])] if desk.member]
    assert [effect for effect in again[0].work()[0] if isinstance(effect, TrainModel)]


def test_an_accepted_model_is_computed_here_if_its_updates_are(builder: LedgerBuilder) -> None:
    """F6: a node that did not vote computes the candidate by itself instead of fetching it."""
    builder.run_to_sealing()
    desk = Desk(builder, builder.round.proposers[0])
    updates = tuple(entry.manifest.artifact_digest for entry in builder.round.updates)
    desk.held.update(updates)
    desk.work()
    round_state = builder.round
    record = builder.run_voting(lambda _: make_ballot(round_state))
    desk.duties.on_settled(record, builder.state)
    (order,) = [effect for effect in desk.plan()[0] if isinstance(effect, ComputeCandidate)]
    assert tuple(update.artifact_digest for update in order.updates) == updates
    # Its own result differs from what the others accepted: its operator must know.
    event = CandidateComputed(base_digest=record.base_digest, update_digests=updates, candidate_digest=CANDIDATE)
    differs = CandidateDiffers(
        round=record.round, computed_digest=CANDIDATE, accepted_digest=builder.state.model_digest
    )
    assert desk.duties.on_candidate(event, builder.state) == [Observe(observation=differs)]
    assert [effect for effect in desk.plan()[0] if isinstance(effect, FetchArtifact)]


def test_after_a_round_its_artifacts_are_let_go_but_not_the_model(builder: LedgerBuilder) -> None:
    desk = make_voter(builder)
    desk.work()
    updates = {entry.manifest.artifact_digest for entry in builder.round.updates}
    round_state = builder.round
    record = builder.run_voting(lambda _: make_ballot(round_state, candidate=CANDIDATE))
    forgettable = set(desk.duties.on_settled(record, builder.state))
    assert builder.state.model_digest == CANDIDATE
    assert forgettable == updates
