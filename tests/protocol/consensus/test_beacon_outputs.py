"""A block whose beacon output does not verify gets no vote; one with the true output, or none, does (B2, C3)."""

from dataclasses import replace
from functools import cache

import pytest

from protocol.beacon.group_key import GroupKey
from protocol.blocks import BeaconProof
from protocol.parameters import Parameters
from protocol.units import Epoch, Round
from tests.ceremonies import make_proof, run_ceremony
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.protocol.consensus.rig import (
    NOTARIZE,
    Application,
    Rig,
    get_follower,
    get_sent_votes,
    make_block,
    make_proposal,
)

ROUND = Round(5)


@cache
def make_key() -> tuple[GroupKey, BeaconProof]:
    """Return a group key and a round's output under it."""
    builder = LedgerBuilder(make_founders(4), Parameters(epoch_blocks=8))
    run_ceremony(builder, 0, 1, 2, 3)
    key = builder.state.beacon_keys[0]
    return key, make_proof(builder, key, ROUND)


def is_notarized(beacon: BeaconProof | None) -> bool:
    rig = Rig(get_follower(1), application=Application())
    rig.consensus.config = replace(rig.consensus.config, beacon_keys=(make_key()[0],))
    rig.start(0)
    votes = get_sent_votes(rig.tell(make_proposal(make_block(1, beacon=beacon)), delay_ms=100))
    return [vote.kind for vote in votes] == [NOTARIZE]


def test_a_block_with_the_true_output_or_none_is_notarized() -> None:
    assert is_notarized(make_key()[1])
    assert is_notarized(None)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"round": Round(6)}, id="of another round"),
        pytest.param({"key_epoch": Epoch(2)}, id="under a key that is not in use"),
    ],
)
def test_a_block_with_any_other_output_is_not_notarized(change: dict[str, object]) -> None:
    assert not is_notarized(replace(make_key()[1], **change))  # type: ignore[arg-type]
