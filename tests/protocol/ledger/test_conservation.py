"""Whatever members do and whenever, stake is conserved (L2, L3, L4) and the ledger repeats itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import decode, encode
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import LedgerState, compute_unbonding_total
from protocol.ledger.transition import apply_block, get_deadline_ms
from protocol.operations import Bond, Payload, ReportEvidence, RevealBallot, SealBallot, Unbond, compute_seal
from protocol.outcomes import StakeMove, StakeReason
from protocol.parameters import Parameters, Preset, make_paper_parameters
from protocol.units import Millis, Stake, View
from tests.founders import STAKE, FounderKeys, make_founders
from tests.helpers import SCHEMA, LedgerBuilder, make_ballot, make_digest, make_equivocation, make_manifest, make_salt

MEMBER_COUNT = 5
NEUTRAL = replace(
    Parameters(),
    treasury_initial=Stake(1_500_000),
    bond_min=Stake(20_000_000),
    epoch_blocks=3,
    evidence_window_epochs=1,
)
FEW = replace(NEUTRAL, voter_count_max=1)
"""Two of the five members stand by (F13)."""
PAPER = replace(make_paper_parameters(Parameters(), member_count=MEMBER_COUNT), proposer_count=2)
IN = {StakeReason.REWARD_VOTE, StakeReason.REWARD_UPDATE, StakeReason.SHARE_OF_MINORITY}
OUT = {
    StakeReason.SLASH_UPDATE,
    StakeReason.SLASH_VOTE,
    StakeReason.SLASH_ABSENT,
    StakeReason.SLASH_EQUIVOCATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one member does in a block; a choice that does not suit the moment is a refused operation."""

    actor: int
    action: str
    number: int
    is_yes: bool


STEPS = st.builds(
    Step,
    actor=st.integers(0, MEMBER_COUNT - 1),
    action=st.sampled_from(["submit", "seal", "reveal", "bond", "unbond", "report"]),
    number=st.integers(0, 2),
    is_yes=st.booleans(),
)
BLOCKS = st.lists(st.tuples(st.lists(STEPS, max_size=4), st.booleans()), min_size=1, max_size=12)


def build_payload(builder: LedgerBuilder, keys: FounderKeys, step: Step) -> Payload:
    """Return what a step asks for in the present round, or in a round that is not there."""
    amount = (Stake(1), Stake(STAKE // 3), Stake(2 * STAKE))[step.number]
    round_state = builder.state.round
    if round_state is None or step.action in {"bond", "unbond"}:
        return Bond(amount=amount) if step.is_yes else Unbond(amount=amount)
    if step.action == "report":
        offender = builder.founders[(step.number + 1) % MEMBER_COUNT]
        return ReportEvidence(evidence=make_equivocation(builder.chain_id, offender.signing_key, View(1 + step.number)))
    if step.action == "submit":
        return make_manifest(round_state, artifact=make_digest("update", step.number, keys.member[: step.number]))
    flags = [step.is_yes and index != step.number for index in range(len(round_state.updates))]
    ballot = make_ballot(round_state, is_accept=not step.is_yes, flags=flags, is_base_flagged=step.number == 2)
    salt = make_salt(keys.member, round_state)
    if step.action == "reveal":
        return RevealBallot(round=round_state.round, attempt=round_state.attempt, ballot=ballot, salt=salt)
    seal = compute_seal(keys.member, round_state.round, round_state.attempt, ballot, salt)
    return SealBallot(round=round_state.round, attempt=round_state.attempt, seal=seal)


def check_stake(state: LedgerState) -> None:
    held = [account.bonded + compute_unbonding_total(account) + account.free for account in state.accounts]
    assert sum(held) + state.treasury + state.burned == state.supply
    assert min(state.treasury, state.burned, *[account.bonded for account in state.accounts]) >= 0


def play(builder: LedgerBuilder, blocks: list[tuple[list[Step], bool]]) -> None:
    """Add the blocks; where a block says so, its time is that of the present deadline."""
    for steps, is_late in blocks:
        deadline = get_deadline_ms(builder.genesis.parameters, builder.state)
        pairs = [
            (builder.founders[step.actor].member, build_payload(builder, builder.founders[step.actor], step))
            for step in steps
        ]
        before = builder.state
        outcome = builder.add_payloads(*pairs, time_ms=Millis(deadline) if is_late and deadline else None)
        check_stake(builder.state)
        check_moves(before, builder.state, [*outcome.moves, *(outcome.settled.moves if outcome.settled else ())])


def check_moves(before: LedgerState, after: LedgerState, moves: list[StakeMove]) -> None:
    """Check that the recorded moves are all that happened to the treasury."""
    gained = sum(move.amount for move in moves if move.reason in OUT)
    paid = sum(move.amount for move in moves if move.reason in IN)
    assert after.treasury == before.treasury + gained - paid
    assert all(move.amount > 0 for move in moves)


def play_well(builder: LedgerBuilder, blocks: list[tuple[list[Step], bool]]) -> None:
    """Run whole rounds between the blocks, so that deep states are reached as well."""
    for block in blocks:
        play(builder, [block])
        if builder.state.round is not None and builder.state.round.phase.name == "DRAW":
            builder.run_round(is_accept=block[1])
            check_stake(builder.state)


def play_retrials(builder: LedgerBuilder, blocks: list[tuple[list[Step], bool]]) -> None:
    """Condemn an update of every round first, so that the blocks meet the retrial (F11)."""
    for block in blocks:
        if builder.state.round is not None and builder.state.round.phase.name == "DRAW":
            builder.run_to_sealing()
            bad = make_ballot(builder.round, is_accept=False, flags=(block[1], not block[1]))
            builder.run_attempt(lambda _, bad=bad: bad)  # type: ignore[misc]
            check_stake(builder.state)
        play(builder, [block])


@pytest.mark.parametrize("parameters", [NEUTRAL, FEW, PAPER], ids=["neutral", "with standbys", "paper"])
@pytest.mark.parametrize("drive", [play, play_well, play_retrials])
@given(blocks=BLOCKS)
def test_stake_is_conserved_whatever_members_do(
    parameters: Parameters,
    drive: Callable[[LedgerBuilder, list[tuple[list[Step], bool]]], None],
    blocks: list[tuple[list[Step], bool]],
) -> None:
    builder = LedgerBuilder(make_founders(MEMBER_COUNT), parameters)
    drive(builder, blocks)
    assert decode(LedgerState, encode(builder.state), bytes_max=1_000_000) == builder.state
    replayed = compute_genesis_state(builder.genesis)
    for built in builder.blocks:
        replayed, outcome = apply_block(parameters, SCHEMA, replayed, built.block)
        assert outcome == built.outcome
    assert replayed == builder.state


@given(order=st.permutations(range(4)))
def test_the_order_in_which_updates_arrive_changes_nothing_but_the_block(order: list[int]) -> None:
    parameters = replace(NEUTRAL, proposer_count=4)
    builder = LedgerBuilder(make_founders(8), parameters)
    builder.run_draw()
    members = builder.round.proposers
    builder.add_payloads(
        *[
            (members[index], make_manifest(builder.round, artifact=make_digest("update", members[index])))
            for index in order
        ]
    )
    updates = builder.round.updates
    keys = [(entry.manifest.artifact_digest, entry.member) for entry in updates]
    assert len(keys) == 4
    assert keys == sorted(keys)


def test_the_presets_under_test_are_the_two_there_are() -> None:
    assert {NEUTRAL.preset, PAPER.preset} == set(Preset)
