"""BLS signatures: as drand computes them (B1's bytes, B7), from valid points only (B6)."""

import hashlib
import json
from pathlib import Path

import pytest

from protocol.bls import BlsSigningKey, check_bls_signature, check_possession, decode_public_key, decode_signature
from protocol.bls import keys as bls
from protocol.crypto import Domain
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsSignature, Digest
from tests.values import make_digest

DRAND = json.loads((Path(__file__).parents[1] / "vectors" / "drand_quicknet.json").read_text(encoding="utf-8"))
KEY = BlsSigningKey(make_digest("key") + make_digest("more"))
OTHER_KEY = BlsSigningKey(make_digest("other key") + make_digest("more"))
CHAIN = make_digest("chain")
FIELD_MODULUS = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab", 16
)
"""The prime of BLS12-381's base field."""
COMPRESSED, INFINITY = 0x80, 0x40
"""Flags in the first byte of a compressed point."""


def verify_drand(message: bytes) -> None:
    public_key = BlsPublicKey(bytes.fromhex(DRAND["public_key"]))
    bls._check(public_key, message, bls.SIGNATURE_TAG, BlsSignature(bytes.fromhex(DRAND["signature"])))


def test_a_round_of_drand_verifies() -> None:
    """B7: same curve library, same ciphersuite, same bytes as the public network's."""
    verify_drand(hashlib.sha256(DRAND["round"].to_bytes(8, "big")).digest())
    assert hashlib.sha256(bytes.fromhex(DRAND["signature"])).hexdigest() == DRAND["randomness"]


def test_a_round_of_drand_verifies_as_no_other_round() -> None:
    with pytest.raises(InvalidMessage, match="does not verify"):
        verify_drand(hashlib.sha256((DRAND["round"] + 1).to_bytes(8, "big")).digest())


def test_a_signature_is_unique_and_verifies() -> None:
    """B5 builds on it: the leader has no choice of reveals."""
    signature = KEY.sign(Domain.REVEAL, CHAIN, b"message")
    assert signature == KEY.sign(Domain.REVEAL, CHAIN, b"message")
    check_bls_signature(KEY.public_key, Domain.REVEAL, CHAIN, b"message", signature)


@pytest.mark.parametrize(
    ("key", "domain", "chain", "message"),
    [
        pytest.param(OTHER_KEY, Domain.REVEAL, CHAIN, b"message", id="another key"),
        pytest.param(KEY, Domain.MIX, CHAIN, b"message", id="another domain"),
        pytest.param(KEY, Domain.REVEAL, make_digest("other chain"), b"message", id="another chain"),
        pytest.param(KEY, Domain.REVEAL, CHAIN, b"massage", id="another message"),
    ],
)
def test_a_signature_is_worth_nothing_elsewhere(
    key: BlsSigningKey, domain: Domain, chain: Digest, message: bytes
) -> None:
    """W2."""
    signature = KEY.sign(Domain.REVEAL, CHAIN, b"message")
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_bls_signature(key.public_key, domain, chain, message, signature)


def test_possession_is_proven_by_the_holder_only() -> None:
    """L1: or a rogue key could be computed from others' keys."""
    check_possession(KEY.public_key, KEY.prove_possession())
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_possession(KEY.public_key, OTHER_KEY.prove_possession())


def test_a_signature_over_the_key_is_no_proof_of_possession() -> None:
    """L1: signatures and proofs have tags of their own, so that nobody's reveal can pass as a proof."""
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_possession(KEY.public_key, KEY._sign(KEY.public_key, bls.SIGNATURE_TAG))


def with_flag(encoded: bytes, flag: int) -> bytes:
    return bytes([encoded[0] ^ flag]) + encoded[1:]


