"""Feldman's verifiable secret sharing: polynomials, commitments to them, and shares that fit or don't (B4).

Source: P. Feldman, "A Practical Scheme for Non-interactive Verifiable Secret Sharing", FOCS 1987. Holder ``index`` gets
the polynomial's value at index + 1; commitments are its coefficients times the generator of G2.
"""

from collections.abc import Sequence

from py_arkworks_bls12381 import G2Point, Scalar

from protocol.bls.points import decode_public_key, encode_public_key
from protocol.bls.scalars import decode_scalar, encode_scalar, hash_to_scalar
from protocol.crypto import Domain
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsScalar


class Polynomial:
    """A secret polynomial modulo the group order."""

    def __init__(self, coefficients: Sequence[Scalar]) -> None:
        """Take the coefficients, the constant term first."""
        self._coefficients = tuple(coefficients)

    def evaluate(self, index: int) -> BlsScalar:
        """Return the share of the holder with this index."""
        place, value = Scalar(index + 1), Scalar(0)
        for coefficient in reversed(self._coefficients):
            value = value * place + coefficient
        return encode_scalar(value)

    def get_constant(self) -> BlsScalar:
        """Return the secret that is shared."""
        return encode_scalar(self._coefficients[0])

    def compute_commitments(self) -> tuple[BlsPublicKey, ...]:
        """Return the commitments to the coefficients, the constant term's first."""
        return tuple(encode_public_key(G2Point() * coefficient) for coefficient in self._coefficients)


def derive_polynomial(seed: bytes, threshold: int) -> Polynomial:
    """Return the polynomial of degree ``threshold`` - 1 that derives from a secret seed."""
    return Polynomial(
        [hash_to_scalar(Domain.DEAL_SECRET, seed, power.to_bytes(4, "big")) for power in range(threshold)]
    )


def compute_share_key(commitments: Sequence[bytes], index: int) -> BlsPublicKey:
    """Return the public key that a holder's share has if it fits the commitments.

    Raises:
        InvalidMessage: A commitment is no point, or the key is the point at infinity.
    """
    key = encode_public_key(_evaluate_commitments(commitments, index))
    decode_public_key(key)
    return key


def check_share(commitments: Sequence[bytes], index: int, share: bytes) -> None:
    """Check that a share fits the commitments.

    Raises:
        InvalidMessage: It does not.
    """
    if G2Point() * decode_scalar(share) != _evaluate_commitments(commitments, index):
        raise InvalidMessage(f"share {index} does not fit the commitments")


def find_wrong_shares(dealt: Sequence[tuple[Sequence[bytes], bytes]], index: int) -> tuple[int, ...]:
    """Return which deals' shares for one holder do not fit their commitments; usually none.

    First one random combination of all is looked at, with weights of 128 bits that depend on every byte; only if it
    does not hold is each looked at by itself.

    Args:
        dealt: The commitments of each deal, which are points, and the share.
        index: The holder's.
    """
    if not dealt or _do_all_fit(dealt, index):
        return ()
    wrong: list[int] = []
    for place, (commitments, share) in enumerate(dealt):
        try:
            check_share(commitments, index, share)
        except InvalidMessage:
            wrong.append(place)
    return tuple(wrong)


def add_commitments(deals: Sequence[Sequence[bytes]]) -> tuple[BlsPublicKey, ...]:
    """Return the commitments to the sum of polynomials of one degree.

    Raises:
        InvalidMessage: A commitment is no point.
    """
    sums = [decode_public_key(commitment) for commitment in deals[0]]
    for commitments in deals[1:]:
        for power, commitment in enumerate(commitments):
            sums[power] = sums[power] + decode_public_key(commitment)
    return tuple(encode_public_key(point) for point in sums)


def _do_all_fit(dealt: Sequence[tuple[Sequence[bytes], bytes]], index: int) -> bool:
    everything = [part for commitments, share in dealt for part in (*commitments, share)]
    seed = encode_scalar(hash_to_scalar(Domain.SHARES, index.to_bytes(4, "big"), *everything))
    total = Scalar(0)
    points: list[G2Point] = []
    factors: list[Scalar] = []
    for place, (commitments, share) in enumerate(dealt):
        try:
            value = decode_scalar(share)
        except InvalidMessage:
            return False
        weight = Scalar.from_be_bytes_mod_order(
            bytes(hash_to_scalar(Domain.SHARES, seed, place.to_bytes(4, "big")).to_be_bytes())[16:]
        )
        total = total + weight * value
        points += [decode_public_key(commitment) for commitment in commitments]
        factors += [weight * power for power in _compute_powers(index, len(commitments))]
    return bool(G2Point.multiexp_unchecked(points, factors) == G2Point() * total)


def _evaluate_commitments(commitments: Sequence[bytes], index: int) -> G2Point:
    points = [decode_public_key(commitment) for commitment in commitments]
    return G2Point.multiexp_unchecked(points, _compute_powers(index, len(points)))


def _compute_powers(index: int, count: int) -> list[Scalar]:
    place, powers = Scalar(index + 1), [Scalar(1)]
    while len(powers) < count:
        powers.append(powers[-1] * place)
    return powers
