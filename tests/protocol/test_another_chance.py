"""What nodes do when a round gets another chance: the retrial (F11), standbys (F13); and with copied updates (F3)."""

from dataclasses import replace

import pytest

from protocol.interface import ComputeCandidate, Effect, EvaluateModel, Persist, ScreenUpdate, TrainModel
from protocol.journal import OwnBallotRecord, Record
from protocol.operations import Payload, RevealBallot, SealBallot, SubmitUpdate
from protocol.outcomes import Phase, RoundRecord, Verdict
from protocol.units import MemberId
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.protocol.desk import CANDIDATE, PARAMETERS, WHOLE, Desk, trained
from tests.values import make_digest, make_manifest

BAD = 100_000
"""A score; what is not said to be bad has 900_000."""


@pytest.fixture
def builder() -> LedgerBuilder:
    """Of the seven members two propose, three vote and two stand by."""
    builder = LedgerBuilder(make_founders(7), parameters=replace(PARAMETERS, voter_count_max=3))
    builder.run_draw()
    return builder


def open_desks(builder: LedgerBuilder, members: tuple[MemberId, ...]) -> list[Desk]:
    """Return members that find the first update bad, and the candidate of both."""
    first = builder.round.updates[0].manifest.artifact_digest
    return [Desk(builder, member, scores={CANDIDATE: BAD, make_digest("share", first): BAD}) for member in members]


def let_work(builder: LedgerBuilder, desks: list[Desk]) -> tuple[list[list[Effect]], RoundRecord | None]:
    """Let members do what they owe and order what they submit; return each one's effects and what has settled."""
    effects: list[list[Effect]] = []
    payloads: list[tuple[MemberId, Payload]] = []
    for desk in desks:
        asked, submitted = desk.work()
        effects.append(asked)
        payloads += [(desk.member, payload) for payload in submitted]
    return effects, builder.add_payloads(*payloads).settled


def get_ballots(effects: list[Effect]) -> list[OwnBallotRecord]:
    records = [effect.record for effect in effects if isinstance(effect, Persist)]
    return [record for record in records if isinstance(record, OwnBallotRecord)]


def open_retrial(builder: LedgerBuilder) -> tuple[list[Desk], list[Record]]:
    """Return the voters of a round at the beginning of its retrial, and what the first of them has written down."""
    builder.run_training()
    desks = open_desks(builder, builder.round.voters)
    sealed, _ = let_work(builder, desks)
    let_work(builder, desks)
    assert (builder.round.phase, builder.round.attempt) == (Phase.SEAL, 1)
    return desks, list(get_ballots(sealed[0]))


def test_voters_judge_what_is_left_and_accept_it(builder: LedgerBuilder) -> None:
    """F7, F8, F11: an update that was screened already is not screened again."""
    desks, _ = open_retrial(builder)
    rest = builder.round.updates[0].manifest.artifact_digest
    effects, _ = let_work(builder, desks)
    (record,) = get_ballots(effects[0])
    assert (record.attempt, record.ballot.is_accept) == (1, True)
    assert (record.ballot.candidate_digest, record.ballot.update_flags) == (make_digest("alone", rest), (False,))
    (order,) = [effect for effect in effects[0] if isinstance(effect, ComputeCandidate)]
    assert [update.scale_exponents for update in order.updates] == [WHOLE]
    (evaluation,) = [effect for effect in effects[0] if isinstance(effect, EvaluateModel)]
    assert evaluation.model_digest == make_digest("alone", rest)
    assert not [effect for effect in effects[0] if isinstance(effect, ScreenUpdate)]
    _, settled = let_work(builder, desks)
    assert settled is not None
    assert (settled.verdict, builder.state.model_digest) == (Verdict.ACCEPT, make_digest("alone", rest))


def test_a_restart_in_the_retrial_reveals_the_ballot_of_the_retrial(builder: LedgerBuilder) -> None:
    """F8: both ballots of the round are on the disk."""
    desks, records = open_retrial(builder)
    effects, _ = let_work(builder, desks)
    own = get_ballots(effects[0])
    again = Desk(builder, desks[0].member)
    again.duties.restore([*own, *records])
    (reveal,) = again.work()[1]
    assert isinstance(reveal, RevealBallot)
    assert (reveal.attempt, reveal.ballot) == (1, own[0].ballot)
    assert builder.add_payloads((again.member, reveal)).results[0].refusal == 0


def test_who_did_not_vote_computes_the_model_from_what_is_left(builder: LedgerBuilder) -> None:
    """F6, F11."""
    desks, _ = open_retrial(builder)
    reader = Desk(builder, builder.round.standbys[0])
    rest = [entry.manifest.artifact_digest for entry in builder.round.updates]
    reader.held.update(rest)
    reader.work()
    let_work(builder, desks)
    _, record = let_work(builder, desks)
    assert record is not None
    reader.duties.on_settled(record, builder.state)
    (order,) = [effect for effect in reader.plan()[0] if isinstance(effect, ComputeCandidate)]
    assert [update.artifact_digest for update in order.updates] == rest


def test_who_has_not_seen_the_retrial_does_not_compute_the_model_from_all_updates(builder: LedgerBuilder) -> None:
    """F6, F11: it fetches it."""
    builder.run_training()
    desks = open_desks(builder, builder.round.voters)
    reader = Desk(builder, builder.round.standbys[0])
    reader.held.update(entry.manifest.artifact_digest for entry in builder.round.updates)
    reader.work()
    settled = [let_work(builder, desks)[1] for _ in range(4)][-1]
    assert settled is not None
    reader.duties.on_settled(settled, builder.state)
    assert not [effect for effect in reader.plan()[0] if isinstance(effect, ComputeCandidate)]


def test_a_standby_trains_once_it_has_a_proposers_place(builder: LedgerBuilder) -> None:
    """F13; and the proposer whose place it was goes on no longer."""
    silent, standby = Desk(builder, builder.round.proposers[0]), Desk(builder, builder.round.standbys[0])
    assert not [effect for effect in standby.work()[0] if isinstance(effect, TrainModel)]
    silent.work()
    builder.pass_deadline()
    (order,) = [effect for effect in standby.work()[0] if isinstance(effect, TrainModel)]
    assert order.round == builder.round.round
    standby.duties.on_trained(trained(standby))
    silent.duties.on_trained(trained(silent))
    (manifest,) = standby.work()[1]
    assert isinstance(manifest, SubmitUpdate)
    assert silent.work()[1] == []


def test_a_standby_seals_once_it_has_a_voters_place(builder: LedgerBuilder) -> None:
    """F13."""
    builder.run_training()
    standby, silent = Desk(builder, builder.round.standbys[0]), Desk(builder, builder.round.voters[0])
    assert standby.work()[1] == []
    builder.pass_deadline()
    (seal,) = standby.work()[1]
    assert isinstance(seal, SealBallot)
    assert silent.work()[1] == []


def test_a_copy_with_other_scales_is_another_update(builder: LedgerBuilder) -> None:
    """F3, F8: manifests may name one artifact; who scales another's update is flagged for it alone."""
    copycat, original = builder.round.proposers
    manifest = make_manifest(builder.round, artifact=make_digest("update"))
    scaled = replace(manifest, scale_exponents=(-8, -8))
    builder.add_payloads((original, manifest), (copycat, scaled))
    desk = Desk(builder, builder.round.voters[0])
    desk.scores = {CANDIDATE: BAD, make_digest("alone", scaled.artifact_digest, -11, -11): BAD}
    flags = dict(zip([entry.member for entry in builder.round.updates], desk.get_ballot().update_flags, strict=True))
    assert flags == {copycat: True, original: False}
