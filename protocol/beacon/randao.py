"""The RANDAO mix: every block folds its leader's unique reveal into one running digest (B5).

A reveal is the leader's BLS signature over (chain id, epoch, view). It exists once and nobody else can compute it, so
the mix of a block is unknown until the block is. Known weakness: the last leader can withhold its block and so choose
between two mixes; the threshold beacon (B1 to B4) is what removes it.
"""

from protocol.crypto import Domain, compute_digest
from protocol.units import BlsSignature, Digest


def compute_first_mix(chain_id: Digest, seed: Digest) -> Digest:
    """Return the mix at height 0, from the genesis seed and bound to the chain."""
    return compute_digest(Domain.MIX, chain_id, seed)


def fold_mix(mix: Digest, reveal: BlsSignature) -> Digest:
    """Return the mix after a block.

    Args:
        mix: The mix after the parent.
        reveal: The block's reveal; that it verifies was checked when the block was voted for (C3).
    """
    return compute_digest(Domain.MIX, mix, reveal)
