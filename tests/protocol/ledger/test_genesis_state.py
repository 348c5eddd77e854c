"""The state at height 0 (L2, F1)."""

from dataclasses import replace

from protocol.codec import decode, encode
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import LedgerState, compute_state_root, get_account
from protocol.ledger.transition import get_deadline_ms
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.units import Round, Stake
from tests.helpers import STAKE, LedgerBuilder, make_digest, make_founders, make_genesis


def test_every_founder_is_bonded_and_the_supply_is_all_stake() -> None:
    founders = make_founders(4)
    state = compute_genesis_state(
        make_genesis(founders, parameters=replace(Parameters(), treasury_initial=Stake(5_000_000)))
    )
    assert [account.bonded for account in state.accounts] == [STAKE] * 4
    assert (state.treasury, state.burned, state.supply) == (5_000_000, 0, 4 * STAKE + 5_000_000)
    assert get_account(state, founders[2].member).next_sequence == 0


def test_round_one_is_open_and_wants_a_block() -> None:
    state = LedgerBuilder(make_founders(4)).state
    assert state.round is not None
    assert (state.round.round, state.round.phase, state.next_round) == (1, Phase.DRAW, 2)
    assert [entry.member for entry in state.round.eligible] == [account.member for account in state.accounts]
    assert get_deadline_ms(Parameters(), state) == 0


def test_the_tip_is_the_chain_id_and_the_model_that_of_genesis() -> None:
    builder = LedgerBuilder(make_founders(2))
    assert (builder.state.height, builder.state.view, builder.state.block_hash) == (0, 0, builder.chain_id)
    assert builder.state.accepted_models == (builder.state.model_digest,) == (builder.genesis.model_digest,)


def test_with_one_eligible_founder_no_round_opens() -> None:
    low = Stake(Parameters().bond_min - 1)
    state = LedgerBuilder(make_founders(3, bonded=(STAKE, low, low))).state
    assert (state.round, state.next_round) == (None, 1)
    assert get_deadline_ms(Parameters(), state) is None


def test_a_job_of_no_more_rounds_than_zero_never_ends() -> None:
    genesis = make_genesis(make_founders(3), parameters=replace(Parameters(), rounds_max=Round(1)))
    assert compute_genesis_state(genesis).round is not None


def test_a_state_decodes_to_itself_in_every_phase() -> None:
    builder = LedgerBuilder(make_founders(7))
    builder.run_draw()
    builder.run_training()
    for state in (builder.state, LedgerBuilder(make_founders(3)).state):
        assert decode(LedgerState, encode(state), bytes_max=100_000) == state


def test_the_state_root_depends_on_the_state() -> None:
    state = LedgerBuilder(make_founders(2)).state
    assert compute_state_root(state) != compute_state_root(replace(state, mix=make_digest("other")))
