"""Which output a round draws from (B5, F1)."""

from protocol.beacon.schedule import compute_beacon_output, is_output_due
from protocol.units import Height
from tests.helpers import make_digest


def test_the_block_that_opens_a_round_does_not_draw_it() -> None:
    assert not is_output_due(Height(7), Height(7))
    assert is_output_due(Height(7), Height(8))


def test_an_output_from_the_mix_is_marked_as_degraded() -> None:
    beacon = compute_beacon_output(make_digest("mix"))
    assert beacon.output == make_digest("mix")
    assert beacon.is_degraded
