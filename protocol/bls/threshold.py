"""Threshold signatures, byte for byte those of drand's scheme ``bls-unchained-g1-rfc9380`` (B1, B3).

Source: https://docs.drand.love/docs/cryptography: the message is SHA-256 of the round as u64 big-endian, hashed to G1
by RFC 9380; the random value is SHA-256 of the signature. Combining is interpolation at zero (A. Boldyreva, PKC 2003).
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from protocol.bls.keys import SIGNATURE_TAG
from protocol.bls.points import decode_public_key, decode_signature, encode_signature
from protocol.bls.scalars import decode_scalar
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsScalar, BlsSignature, Digest, Round


def compute_round_message(round_number: Round) -> bytes:
    """Return what a round's output is a signature over."""
    return hashlib.sha256(round_number.to_bytes(8, "big")).digest()


def compute_randomness(signature: BlsSignature) -> Digest:
    """Return the random value of an output."""
    return Digest(hashlib.sha256(signature).digest())


def sign_partial(share: BlsScalar, round_number: Round) -> BlsSignature:
    """Return a holder's part of a round's output; the whole signature if the share is the whole key."""
    return encode_signature(_hash_round(round_number) * decode_scalar(share))


def check_partial(share_key: BlsPublicKey, round_number: Round, partial: BlsSignature) -> None:
    """Check a holder's part by itself.

    Raises:
        InvalidMessage: It is no point, or not of this share.
    """
    _check(share_key, round_number, partial)


def check_output(group_key: BlsPublicKey, round_number: Round, signature: BlsSignature) -> None:
    """Check a round's output.

    Raises:
        InvalidMessage: It is no point, or not the group's signature over this round.
    """
    _check(group_key, round_number, signature)


def combine(partials: Mapping[int, BlsSignature], threshold: int) -> BlsSignature:
    """Return what partials come to, without a look at each: whether it is the output is for the caller to check (B3).

    Args:
        partials: By the holders' indexes; the ``threshold`` lowest are taken.
        threshold: How many make an output.

    Raises:
        InvalidMessage: Too few, or one is no point at all.
    """
    indexes = tuple(sorted(partials)[:threshold])
    if len(indexes) < threshold:
        raise InvalidMessage(f"{len(indexes)} partials, {threshold} make an output")
    try:
        points = [G1Point.from_compressed_bytes_unchecked(partials[index]) for index in indexes]
    except ValueError as error:
        raise InvalidMessage("a partial is no point") from error
    return encode_signature(G1Point.multiexp_unchecked(points, list(_compute_lagrange(indexes))))


@lru_cache(maxsize=256)
def _compute_lagrange(indexes: tuple[int, ...]) -> tuple[Scalar, ...]:
    """Return the coefficients that interpolate at zero from the values at index + 1."""
    places = [Scalar(index + 1) for index in indexes]
    coefficients: list[Scalar] = []
    for own, place in enumerate(places):
        above, below = Scalar(1), Scalar(1)
        for other, another in enumerate(places):
            if other != own:
                above = above * another
                below = below * (another - place)
        coefficients.append(above * below.inverse())
    return tuple(coefficients)


def _hash_round(round_number: Round) -> G1Point:
    return G1Point.hash_to_curve(compute_round_message(round_number), SIGNATURE_TAG)


def _check(key: BlsPublicKey, round_number: Round, signature: BlsSignature) -> None:
    key_point, signature_point = decode_public_key(key), decode_signature(signature)
    if not GT.pairing_check([signature_point, -_hash_round(round_number)], [G2Point(), key_point]):
        raise InvalidMessage(f"a signature over round {round_number} does not verify")
