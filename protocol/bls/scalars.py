"""Numbers modulo the order of the groups, as 32 bytes, big-endian."""

from collections.abc import Iterable

from py_arkworks_bls12381 import G2Point, Scalar

from protocol.bls.points import encode_public_key
from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsScalar

_HALVES = (b"high", b"low")


def decode_scalar(encoded: bytes) -> Scalar:
    """Return a number from untrusted bytes; zero is one.

    Raises:
        InvalidMessage: Not 32 bytes, or not below the order.
    """
    if len(encoded) == 32:
        scalar = Scalar.from_be_bytes_mod_order(encoded)
        if bytes(scalar.to_be_bytes()) == encoded:
            return scalar
    raise InvalidMessage("a scalar is not 32 bytes below the group order")


def encode_scalar(scalar: Scalar) -> BlsScalar:
    """Return a number's 32 bytes."""
    return BlsScalar(bytes(scalar.to_be_bytes()))


def hash_to_scalar(domain: Domain, *parts: bytes) -> Scalar:
    """Return a number that looks drawn at random: 512 bits of digest modulo the order, with a bias below 2**-256."""
    return Scalar.from_be_bytes_mod_order(b"".join(compute_digest(domain, half, *parts) for half in _HALVES))


def derive_scalar(domain: Domain, *parts: bytes) -> BlsScalar:
    """Return the secret number that derives from secret parts."""
    return encode_scalar(hash_to_scalar(domain, *parts))


def add_scalars(encoded: Iterable[bytes]) -> BlsScalar:
    """Return the sum of numbers of 32 bytes each, modulo the order; one that is not below it is reduced."""
    total = Scalar(0)
    for one in encoded:
        total = total + Scalar.from_be_bytes_mod_order(one)
    return encode_scalar(total)


def multiply_generator(scalar: BlsScalar) -> BlsPublicKey:
    """Return the point on G2 that belongs to a secret number.

    Raises:
        InvalidMessage: The number is out of range.
    """
    return encode_public_key(G2Point() * decode_scalar(scalar))
