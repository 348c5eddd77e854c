"""W2: every hash and signature says what it is about. B7: one Ed25519 verifier, the strict one."""

import json
from pathlib import Path

import nacl.signing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto import Domain, SigningKey, check_signature, compute_digest, compute_sign_bytes
from protocol.errors import InvalidMessage
from protocol.units import Digest, MemberId, Signature
from tests.values import make_digest

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "ed25519_rfc8032.json").read_text(encoding="utf-8"))
KEY = SigningKey(make_digest("key"))
OTHER_KEY = SigningKey(make_digest("other key"))
CHAIN, OTHER_CHAIN = make_digest("chain"), make_digest("other chain")
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519's base point (RFC 8032, section 5.1)."""


@pytest.mark.parametrize("vector", VECTORS["vectors"])
def test_keys_derive_and_sign_as_in_rfc_8032(vector: dict[str, str]) -> None:
    """B7."""
    seed, message = bytes.fromhex(vector["seed"]), bytes.fromhex(vector["message"])
    assert SigningKey(seed).member.hex() == vector["public_key"]
    assert nacl.signing.SigningKey(seed).sign(message).signature.hex() == vector["signature"]


def test_a_signature_verifies_for_what_was_signed() -> None:
    """W2."""
    check_signature(KEY.member, Domain.VOTE, CHAIN, b"message", KEY.sign(Domain.VOTE, CHAIN, b"message"))


@pytest.mark.parametrize(
    ("member", "domain", "chain", "message"),
    [
        pytest.param(OTHER_KEY.member, Domain.VOTE, CHAIN, b"message", id="another member"),
        pytest.param(KEY.member, Domain.PROPOSAL, CHAIN, b"message", id="another domain"),
        pytest.param(KEY.member, Domain.VOTE, OTHER_CHAIN, b"message", id="another chain"),
        pytest.param(KEY.member, Domain.VOTE, CHAIN, b"massage", id="another message"),
    ],
)
def test_a_signature_is_worth_nothing_elsewhere(
    member: MemberId, domain: Domain, chain: Digest, message: bytes
) -> None:
    """W2."""
    signature = KEY.sign(Domain.VOTE, CHAIN, b"message")
    with pytest.raises(InvalidMessage, match="signature of member"):
        check_signature(member, domain, chain, message, signature)


def test_a_signature_plus_the_group_order_is_refused() -> None:
    """B7: S must be reduced (RFC 8032, section 5.1.7), or one signature has two encodings."""
    signature = KEY.sign(Domain.VOTE, CHAIN, b"message")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    stretched = Signature(signature[:32] + scalar.to_bytes(32, "little"))
    with pytest.raises(InvalidMessage):
        check_signature(KEY.member, Domain.VOTE, CHAIN, b"message", stretched)


SMALL_ORDER_POINTS = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]
"""Points of order 1, 2, 4 and 8: with one of them as the key, R = key and S = 0 satisfy a lax verifier."""


@pytest.mark.parametrize("point", SMALL_ORDER_POINTS)
def test_a_key_of_small_order_signs_nothing(point: str) -> None:
    """B7: under such a key one signature would fit many messages."""
    member = MemberId(bytes.fromhex(point))
    for number in range(16):
        with pytest.raises(InvalidMessage):
            check_signature(member, Domain.VOTE, CHAIN, bytes([number]), Signature(member + bytes(32)))


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65), b"\xff" * 64])
def test_what_is_no_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(InvalidMessage):
        check_signature(KEY.member, Domain.VOTE, CHAIN, b"message", Signature(signature))


def test_no_two_uses_share_a_domain_tag() -> None:
    """W2: an enum keeps only the first of two members with one value."""
    tags = [domain.value for domain in Domain]
    assert len(set(tags)) == len(Domain.__members__) == len(tags)
    assert all(tag.startswith(b"pnyx/1/") and len(tag) < 256 for tag in tags)


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_digests_differ_when_the_parts_differ(one: list[bytes], other: list[bytes]) -> None:
    """W2: parts that join to the same bytes are still different parts."""
    assert (compute_digest(Domain.VOTE, *one) == compute_digest(Domain.VOTE, *other)) == (one == other)


def test_digests_and_sign_bytes_are_pinned() -> None:
    assert compute_digest(Domain.BLOCK, b"a", b"bc").hex() == (
        "3c546fb2f8c0d1b2a4548a23fe9706f70f5fc34a703cc610b0e068b2b1439d5e"
    )
    assert compute_sign_bytes(Domain.VOTE, Digest(bytes(32)), b"m") == b"\x0bpnyx/1/vote" + bytes(32) + b"m"
