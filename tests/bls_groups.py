"""Members that share a group key, dealt by themselves as the key generation does it; and points that are none."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from protocol.bls import BlsSigningKey
from protocol.bls.sharing import Polynomial, add_commitments, add_scalars, compute_commitments, derive_polynomial
from protocol.bls.threshold import combine, sign_partial
from protocol.units import BlsPublicKey, BlsScalar, BlsSignature, Round
from tests.values import make_digest

FIELD_MODULUS: Final = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab", 16
)
"""The prime of BLS12-381's base field."""
COMPRESSED, INFINITY = 0x80, 0x40
"""Flags in the first byte of a compressed point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The outcome of one key generation."""

    threshold: int
    commitments: tuple[BlsPublicKey, ...]
    shares: tuple[BlsScalar, ...]

    @property
    def public_key(self) -> BlsPublicKey:
        return self.commitments[0]

    def sign(self, round_number: int, indexes: Iterable[int]) -> BlsSignature:
        """Return what the partial signatures of some members combine to."""
        partials = {index: sign_partial(self.shares[index], Round(round_number)) for index in indexes}
        return combine(partials, self.threshold)


def make_key(*words: str | int) -> BlsSigningKey:
    return BlsSigningKey(make_digest("bls key", *words) + make_digest("more", *words))


def make_polynomial(threshold: int, *words: str | int) -> Polynomial:
    return derive_polynomial(make_digest("polynomial", *words), threshold)


@cache
def make_group(member_count: int, threshold: int, dealer_count: int = 2, word: str = "") -> Group:
    polynomials = [make_polynomial(threshold, word, dealer) for dealer in range(dealer_count)]
    return Group(
        threshold=threshold,
        commitments=add_commitments([compute_commitments(polynomial) for polynomial in polynomials]),
        shares=tuple(
            add_scalars([polynomial.evaluate(index) for polynomial in polynomials]) for index in range(member_count)
        ),
    )


def with_flag(encoded: bytes, flag: int) -> bytes:
    return bytes([encoded[0] ^ flag]) + encoded[1:]


def _square_root_exists(real: int, imaginary: int) -> bool:
    """Return whether real + imaginary * i is a square in the field that G2 is over: its norm is one below."""
    return pow(real * real + imaginary * imaginary, (FIELD_MODULUS - 1) // 2, FIELD_MODULUS) == 1


def _make_x(number: int) -> bytes:
    """Return a compressed point with x = number, if there is one; the curve is y^2 = x^3 + 4 (1 + i)."""
    return with_flag(bytes(48) + number.to_bytes(48, "big"), COMPRESSED)


def find_x_off_the_curve() -> bytes:
    """Return an encoding whose x has no y on G2's curve."""
    return next(_make_x(number) for number in range(1, 99) if not _square_root_exists(number**3 + 4, 4))


def find_point_outside_of_the_subgroup() -> bytes:
    """Return a point on G2's curve: all but a negligible part of them lie outside of the subgroup."""
    return next(_make_x(number) for number in range(1, 99) if _square_root_exists(number**3 + 4, 4))


def find_key_with_unreduced_x() -> bytes:
    """Return another encoding of a key, x's second half with the modulus added, where 384 bits leave room for it."""
    for number in range(1_000):
        encoded = make_key("unreduced", number).public_key
        stretched = int.from_bytes(encoded[48:], "big") + FIELD_MODULUS
        if stretched < 1 << 381:
            return encoded[:48] + stretched.to_bytes(48, "big")
    raise AssertionError("no key with a small x")


NO_POINTS: Final = {
    "infinity": bytes([COMPRESSED | INFINITY]) + bytes(95),
    "infinity with a coordinate bit": bytes([COMPRESSED | INFINITY]) + bytes(94) + b"\x01",
    "not flagged as compressed": with_flag(make_key("flags").public_key, COMPRESSED),
    "off the curve": find_x_off_the_curve(),
    "outside of the subgroup": find_point_outside_of_the_subgroup(),
    "x not reduced": find_key_with_unreduced_x(),
    "a byte too few": make_key("length").public_key[:-1],
    "a byte too many": make_key("length").public_key + b"\x00",
    "no bytes": b"",
}
"""What every decoder of points on G2 must refuse (B6), by its mistake."""
