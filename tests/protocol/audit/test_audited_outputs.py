"""The audit checks every output of the beacon against the group key, whatever the block's validators did (B2)."""

from dataclasses import replace

import pytest

from protocol.blocks import BeaconProof
from protocol.parameters import Parameters
from protocol.units import Epoch, Round
from tests.ceremonies import make_proof, run_ceremony
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.protocol.audit.chains import expect_failure, verify, write


def open_round_with_key() -> tuple[LedgerBuilder, BeaconProof]:
    """Return a ledger whose round waits under a key, and the round's output."""
    builder = LedgerBuilder(make_founders(4), Parameters(epoch_blocks=8))
    run_ceremony(builder, 0, 1, 2, 3)
    if builder.round.key_epoch is None:
        builder.pass_deadlines()
    return builder, make_proof(builder, builder.state.beacon_keys[0], builder.round.round)


def test_true_outputs_are_reported_with_their_key() -> None:
    builder, proof = open_round_with_key()
    builder.add_block(beacon=proof)
    (key,) = verify(write(builder.genesis, builder.export())).beacon_keys
    assert key.public_key == builder.state.beacon_keys[0].public_key
    assert [(drawn.round, drawn.proof) for drawn in key.outputs] == [(proof.round, proof)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param({"round": Round(99)}, "does not verify", id="of another round"),
        pytest.param({"key_epoch": Epoch(7)}, "not in use", id="under a key that is not in use"),
    ],
)
def test_any_other_output_is_named_with_its_height(change: dict[str, object], what: str) -> None:
    builder, proof = open_round_with_key()
    builder.add_block(beacon=replace(proof, **change))  # type: ignore[arg-type]
    failure = expect_failure(write(builder.genesis, builder.export()))
    assert (failure.height, what in failure.what) == (builder.state.height, True)