def find_x_off_the_curve() -> bytes:
    """Return an encoding whose x coordinate has no y on G1: y^2 = x^3 + 4 has no root."""
    number = 1
    while pow(number**3 + 4, (FIELD_MODULUS - 1) // 2, FIELD_MODULUS) == 1:
        number += 1
    return with_flag(number.to_bytes(48, "big"), COMPRESSED)


def find_point_outside_of_the_subgroup() -> bytes:
    """Return a point on the curve: all but one in 2**126 of them lie outside of the subgroup."""
    number = 1
    while pow(number**3 + 4, (FIELD_MODULUS - 1) // 2, FIELD_MODULUS) != 1:
        number += 1
    return with_flag(number.to_bytes(48, "big"), COMPRESSED)


def add_modulus(encoded: bytes) -> bytes:
    """Return another encoding of the same x coordinate, if three flag bits and 381 bits of x leave room for it."""
    flags = encoded[0] & 0xE0
    stretched = int.from_bytes(with_flag(encoded, flags), "big") + FIELD_MODULUS
    return with_flag(stretched.to_bytes(48, "big"), flags)


def find_signature_with_small_x() -> bytes:
    """Return a signature whose x leaves room for the modulus below 2**381."""
    for number in range(1_000):
        signature = KEY.sign(Domain.REVEAL, CHAIN, bytes([number % 256, number // 256]))
        if int.from_bytes(with_flag(signature, signature[0] & 0xE0), "big") + FIELD_MODULUS < 1 << 381:
            return signature
    raise AssertionError("no signature with a small x")


SIGNATURE = KEY.sign(Domain.REVEAL, CHAIN, b"message")


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(bytes([COMPRESSED | INFINITY]) + bytes(47), id="infinity"),
        pytest.param(with_flag(SIGNATURE, COMPRESSED), id="not flagged as compressed"),
        pytest.param(with_flag(SIGNATURE, INFINITY), id="infinity with coordinates"),
        pytest.param(bytes([COMPRESSED | INFINITY]) + bytes(46) + b"\x01", id="infinity with a coordinate bit"),
        pytest.param(find_x_off_the_curve(), id="off the curve"),
        pytest.param(find_point_outside_of_the_subgroup(), id="outside of the subgroup"),
        pytest.param(add_modulus(find_signature_with_small_x()), id="x not reduced"),
        pytest.param(SIGNATURE[:-1], id="a byte too few"),
        pytest.param(SIGNATURE + b"\x00", id="a byte too many"),
        pytest.param(b"", id="no bytes"),
        pytest.param(bytes(48), id="zeros"),
        pytest.param(b"\xff" * 48, id="all bits"),
    ],
)
def test_what_is_no_signature_point_is_refused(encoded: bytes) -> None:
    """B6."""
    with pytest.raises(InvalidMessage, match="a BLS signature is"):
        decode_signature(encoded)


def test_the_points_above_are_refused_for_their_mistake_alone() -> None:
    """B6: a valid signature decodes, and the unreduced one differs from a valid one in nothing else."""
    decode_signature(SIGNATURE)
    decode_signature(find_signature_with_small_x())


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(bytes([COMPRESSED | INFINITY]) + bytes(95), id="infinity"),
        pytest.param(with_flag(KEY.public_key, COMPRESSED), id="not flagged as compressed"),
        pytest.param(with_flag(KEY.public_key, INFINITY), id="infinity with coordinates"),
        pytest.param(KEY.public_key[:-1], id="a byte too few"),
        pytest.param(KEY.public_key + b"\x00", id="a byte too many"),
        pytest.param(bytes([COMPRESSED]) + bytes(94) + b"\x02", id="off the curve or outside of the subgroup"),
        pytest.param(SIGNATURE + SIGNATURE, id="two points of the other group"),
    ],
)
def test_what_is_no_public_key_point_is_refused(encoded: bytes) -> None:
    """B6."""
    decode_public_key(KEY.public_key)
    with pytest.raises(InvalidMessage, match="a BLS public key is"):
        decode_public_key(encoded)


def test_a_short_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 48 bytes"):
        BlsSigningKey(bytes(47))


def test_a_seed_that_gives_the_zero_key_is_refused() -> None:
    with pytest.raises(ValueError, match="zero key"):
        BlsSigningKey(bytes(48))
