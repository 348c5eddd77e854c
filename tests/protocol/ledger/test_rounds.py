"""The life of a round on the ledger (F1, F2, F15, section 2): what opens, moves and ends it."""

from dataclasses import replace

import pytest

from protocol.beacon.sortition import compute_roles_seed, draw_roles
from protocol.ledger.state import LedgerState, compute_unbonding_total
from protocol.ledger.transition import get_deadline_ms
from protocol.operations import Unbond
from protocol.outcomes import Phase, Verdict
from protocol.parameters import Parameters
from protocol.units import Millis, Round, Stake
from tests.founders import STAKE, make_founders
from tests.helpers import LedgerBuilder, make_ballot, make_digest, make_manifest


@pytest.fixture
def builder() -> LedgerBuilder:
    """Of the seven members two propose and five vote."""
    return LedgerBuilder(make_founders(7), replace(Parameters(), voter_count_max=5))


def get_phase(state: LedgerState) -> Phase | None:
    return state.round.phase if state.round is not None else None


def test_a_round_in_which_all_answer_takes_four_blocks(builder: LedgerBuilder) -> None:
    builder.run_draw()
    phases = [get_phase(builder.state)]
    builder.run_training()
    phases.append(get_phase(builder.state))
    ballots = {member: make_ballot(builder.round) for member in builder.round.voters}
    builder.run_sealing(ballots)
    phases.append(get_phase(builder.state))
    record = builder.run_revealing(ballots).settled
    assert phases == [Phase.TRAIN, Phase.SEAL, Phase.REVEAL]
    assert record is not None
    assert (record.round, record.verdict, record.opened_height, record.settled_height) == (1, Verdict.ACCEPT, 0, 4)
    assert (builder.round.round, builder.round.phase, builder.round.opened_height) == (2, Phase.DRAW, 4)


def test_the_draw_is_recomputed_from_the_mix_of_the_block_after_the_opening(builder: LedgerBuilder) -> None:
    eligible = tuple((entry.member, entry.stake) for entry in builder.round.eligible)
    builder.run_draw()
    seed = compute_roles_seed(builder.chain_id, Round(1), builder.state.mix)
    roles = draw_roles(builder.parameters, seed, eligible)
    drawn = builder.round
    assert (drawn.proposers, drawn.voters, drawn.standbys) == (roles.proposers, roles.voters, roles.standbys)
    assert (drawn.beacon_output, drawn.is_degraded) == (builder.state.mix, True)


def test_the_stake_snapshot_is_fixed_when_the_round_opens(builder: LedgerBuilder) -> None:
    """F1: stake that moves later counts from the next round on."""
    member = builder.founders[0].member
    builder.add_payloads((member, Unbond(amount=STAKE)))
    assert [entry.stake for entry in builder.round.eligible] == [STAKE] * 7
    builder.run_round()
    assert member not in {entry.member for entry in builder.round.eligible}


def test_deadlines_are_in_ledger_time_from_the_block_that_entered_the_phase(builder: LedgerBuilder) -> None:
    parameters = builder.parameters
    builder.run_draw()
    assert get_deadline_ms(parameters, builder.state) == builder.state.time_ms + parameters.train_deadline_ms
    builder.run_training()
    assert get_deadline_ms(parameters, builder.state) == builder.state.time_ms + parameters.seal_deadline_ms
    builder.run_sealing({member: make_ballot(builder.round) for member in builder.round.voters})
    assert get_deadline_ms(parameters, builder.state) == builder.state.time_ms + parameters.reveal_deadline_ms


def test_training_ends_at_the_deadline_with_enough_updates(builder: LedgerBuilder) -> None:
    builder.run_draw()
    silent = builder.round.proposers[:1]
    manifest = make_manifest(builder.round, artifact=make_digest("update"))
    builder.add_payloads((builder.round.proposers[1], manifest))
    builder.add_block(time_ms=Millis(builder.round.deadline_ms - 1))
    assert get_phase(builder.state) is Phase.TRAIN
    builder.pass_deadline()
    assert get_phase(builder.state) is Phase.SEAL
    round_state = builder.round
    record = builder.run_voting(lambda _: make_ballot(round_state))
    assert (record.verdict, record.silent) == (Verdict.ACCEPT, silent)


def test_training_without_enough_updates_is_void_at_the_deadline() -> None:
    builder = LedgerBuilder(make_founders(7), replace(Parameters(), updates_min=2))
    builder.run_draw()
    silent, present = builder.round.proposers
    builder.add_payloads((present, make_manifest(builder.round, artifact=make_digest("update"))))
    assert builder.pass_deadline().settled is None, "a standby has another deadline"
    standby = builder.round.proposers[0]
    record = builder.pass_deadline().settled
    assert record is not None
    assert (record.verdict, record.silent, record.update_members) == (Verdict.VOID, (silent, standby), (present,))
    assert builder.round.round == 2


