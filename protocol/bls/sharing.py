"""Feldman's verifiable secret sharing: a secret is cut in shares of which a threshold rebuilds it (B4).

The dealer's polynomial has the secret as its constant term; the share of the member with an index is its value at
``index + 1``. The commitments, each coefficient times the generator of G2, let anybody check a share against its
dealer, and compute the public key of a share that nobody ever showed. Sums of polynomials, of shares and of
commitments go together, which is all that joint key generation needs.

P. Feldman, "A practical scheme for non-interactive verifiable secret sharing", FOCS 1987.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from py_arkworks_bls12381 import G2Point, Scalar

from protocol.bls.points import GENERATOR, decode_point, encode_public_key
from protocol.bls.scalars import derive_scalar, encode_scalar, load_scalar
from protocol.crypto import Domain
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsScalar

DEALS_REMEMBERED: Final = 256
"""Of so many deals the decoded commitments are kept, because several checks need the same ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """A dealer's secret polynomial."""

    coefficients: tuple[Scalar, ...] = field(repr=False)
    """The constant term, the secret, first; as many as the threshold."""

    def evaluate(self, index: int) -> BlsScalar:
        """Return the share of the member with an index, from 0."""
        place, value = Scalar(index + 1), Scalar(0)
        for coefficient in reversed(self.coefficients):
            value = value * place + coefficient
        return encode_scalar(value)

    def get_secret(self) -> BlsScalar:
        """Return the constant term, for its proof of knowledge."""
        return encode_scalar(self.coefficients[0])


def derive_polynomial(secret_seed: bytes, threshold: int) -> Polynomial:
    """Return the polynomial of a secret seed: the same seed always gives the same deal.

    Args:
        secret_seed: At least 32 bytes that only the dealer knows, of this one deal.
        threshold: How many shares rebuild the secret; at least 1.

    Raises:
        ValueError: The seed is too short or the threshold below 1.
    """
    if len(secret_seed) < 32 or threshold < 1:
        raise ValueError("a polynomial needs a seed of at least 32 bytes and a threshold of at least 1")
    numbers = (number.to_bytes(4, "big") for number in range(threshold))
    scalars = tuple(load_scalar(derive_scalar(Domain.POLYNOMIAL, secret_seed, number)) for number in numbers)
    return Polynomial(coefficients=scalars)


def compute_commitments(polynomial: Polynomial) -> tuple[BlsPublicKey, ...]:
    """Return each coefficient times the generator; the first is the public key of the secret."""
    return tuple(encode_public_key(GENERATOR * coefficient) for coefficient in polynomial.coefficients)


def check_commitments(commitments: tuple[BlsPublicKey, ...]) -> None:
    """Check that all of a dealer's commitments are points (B6); how many there must be is for the caller.

    Raises:
        InvalidMessage: There are none, or one is not on the curve, outside the subgroup, infinity, or not canonical.
    """
    _decode_commitments(commitments)


def check_share(commitments: tuple[BlsPublicKey, ...], index: int, share: BlsScalar) -> None:
    """Check that a share is the one that the commitments promise to the member with an index.

    Raises:
        InvalidMessage: It is not, or the share is no scalar or a commitment no point.
    """
    if GENERATOR * load_scalar(share) != _evaluate_commitments(commitments, index):
        raise InvalidMessage(f"the share of index {index} is not the one that its dealer committed to")


def compute_share_key(commitments: tuple[BlsPublicKey, ...], index: int) -> BlsPublicKey:
    """Return the public key of a share: the share times the generator, from the commitments alone.

    A share of zero gives the encoding of infinity, under which nothing verifies (B6).

    Raises:
        InvalidMessage: A commitment is no point.
    """
    return encode_public_key(_evaluate_commitments(commitments, index))


def add_commitments(deals: Sequence[tuple[BlsPublicKey, ...]]) -> tuple[BlsPublicKey, ...]:
    """Return the commitments of the sum of the dealers' polynomials; the first is the group's public key.

    Args:
        deals: Each dealer's commitments; at least one dealer.

    Raises:
        InvalidMessage: The deals are of different lengths, a commitment is no point, or the sum is infinity, which
            only dealers that all know each other's secrets can bring about.
    """
    decoded = [_decode_commitments(commitments) for commitments in deals]
    if len({len(points) for points in decoded}) != 1:
        raise InvalidMessage("deals have different numbers of commitments")
    sums = [_add_points(points) for points in zip(*decoded, strict=True)]
    if G2Point.identity() in sums:
        raise InvalidMessage("commitments add up to infinity")
    return tuple(map(encode_public_key, sums))


def add_scalars(scalars: Sequence[BlsScalar]) -> BlsScalar:
    """Return the sum of scalars: of a member's shares from all dealers, its share of the group's key.

    Raises:
        InvalidMessage: One of them is no scalar.
    """
    return encode_scalar(sum(map(load_scalar, scalars), Scalar(0)))


def _evaluate_commitments(commitments: tuple[BlsPublicKey, ...], index: int) -> G2Point:
    """Return the polynomial's value at ``index + 1`` times the generator.

    Horner's rule multiplies by the small number ``index + 1`` only; with indexes below 256 that takes a sixth of the
    time of a sum over the powers of it.
    """
    place, value = Scalar(index + 1), G2Point.identity()
    for point in reversed(_decode_commitments(commitments)):
        value = value * place + point
    return value


@lru_cache(maxsize=DEALS_REMEMBERED)
def _decode_commitments(commitments: tuple[BlsPublicKey, ...]) -> tuple[G2Point, ...]:
    if not commitments:
        raise InvalidMessage("a deal has no commitments")
    return tuple(decode_point(commitment, "a commitment") for commitment in commitments)


def _add_points(points: Sequence[G2Point]) -> G2Point:
    total = G2Point.identity()
    for point in points:
        total += point
    return total
