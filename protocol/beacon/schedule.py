"""Which public random value a round draws from, and when (B2, B5, F2).

A round that opens while a group key is in use draws from that key's signature over the round's number: unique, so that
nobody can choose it, and unknown until more than half of the holders have seen the opening block final. It stays with
that key even if an epoch ends meanwhile, because two keys would be two outputs to choose from. A round that opens
before there is a key, or for which the output stays out too long, draws from the RANDAO mix and is marked as degraded.

Too long is an amount of ledger time and a number of blocks: time alone would let one leader whose clock is fast go
straight to the mix, and choose between two outcomes.
"""

from dataclasses import dataclass

from protocol.blocks import BeaconProof
from protocol.bls import compute_randomness
from protocol.parameters import Parameters
from protocol.units import Digest, Epoch, Height, Millis, Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A round that waits for its output."""

    round: Round
    opened_height: Height
    opened_ms: Millis
    key_epoch: Epoch | None
    """Whose signature it draws from; None draws from the mix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconOutput:
    """The public random value of one round."""

    output: Digest
    proof: BeaconProof | None
    """None if it came from the RANDAO mix, which its last contributor can bias by withholding (B5)."""

    @property
    def is_degraded(self) -> bool:
        """Whether it came from the mix."""
        return self.proof is None


def choose_output(
    parameters: Parameters,
    waiting: Waiting,
    *,
    proof: BeaconProof | None,
    mix: Digest,
    height: Height,
    time_ms: Millis,
) -> BeaconOutput | None:
    """Return the output with which a block ends a round's waiting, if it does.

    Args:
        parameters: The network's.
        waiting: The round.
        proof: What the block's header carries; that it verifies was checked when the block was voted for (C3).
        mix: The mix after the block.
        height: The block's.
        time_ms: The block's ledger time.
    """
    if height <= waiting.opened_height:
        # The opening block's own reveal was known to its leader before the eligible members were fixed (F1).
        return None
    if proof is not None and (proof.round, proof.key_epoch) == (waiting.round, waiting.key_epoch):
        return BeaconOutput(output=compute_randomness(proof.signature), proof=proof)
    if is_fallback_due(parameters, waiting, height=height, time_ms=time_ms):
        return BeaconOutput(output=mix, proof=None)
    return None


def is_fallback_due(parameters: Parameters, waiting: Waiting, *, height: Height, time_ms: Millis) -> bool:
    """Return whether a block without the output makes a round draw from the mix (B5)."""
    if waiting.key_epoch is None:
        return True
    has_waited = time_ms >= waiting.opened_ms + parameters.beacon_wait_ms
    return has_waited and height >= waiting.opened_height + parameters.beacon_wait_blocks


def compute_fallback_wanted_ms(parameters: Parameters, waiting: Waiting) -> Millis:
    """Return the ledger time from which blocks without the output are worth proposing; 0 is at once (C12)."""
    return Millis(0) if waiting.key_epoch is None else Millis(waiting.opened_ms + parameters.beacon_wait_ms)
