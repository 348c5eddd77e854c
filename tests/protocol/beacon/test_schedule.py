"""Which output a round draws from, and when it stops waiting for one (B2, B5, F1)."""

from dataclasses import replace

import pytest

from protocol.beacon.schedule import BeaconOutput, Waiting, choose_output, compute_fallback_wanted_ms
from protocol.blocks import BeaconProof
from protocol.bls import compute_randomness
from protocol.parameters import Parameters
from protocol.units import BlsSignature, Epoch, Height, Millis, Round
from tests.helpers import make_digest

PARAMETERS = replace(Parameters(), beacon_wait_ms=Millis(5_000), beacon_wait_blocks=3)
MIX = make_digest("mix")
WITHOUT_KEY = Waiting(round=Round(4), opened_height=Height(7), opened_ms=Millis(1_000), key_epoch=None)
WITH_KEY = replace(WITHOUT_KEY, key_epoch=Epoch(2))
PROOF = BeaconProof(round=Round(4), key_epoch=Epoch(2), signature=BlsSignature(bytes(48)))


def choose(
    waiting: Waiting, *, proof: BeaconProof | None = None, height: int = 8, time_ms: int = 1_001
) -> BeaconOutput | None:
    return choose_output(PARAMETERS, waiting, proof=proof, mix=MIX, height=Height(height), time_ms=Millis(time_ms))


def test_the_block_that_opens_a_round_does_not_draw_it() -> None:
    assert choose(WITHOUT_KEY, height=7) is None
    assert choose(WITHOUT_KEY, height=8) is not None


def test_before_there_is_a_key_a_round_draws_from_the_mix_at_once() -> None:
    drawn = choose(WITHOUT_KEY)
    assert drawn is not None
    assert (drawn.output, drawn.is_degraded) == (MIX, True)
    assert compute_fallback_wanted_ms(PARAMETERS, WITHOUT_KEY) == 0


def test_with_a_key_a_round_draws_from_the_signature() -> None:
    drawn = choose(WITH_KEY, proof=PROOF)
    assert drawn is not None
    assert (drawn.output, drawn.proof, drawn.is_degraded) == (compute_randomness(PROOF.signature), PROOF, False)


@pytest.mark.parametrize(
    "proof",
    [
        pytest.param(None, id="none"),
        pytest.param(replace(PROOF, round=Round(5)), id="of another round"),
        pytest.param(replace(PROOF, key_epoch=Epoch(3)), id="under another key than when it opened"),
    ],
)
def test_without_its_output_a_round_waits(proof: BeaconProof | None) -> None:
    assert choose(WITH_KEY, proof=proof) is None


@pytest.mark.parametrize(
    ("height", "time_ms", "is_drawn"),
    [
        pytest.param(10, 6_000, True, id="time and blocks"),
        pytest.param(10, 5_999, False, id="a millisecond too soon"),
        pytest.param(9, 100_000, False, id="a block too few: a fast clock alone opens no way to the mix"),
    ],
)
def test_a_round_falls_back_after_time_and_blocks(height: int, time_ms: int, is_drawn: bool) -> None:
    drawn = choose(WITH_KEY, height=height, time_ms=time_ms)
    assert (drawn is not None) == is_drawn
    assert drawn is None or drawn.is_degraded
    assert compute_fallback_wanted_ms(PARAMETERS, WITH_KEY) == 6_000
