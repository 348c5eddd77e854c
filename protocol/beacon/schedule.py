"""Which public random value a round draws from (B5, F2).

A round draws from the mix of the first block after the one that opened it: when the eligible set was fixed, that
block's reveal was not yet known to anybody but its leader. Until a threshold beacon exists, every round draws from
the mix and is marked as degraded.
"""

from dataclasses import dataclass

from protocol.units import Digest, Height


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconOutput:
    """The public random value of one round."""

    output: Digest
    is_degraded: bool
    """True if it came from the RANDAO mix, which its last contributor can bias by withholding (B5)."""


def is_output_due(opened_height: Height, height: Height) -> bool:
    """Return whether the block at ``height`` carries the output of a round opened at ``opened_height`` (F1)."""
    return height > opened_height


def compute_beacon_output(mix: Digest) -> BeaconOutput:
    """Return a round's output from the mix of the block that it is due in."""
    return BeaconOutput(output=mix, is_degraded=True)
