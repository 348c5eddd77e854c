"""Pinned digests: a change of any encoding or rule of the ledger shows here first, because it splits every chain.

A change that is meant is accepted by writing what :func:`compute_vectors` returns to tests/vectors/ledger.json.
"""

import json
from pathlib import Path

from protocol.ledger.state import compute_state_root
from protocol.operations import Unbond
from protocol.units import Stake
from tests.helpers import LedgerBuilder, make_ballot, make_founders

VECTORS = Path(__file__).parents[2] / "vectors" / "ledger.json"


def compute_vectors() -> dict[str, str]:
    """Return the digests of a short history with all kinds of verdict."""
    builder = LedgerBuilder(make_founders(7))
    vectors = {"chain_id": builder.chain_id.hex(), "genesis_state_root": compute_state_root(builder.state).hex()}
    builder.run_draw()
    vectors["proposers_of_round_1"] = ",".join(member.hex()[:8] for member in builder.round.proposers)
    vectors["voters_of_round_1"] = ",".join(member.hex()[:8] for member in builder.round.voters)
    vectors["standbys_of_round_1"] = ",".join(member.hex()[:8] for member in builder.round.standbys)
    builder.run_round()
    vectors["state_root_after_accept"] = compute_state_root(builder.state).hex()
    round_state = builder.run_to_sealing()
    builder.run_voting(lambda _: make_ballot(round_state, is_accept=False, flags=(True, False), is_base_flagged=True))
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
