"""Points of BLS12-381 and their bytes: what a peer sends is on the curve, in the subgroup, finite and canonical (B6).

Keys, commitments and shared points lie on G2 (96 bytes), signatures on G1 (48 bytes).
"""

from typing import Final

from py_arkworks_bls12381 import G1Point, G2Point

from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsSignature

GENERATOR: Final = G2Point()


def decode_public_key(encoded: bytes) -> G2Point:
    """Return the point of a public key (B6).

    Raises:
        InvalidMessage: Not on the curve, outside the subgroup, infinity, or not the canonical encoding.
    """
    return decode_point(encoded, "a BLS public key")


def decode_point(encoded: bytes, what: str) -> G2Point:
    """Return the point on G2 that a peer sent (B6).

    Args:
        encoded: Untrusted bytes.
        what: What the point is, for the error's text.

    Raises:
        InvalidMessage: Not on the curve, outside the subgroup, infinity, or not the canonical encoding.
    """
    try:
        point = G2Point.from_compressed_bytes(encoded)
    except ValueError as error:
        raise InvalidMessage(f"{what} is no point of the group") from error
    if point == G2Point.identity() or bytes(point.to_compressed_bytes()) != encoded:
        raise InvalidMessage(f"{what} is infinity or not canonical")
    return point


def decode_signature(encoded: bytes) -> G1Point:
    """Return the point of a signature (B6).

    Raises:
        InvalidMessage: Not on the curve, outside the subgroup, infinity, or not the canonical encoding.
    """
    try:
        point = G1Point.from_compressed_bytes(encoded)
    except ValueError as error:
        raise InvalidMessage("a BLS signature is no point of the group") from error
    if point == G1Point.identity() or bytes(point.to_compressed_bytes()) != encoded:
        raise InvalidMessage("a BLS signature is infinity or not canonical")
    return point


def encode_public_key(point: G2Point) -> BlsPublicKey:
    """Return the bytes of a point on G2."""
    return BlsPublicKey(bytes(point.to_compressed_bytes()))


def encode_signature(point: G1Point) -> BlsSignature:
    """Return the bytes of a point on G1."""
    return BlsSignature(bytes(point.to_compressed_bytes()))
