"""The group key of the threshold beacon: who holds shares of it, and what its outputs verify against (B1, B4).

Scheme: drand's ``bls-unchained-g1-rfc9380`` (https://docs.drand.love/docs/cryptography). The key of a ceremony is the
sum of the qualified dealers' secrets; nobody knows it, and more than half of the holders can sign with it together.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from protocol.blocks import BeaconProof
from protocol.bls import check_output
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsSignature, Epoch, MemberId, Round

POINT_BYTES: Final = 96
SHARE_BYTES: Final = 32
OUTPUTS_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DealtShares:
    """The encrypted shares of one qualified deal: what each holder's share of the group key is re-derived from."""

    dealer: MemberId
    ephemeral_key: BlsPublicKey
    shares: bytes
    """32 bytes for each holder, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """The key that signs the outputs of rounds, and its holders."""

    epoch: Epoch
    """The first epoch in which it is in use; its ceremony was in the epoch before."""
    holders: tuple[MemberId, ...]
    """The validators of the ceremony's epoch, sorted; the place of each is the index of its share."""
    commitments: bytes
    """To the coefficients of the sum of all qualified polynomials, 96 bytes each; the first is the public key."""
    deals: tuple[DealtShares, ...]
    """Sorted by dealer."""

    @property
    def public_key(self) -> BlsPublicKey:
        """The point on G2 that outputs verify against."""
        return BlsPublicKey(self.commitments[:POINT_BYTES])

    @property
    def threshold(self) -> int:
        """How many partials make an output."""
        return len(self.commitments) // POINT_BYTES


def compute_threshold(holder_count: int) -> int:
    """Return how many holders it takes to sign: strictly more than half of them (B1)."""
    return holder_count // 2 + 1


def split_points(packed: bytes) -> tuple[BlsPublicKey, ...]:
    """Return the encoded points that stand one after the other in ``packed``."""
    return tuple(BlsPublicKey(packed[start : start + POINT_BYTES]) for start in range(0, len(packed), POINT_BYTES))


def find_key(keys: tuple[GroupKey, ...], epoch: Epoch | None) -> GroupKey | None:
    """Return the key that came into use with an epoch, if it is still known."""
    return next((key for key in keys if key.epoch == epoch), None)


def check_proof(keys: tuple[GroupKey, ...], proof: BeaconProof) -> None:
    """Check an output under the key that it names (B2).

    Args:
        keys: Those in use.
        proof: What a block's header carries.

    Raises:
        InvalidMessage: The key is not in use, or the signature is not the group's over this round.
    """
    key = find_key(keys, proof.key_epoch)
    if key is None:
        raise InvalidMessage(f"an output under the key of epoch {proof.key_epoch}, which is not in use")
    _check_output_once(key.public_key, proof.round, proof.signature)


@lru_cache(OUTPUTS_REMEMBERED)
def _check_output_once(public_key: BlsPublicKey, round_number: Round, signature: BlsSignature) -> None:
    # A failure raises and is not remembered; each block's output is asked about several times on its way.
    check_output(public_key, round_number, signature)
