"""Threshold signatures over round numbers, byte for byte those of drand's ``bls-unchained-g1-rfc9380`` (B1, B3).

The message of a round is SHA-256 of its number, 64 bits, big-endian, hashed to G1; a round's randomness is SHA-256 of
its signature. Both are plain, without a domain tag of this project, because drand's tools compute them. Any threshold
of partial signatures combines to the one signature that exists under the group's key.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Final

from py_arkworks_bls12381 import G1Point, Scalar

from protocol.bls.keys import SIGNATURE_TAG, check_message
from protocol.bls.points import encode_signature
from protocol.bls.scalars import GROUP_ORDER, load_scalar
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsScalar, BlsSignature, Digest, Round

SCHEME: Final = "bls-unchained-g1-rfc9380"
"""What drand calls it."""


def sign_partial(share: BlsScalar, round_number: Round) -> BlsSignature:
    """Return a member's partial signature of a round, by its share of the group's key.

    Raises:
        InvalidMessage: The share is no scalar.
    """
    hashed = G1Point.hash_to_curve(_compute_message(round_number), SIGNATURE_TAG)
    return encode_signature(hashed * load_scalar(share))


def check_partial(share_key: BlsPublicKey, round_number: Round, partial: BlsSignature) -> None:
    """Check one member's partial signature against the public key of its share.

    Raises:
        InvalidMessage: It is not that member's signature of that round.
    """
    check_message(share_key, _compute_message(round_number), SIGNATURE_TAG, partial)


def combine(partials: Mapping[int, BlsSignature], threshold: int) -> BlsSignature:
    """Return what the partial signatures of the lowest indexes interpolate to at zero, without checking any (B3).

    The result is the group's signature if all of them are right, and anything otherwise: :func:`check_output` tells.

    Args:
        partials: By the index of their member; at least as many as the threshold.
        threshold: How many are needed.

    Raises:
        InvalidMessage: One of them is no point of the curve.
        ValueError: There are fewer than the threshold.
    """
    if not 1 <= threshold <= len(partials):
        raise ValueError(f"{len(partials)} partial signatures, {threshold} are needed")
    indexes = sorted(partials)[:threshold]
    points = [_decode_partial(index, partials[index]) for index in indexes]
    return encode_signature(G1Point.multiexp_unchecked(points, compute_coefficients(indexes)))


def check_output(group_key: BlsPublicKey, round_number: Round, signature: BlsSignature) -> None:
    """Check a round's signature against the group's public key, as any drand client does.

    Raises:
        InvalidMessage: It is not the signature of that round under that key.
    """
    check_message(group_key, _compute_message(round_number), SIGNATURE_TAG, signature)


def compute_randomness(signature: BlsSignature) -> Digest:
    """Return a round's output: SHA-256 of its signature."""
    return Digest(hashlib.sha256(signature).digest())


def compute_coefficients(indexes: Sequence[int]) -> list[Scalar]:
    """Return Lagrange's coefficients at zero for values at ``index + 1``.

    Products of the small places are taken as plain integers, and each is reduced once.

    Args:
        indexes: Distinct, from 0.
    """
    places = [index + 1 for index in indexes]
    product = _reduce(math.prod(places))
    return [
        product * _reduce(place * math.prod(other - place for other in places if other != place)).inverse()
        for place in places
    ]


def _reduce(number: int) -> Scalar:
    return Scalar.from_be_bytes((number % GROUP_ORDER).to_bytes(32, "big"))


def _decode_partial(index: int, partial: BlsSignature) -> G1Point:
    """Return a point of the curve; whether it is in the subgroup shows in the sum, where :func:`check_output` looks."""
    try:
        return G1Point.from_compressed_bytes_unchecked(partial)
    except ValueError as error:
        raise InvalidMessage(f"the partial signature of index {index} is no point of the curve") from error


def _compute_message(round_number: Round) -> bytes:
    return hashlib.sha256(round_number.to_bytes(8, "big")).digest()
