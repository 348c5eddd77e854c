"""F6, F7, F8: how a voter judges, seals and reveals."""

from dataclasses import replace

import pytest

from protocol.duties import Duties
from protocol.interface import (
    ComputeCandidate,
    EvaluateModel,
    ModelEvaluated,
    Persist,
    ScreenUpdate,
    UpdateReference,
    UpdateScreened,
)
from protocol.journal import OwnBallotRecord, Record
from protocol.operations import RevealBallot, SealBallot, compute_seal
from protocol.outcomes import Phase, RoundRecord
from protocol.parameters import Preset
from protocol.units import Ppm, Round
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.protocol.desk import (
    CANDIDATE,
    EIGHTH,
    PARAMETERS,
    WHOLE,
    Desk,
    accept_worse_model,
    make_voter,
    seal_everybody,
)
from tests.values import make_ballot, make_digest


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(7), parameters=PARAMETERS)


def finish_round(builder: LedgerBuilder) -> RoundRecord:
    """Let everybody accept what the open round's updates make."""
    ballot = make_ballot(builder.round)
    return builder.run_voting(lambda _: ballot)


def test_a_voter_aggregates_the_updates_in_their_canonical_order(builder: LedgerBuilder) -> None:
    """F6: by itself, from the updates that the ledger names."""
    effects, _ = make_voter(builder).work()
    (order,) = [effect for effect in effects if isinstance(effect, ComputeCandidate)]
    digests = [update.artifact_digest for update in order.updates]
    assert digests == [entry.manifest.artifact_digest for entry in builder.round.updates] == sorted(digests)
    assert [update.scale_exponents for update in order.updates] == [WHOLE, WHOLE]


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


@pytest.mark.parametrize("candidate_score", [900_000, 100_000])
@pytest.mark.parametrize(("score", "is_flagged"), [(898_200, False), (898_199, True)])
def test_a_voter_screens_every_update_whatever_it_says_of_the_candidate(
    builder: LedgerBuilder, candidate_score: int, score: int, is_flagged: bool
) -> None:
    """F8: an eighth of an update may cost two thousandths of the base's 0.9."""
    desk = make_voter(builder)
    bad = builder.round.updates[1].manifest.artifact_digest
    desk.scores = {CANDIDATE: candidate_score, make_digest("share", bad): score}
    ballot = desk.get_ballot()
    assert (ballot.is_accept, ballot.update_flags) == (candidate_score == 900_000, (False, is_flagged))
    assert not ballot.is_base_flagged


def test_a_voter_orders_the_score_of_an_eighth_of_each_update_on_the_base(builder: LedgerBuilder) -> None:
    """F8."""
    effects, _ = make_voter(builder).work()
    orders = [effect for effect in effects if isinstance(effect, ScreenUpdate)]
    assert [(order.round, order.base_digest) for order in orders] == [(Round(1), builder.round.base_digest)] * 2
    assert [(order.update.artifact_digest, order.update.scale_exponents) for order in orders] == [
        (entry.manifest.artifact_digest, EIGHTH) for entry in builder.round.updates
    ]


def test_a_voter_orders_the_candidates_score_beside_its_base_and_the_bases_alone(builder: LedgerBuilder) -> None:
    """F7: what cannot be scored is as bad as can be only if the base it is made of can be."""
    desk = make_voter(builder)
    base = builder.round.base_digest
    orders = [effect for effect in desk.work()[0] if isinstance(effect, EvaluateModel)]
    assert [(order.model_digest, order.base_digest) for order in orders] == [(base, None), (CANDIDATE, base)]


def test_what_a_voter_cannot_score_it_does_not_flag_and_it_still_flags_the_others(builder: LedgerBuilder) -> None:
    """F8: its own disk or worker failed, which says nothing of the update."""
    desk = make_voter(builder)
    unscored, bad = [make_digest("share", entry.manifest.artifact_digest) for entry in builder.round.updates]
    desk.unscored = {unscored}
    desk.scores = {bad: 0}
    assert desk.get_ballot().update_flags == (False, True)


def test_a_voter_waits_for_the_score_of_every_update(builder: LedgerBuilder) -> None:
    """F8."""
    desk = make_voter(builder)
    late = builder.round.updates[1].manifest.artifact_digest
    desk.unanswered = {late}
    assert desk.work()[1] == []
    update = UpdateReference(artifact_digest=late, scale_exponents=EIGHTH)
    base_digest = builder.round.base_digest
    desk.duties.on_screened(UpdateScreened(base_digest=base_digest, update=update, score=Ppm(0)))
    assert desk.get_ballot().update_flags == (False, True)


def test_a_score_on_another_base_is_none_on_this(builder: LedgerBuilder) -> None:
    """F8: an answer may come when its round is over."""
    desk = make_voter(builder)
    for entry in builder.round.updates:
        update = UpdateReference(artifact_digest=entry.manifest.artifact_digest, scale_exponents=EIGHTH)
        desk.duties.on_screened(UpdateScreened(base_digest=make_digest("old"), update=update, score=Ppm(0)))
    assert desk.get_ballot().update_flags == (False, False)


def test_a_settled_round_leaves_no_scores_of_updates_behind(builder: LedgerBuilder) -> None:
    desk = make_voter(builder)
    desk.get_ballot()
    assert desk.duties._screened
    ballot = make_ballot(builder.round)
    settled = builder.run_voting(lambda _: ballot)
    desk.duties.on_settled(settled, builder.state)
    assert not desk.duties._screened


def test_a_voter_remembers_whose_updates_harmed_it(builder: LedgerBuilder) -> None:
    """F8: what costs half of the limit is flagged if its proposer's last update cost four times the limit."""
    desk = make_voter(builder)
    bad = builder.round.updates[0].member
    desk.scores = {make_digest("share", builder.round.updates[0].manifest.artifact_digest): 892_800}
    assert desk.get_ballot().update_flags == (True, False)
    while True:
        desk.duties.on_settled(finish_round(builder), builder.state)
        desk.held.add(builder.state.model_digest)
        builder.run_to_sealing()
        if bad in builder.round.proposers and desk.member in builder.round.voters:
            break
    members = [entry.member for entry in builder.round.updates]
    desk.scores = {make_digest("share", entry.manifest.artifact_digest): 899_100 for entry in builder.round.updates}
    assert desk.get_ballot().update_flags == tuple(member == bad for member in members)


def test_in_preset_paper_nobody_flags_an_update() -> None:
    builder = LedgerBuilder(make_founders(7), parameters=replace(PARAMETERS, preset=Preset.PAPER))
    desk = make_voter(builder)
    desk.scores = {make_digest("share", entry.manifest.artifact_digest): 0 for entry in builder.round.updates}
    assert desk.get_ballot().update_flags == (False, False)


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
    assert [type(payload) for payload in desk.work()[1]] == [RevealBallot]
