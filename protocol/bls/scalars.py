"""Numbers modulo the order of BLS12-381's groups: secrets, shares, challenges, and their bytes."""

from typing import Final

from py_arkworks_bls12381 import Scalar

from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidMessage
from protocol.units import BlsScalar

SCALAR_BYTES: Final = 32
GROUP_ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""The prime order of G1 and G2 (draft-irtf-cfrg-pairing-friendly-curves, section 4.2.1)."""


def decode_scalar(encoded: bytes) -> BlsScalar:
    """Return the scalar of untrusted bytes; zero is one.

    Raises:
        InvalidMessage: Not 32 bytes, or not below the group order.
    """
    if len(encoded) != SCALAR_BYTES or int.from_bytes(encoded, "big") >= GROUP_ORDER:
        raise InvalidMessage("a BLS scalar is not 32 bytes below the group order")
    return BlsScalar(encoded)


def derive_scalar(domain: Domain, *parts: bytes) -> BlsScalar:
    """Return a scalar that depends on all parts: 64 bytes of hash modulo the order, with a bias below 2**-256.

    It is zero with a chance of 2**-255, so nobody checks.
    """
    wide = compute_digest(domain, b"\x00", *parts) + compute_digest(domain, b"\x01", *parts)
    return encode_scalar(Scalar.from_be_bytes_mod_order(wide))


def load_scalar(encoded: BlsScalar) -> Scalar:
    """Return the library's value of a scalar.

    Raises:
        InvalidMessage: Not 32 bytes, or not below the group order.
    """
    return Scalar.from_be_bytes(decode_scalar(encoded))


def encode_scalar(scalar: Scalar) -> BlsScalar:
    """Return the bytes of the library's value."""
    return BlsScalar(bytes(scalar.to_be_bytes()))
