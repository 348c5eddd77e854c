"""Model and lineage (F6, F10, F12): what each verdict does to the model, and what is recorded."""

from dataclasses import replace

from protocol.ledger.settlement import compute_lineage_digest
from protocol.ledger.state import ACCEPTED_MODELS_MAX
from protocol.outcomes import Verdict
from protocol.parameters import Parameters, make_paper_parameters
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_ballot, make_candidate


def test_an_accepted_candidate_becomes_the_model_and_the_next_base() -> None:
    builder = LedgerBuilder(make_founders(4))
    record = builder.run_round()
    assert record.verdict is Verdict.ACCEPT
    assert builder.state.model_digest == record.model_digest == record.candidate_digest == builder.round.base_digest
    assert builder.state.accepted_models == (builder.genesis.model_digest, record.model_digest)


def test_a_rejected_candidate_leaves_the_model() -> None:
    builder = LedgerBuilder(make_founders(4))
    record = builder.run_round(is_accept=False)
    assert (record.verdict, record.model_digest) == (Verdict.REJECT, builder.genesis.model_digest)
    assert builder.state.accepted_models == (builder.genesis.model_digest,)


def test_a_void_round_leaves_the_model() -> None:
    builder = LedgerBuilder(make_founders(4))
    first = builder.run_round()
    builder.run_draw()
    record = builder.pass_deadlines()
    assert (record.verdict, record.model_digest, record.candidate_digest) == (Verdict.VOID, first.model_digest, None)


def run_with_flagged_base(builder: LedgerBuilder, *, is_accept: bool = False) -> None:
    round_state = builder.run_to_sealing()
    builder.run_voting(lambda _: make_ballot(round_state, is_accept=is_accept, is_base_flagged=True))


def test_a_condemned_base_reverts_to_the_accepted_model_before_it() -> None:
    builder = LedgerBuilder(make_founders(4))
    models = [builder.run_round().model_digest for _ in range(2)]
    run_with_flagged_base(builder)
    assert builder.state.model_digest == models[0]
    assert builder.state.accepted_models == (builder.genesis.model_digest, models[0])


def test_the_genesis_model_is_never_given_up() -> None:
    builder = LedgerBuilder(make_founders(4))
    builder.run_round()
    for _ in range(3):
        run_with_flagged_base(builder)
    assert builder.state.accepted_models == (builder.genesis.model_digest,)
    assert builder.state.model_digest == builder.genesis.model_digest


def test_an_accepted_candidate_wins_over_a_condemned_base() -> None:
    builder = LedgerBuilder(make_founders(4))
    run_with_flagged_base(builder, is_accept=True)
    assert len(builder.state.accepted_models) == 2


def test_in_preset_paper_the_base_stays() -> None:
    builder = LedgerBuilder(make_founders(10), make_paper_parameters(Parameters(), member_count=10))
    model = builder.run_round().model_digest
    run_with_flagged_base(builder)
    assert builder.state.model_digest == model


def test_the_accepted_models_are_bounded_and_the_oldest_is_forgotten() -> None:
    builder = LedgerBuilder(make_founders(3))
    models = [builder.genesis.model_digest, *[builder.run_round().model_digest for _ in range(ACCEPTED_MODELS_MAX)]]
    assert builder.state.accepted_models == tuple(models[-ACCEPTED_MODELS_MAX:])


def test_accepting_the_present_model_again_does_not_push_it_twice() -> None:
    builder = LedgerBuilder(make_founders(4))
    round_state = builder.run_to_sealing()
    record = builder.run_voting(lambda _: make_ballot(round_state, candidate=round_state.base_digest))
    assert record.verdict is Verdict.ACCEPT
    assert builder.state.accepted_models == (builder.genesis.model_digest,)


def test_the_record_tells_the_whole_round() -> None:
    builder = LedgerBuilder(make_founders(7), replace(Parameters(), voter_count_max=5))
    opened_ms = builder.round.opened_ms
    round_state = builder.run_to_sealing()
    no = make_ballot(round_state, is_accept=False, flags=(True, False))
    choice = dict.fromkeys(round_state.voters[:2], no)
    record = builder.run_voting(lambda member: choice.get(member, make_ballot(round_state)))
    assert record.base_digest == builder.genesis.model_digest
    assert record.update_digests == tuple(sorted(record.update_digests))
    assert [(m, d) for m, d in zip(record.update_members, record.update_digests, strict=True)] == [
        (entry.member, entry.manifest.artifact_digest) for entry in round_state.updates
    ]
    assert (record.condemned, record.is_base_condemned, record.silent) == ((False, False), False, ())
    assert (record.candidate_digest, record.accept_count, record.reject_count) == (make_candidate(round_state), 3, 2)
    assert (record.opened_ms, record.settled_ms) == (opened_ms, builder.state.time_ms)
    assert [entry.voter for entry in record.ballots] == sorted(round_state.voters)
    assert record.is_degraded


def test_the_lineage_digest_chains_all_records() -> None:
    builder = LedgerBuilder(make_founders(4))
    digest = builder.state.lineage_digest
    for is_accept in (True, False):
        digest = compute_lineage_digest(digest, builder.run_round(is_accept=is_accept))
    assert builder.state.lineage_digest == digest