def test_all_submissions_suffice_although_fewer_can_be_drawn_than_are_wanted() -> None:
    parameters = replace(Parameters(), updates_min=2)
    low = Stake(1)
    builder = LedgerBuilder(make_founders(3, bonded=(STAKE, STAKE, low)), parameters)
    builder.run_draw()
    builder.run_training()
    assert (len(builder.round.updates), builder.round.phase) == (1, Phase.SEAL)


def test_a_submission_in_the_block_that_passes_the_deadline_still_counts(builder: LedgerBuilder) -> None:
    builder.run_draw()
    manifest = make_manifest(builder.round, artifact=make_digest("update"))
    builder.add_payloads((builder.round.proposers[0], manifest), time_ms=builder.round.deadline_ms)
    assert (builder.round.phase, len(builder.round.updates)) == (Phase.SEAL, 1)


def test_sealing_ends_at_the_deadline_with_half_of_the_voters(builder: LedgerBuilder) -> None:
    round_state = builder.run_to_sealing()
    assert len(round_state.voters) == 5
    ballots = {member: make_ballot(round_state) for member in round_state.voters[:3]}
    builder.run_sealing(ballots)
    assert builder.round.phase is Phase.REVEAL
    record = builder.run_revealing(ballots).settled
    assert record is not None
    assert (record.verdict, record.silent) == (Verdict.ACCEPT, round_state.voters[3:])


def test_with_fewer_than_half_of_the_voters_sealed_even_with_standbys_the_round_is_void(builder: LedgerBuilder) -> None:
    round_state = builder.run_to_sealing()
    builder.run_sealing({member: make_ballot(round_state) for member in round_state.voters[:2]})
    assert builder.round.voters == (*round_state.voters[:2], *round_state.proposers, round_state.voters[4])
    record = builder.pass_deadline().settled
    assert record is not None
    silent = (*round_state.voters[2:4], *round_state.proposers, round_state.voters[4])
    assert (record.verdict, record.silent) == (Verdict.VOID, silent)
    assert builder.round.phase is Phase.DRAW


def test_revealing_ends_at_the_deadline(builder: LedgerBuilder) -> None:
    round_state = builder.run_to_sealing()
    ballots = {member: make_ballot(round_state) for member in round_state.voters}
    builder.run_sealing(ballots)
    record = builder.run_revealing(dict(list(ballots.items())[:4])).settled
    assert record is not None
    assert (record.verdict, record.silent) == (Verdict.ACCEPT, round_state.voters[4:])


def test_with_fewer_than_half_of_the_voters_revealed_the_round_is_void(builder: LedgerBuilder) -> None:
    """F9: nobody forces a verdict by going silent, and who sealed without revealing is silent."""
    round_state = builder.run_to_sealing()
    ballots = {member: make_ballot(round_state) for member in round_state.voters}
    builder.run_sealing(ballots)
    record = builder.run_revealing(dict(list(ballots.items())[:2])).settled
    assert record is not None
    assert (record.verdict, record.silent) == (Verdict.VOID, round_state.voters[2:])
    assert record.accept_count == 2


def test_the_job_ends_with_its_last_round() -> None:
    builder = LedgerBuilder(make_founders(4), replace(Parameters(), rounds_max=Round(2)))
    builder.run_round()
    assert builder.run_round().round == 2
    assert (builder.state.round, builder.state.rounds_settled, builder.state.next_round) == (None, 2, 3)
    assert get_deadline_ms(builder.genesis.parameters, builder.state) is None
    builder.add_block()
    assert builder.state.round is None


def test_a_round_waits_for_enough_members_and_opens_when_they_are_there() -> None:
    builder = LedgerBuilder(make_founders(2))
    member = builder.founders[0].member
    builder.add_payloads((member, Unbond(amount=STAKE)))
    builder.pass_deadlines()
    assert (builder.state.round, builder.state.next_round) == (None, 2)
    builder.add_block()
    assert builder.state.round is None
    bond_back(builder)
    assert builder.round.round == 2


def bond_back(builder: LedgerBuilder) -> None:
    """Let the first founder's unbonding stake return to bonded, and add a block."""
    account = builder.state.accounts[0]
    bonded = Stake(account.bonded + compute_unbonding_total(account))
    restored = replace(account, bonded=bonded, unbonding=())
    builder.state = replace(builder.state, accounts=(restored, *builder.state.accounts[1:]))
    builder.add_block()
