"""Pinned digests: a change of any encoding or rule of the ledger shows here first, because it splits every chain.

A change that is meant is accepted by writing what :func:`compute_vectors` returns to tests/vectors/ledger.json.
"""

import json
from pathlib import Path

from protocol.ledger.state import compute_state_root
from protocol.operations import Unbond
from protocol.parameters import AggregationRule, Parameters, Preset
from protocol.units import Bps, Millis, Round, Stake
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_ballot

VECTORS = Path(__file__).parents[2] / "vectors" / "ledger.json"
PARAMETERS = Parameters(
    preset=Preset.NEUTRAL,
    aggregation=AggregationRule.MEDIAN,
    malicious_assumed_bps=Bps(3_000),
    clip_radius_micro=0,
    aggregation_iterations=32,
    rounds_max=Round(0),
    proposer_count=2,
    voter_count_max=21,
    updates_min=1,
    tolerance_bps=Bps(500),
    screening_bps=Bps(20),
    draw_weight_max_bps=Bps(2_500),
    stake_initial=Stake(64_000_000),
    treasury_initial=Stake(0),
    bond_min=Stake(8_000_000),
    slash_update=Stake(8_000_000),
    slash_vote=Stake(8_000_000),
    slash_absent=Stake(1_000_000),
    reward_vote=Stake(1_000_000),
    reward_update=Stake(1_000_000),
    slash_equivocation_bps=Bps(5_000),
    slash_ceremony=Stake(8_000_000),
    beacon_wait_ms=Millis(5_000),
    beacon_wait_blocks=8,
    epoch_blocks=100,
    evidence_window_epochs=2,
    train_deadline_ms=Millis(60_000),
    seal_deadline_ms=Millis(60_000),
    reveal_deadline_ms=Millis(20_000),
    timeout_view_ms=Millis(2_000),
    timeout_view_max_ms=Millis(30_000),
    block_interval_ms=Millis(50),
    idle_block_ms=Millis(0),
    clock_drift_max_ms=Millis(5_000),
    block_operations_max=128,
    block_bytes_max=128_000,
    artifact_bytes_max=1_073_741_824,
)
"""Every number written out, so that a change of a default changes no digest here."""


def compute_vectors() -> dict[str, str]:
    """Return the digests of a short history with all kinds of verdict."""
    builder = LedgerBuilder(make_founders(7, bonded=Stake(64_000_000)), PARAMETERS)
    vectors = {"chain_id": builder.chain_id.hex(), "genesis_state_root": compute_state_root(builder.state).hex()}
    builder.run_draw()
    vectors["proposers_of_round_1"] = ",".join(member.hex()[:8] for member in builder.round.proposers)
    vectors["voters_of_round_1"] = ",".join(member.hex()[:8] for member in builder.round.voters)
    vectors["standbys_of_round_1"] = ",".join(member.hex()[:8] for member in builder.round.standbys)
    builder.run_round()
    vectors["state_root_after_accept"] = compute_state_root(builder.state).hex()
    round_state = builder.run_to_sealing()
    builder.run_attempt(lambda _: make_ballot(round_state, is_accept=False, flags=(True, False), is_base_flagged=True))
    vectors["state_root_in_retrial"] = compute_state_root(builder.state).hex()
    builder.run_voting(lambda _: make_ballot(builder.round, is_accept=False, flags=(False,), is_base_flagged=True))
    vectors["state_root_after_reject"] = compute_state_root(builder.state).hex()
    builder.add_payloads((builder.founders[0].member, Unbond(amount=Stake(1_000_000))))
    builder.pass_deadline()
    vectors["state_root_after_void"] = compute_state_root(builder.state).hex()
    vectors["mix"] = builder.state.mix.hex()
    vectors["lineage_digest"] = builder.state.lineage_digest.hex()
    vectors["tip_hash"] = builder.state.block_hash.hex()
    return vectors


def test_the_ledger_computes_the_pinned_digests() -> None:
    assert compute_vectors() == json.loads(VECTORS.read_text(encoding="utf-8"))
