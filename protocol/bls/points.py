"""Encoded points from strangers: each is of the group, not infinity, and in its one encoding, or it is refused (B6)."""

from functools import lru_cache
from typing import Final

from py_arkworks_bls12381 import G1Point, G2Point

from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsSignature

POINTS_REMEMBERED: Final = 1 << 15
"""Decoded points on G2: a ceremony of 256 members has 33,000 commitments, and decoding one takes 0.2 ms."""


def encode_public_key(point: G2Point) -> BlsPublicKey:
    """Return a point on G2, compressed, 96 bytes."""
    return BlsPublicKey(bytes(point.to_compressed_bytes()))


def encode_signature(point: G1Point) -> BlsSignature:
    """Return a point on G1, compressed, 48 bytes."""
    return BlsSignature(bytes(point.to_compressed_bytes()))


@lru_cache(POINTS_REMEMBERED)
def decode_public_key(encoded: bytes) -> G2Point:
    """Return the point of a public key (B6).

    Raises:
        InvalidMessage: Not on the curve, outside the subgroup, infinity, or not the canonical encoding.
    """
    try:
        point = G2Point.from_compressed_bytes(encoded)
    except ValueError as error:
        raise InvalidMessage("a BLS public key is no point of the group") from error
    if point == G2Point.identity() or bytes(point.to_compressed_bytes()) != encoded:
        raise InvalidMessage("a BLS public key is infinity or not canonical")
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
