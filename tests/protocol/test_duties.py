"""F3, F6: what a node trains, fetches and computes in a round, and what it lets go afterwards."""

import pytest

from protocol.interface import (
    CandidateComputed,
    ComputeCandidate,
    EvaluateModel,
    FetchArtifact,
    ModelEvaluated,
    Observe,
    Persist,
    ScreeningFailed,
    TrainModel,
    UpdateReference,
    WorkFailed,
)
from protocol.journal import ScoreRecord
from protocol.learning.artifact_format import compute_model_size_bytes
from protocol.observations import CandidateDiffers, UpdateNotScreened, WorkAbandoned
from protocol.operations import SubmitUpdate
from protocol.units import Ppm, Round
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.protocol.desk import (
    CANDIDATE,
    EIGHTH,
    PARAMETERS,
    Desk,
    make_proposer,
    make_voter,
    trained,
)
from tests.values import SCHEMA, make_ballot, make_digest


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(7), parameters=PARAMETERS)


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


def test_a_restart_knows_the_scores(builder: LedgerBuilder) -> None:
    desk = make_voter(builder)
    desk.duties.restore([ScoreRecord(model_digest=builder.round.base_digest, score=Ppm(5))])
    assert desk.duties.get_score(builder.round.base_digest) == 5
    assert EvaluateModel(round=Round(1), model_digest=builder.round.base_digest, base_digest=None) not in desk.work()[0]


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


def test_an_update_that_cannot_be_screened_is_told_to_people(builder: LedgerBuilder) -> None:
    desk = make_voter(builder)
    update = UpdateReference(artifact_digest=make_digest("update"), scale_exponents=EIGHTH)
    failed = ScreeningFailed(round=Round(1), base_digest=make_digest("base"), update=update, reason="no memory")
    told = UpdateNotScreened(round=Round(1), update_digest=update.artifact_digest, reason="no memory")
    assert desk.duties.on_screened(failed) == [Observe(observation=told)]


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
    event = CandidateComputed(base_digest=record.base_digest, updates=order.updates, candidate_digest=CANDIDATE)
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
