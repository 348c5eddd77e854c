"""Encrypted shares and complaints (B4): each reads its own, and whoever lies about a share, the complaint shows it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bls.encryption import (
    Complaint,
    build_complaint,
    check_complaint,
    compute_ephemeral_key,
    decrypt_share,
    derive_ephemeral_secret,
    encrypt_share,
    open_with_shared_point,
)
from protocol.bls.scalars import GROUP_ORDER
from protocol.bls.sharing import check_share, compute_commitments
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsScalar, EncryptedShare, SharedPoint
from tests.bls_groups import NO_POINTS, make_key, make_polynomial
from tests.values import make_digest

POLYNOMIAL = make_polynomial(3, "dealer")
COMMITMENTS = compute_commitments(POLYNOMIAL)
SECRET = derive_ephemeral_secret(make_digest("deal"))
EPHEMERAL_KEY = compute_ephemeral_key(SECRET)
RECIPIENT, STRANGER = make_key("recipient"), make_key("stranger")
CONTEXT, INDEX = b"this deal", 5


def encrypt(share: BlsScalar, *, index: int = INDEX) -> EncryptedShare:
    return encrypt_share(SECRET, RECIPIENT.public_key, share, CONTEXT, index)


def settle(complaint: Complaint, ciphertext: EncryptedShare) -> None:
    """Return if the dealer is honest, and raise if the complaint or the share is bad, as every member does."""
    check_complaint(complaint, RECIPIENT.public_key, EPHEMERAL_KEY, CONTEXT, INDEX)
    check_share(COMMITMENTS, INDEX, open_with_shared_point(complaint.shared_point, ciphertext, CONTEXT, INDEX))


@given(st.integers(min_value=0, max_value=GROUP_ORDER - 1), st.binary(), st.integers(min_value=0, max_value=1_000))
def test_a_recipient_reads_what_was_encrypted_for_it(number: int, context: bytes, index: int) -> None:
    share = BlsScalar(number.to_bytes(32, "big"))
    ciphertext = encrypt_share(SECRET, RECIPIENT.public_key, share, context, index)
    assert decrypt_share(RECIPIENT, EPHEMERAL_KEY, ciphertext, context, index) == share


def test_nobody_else_reads_it_and_no_pad_serves_twice() -> None:
    share = POLYNOMIAL.evaluate(INDEX)
    ciphertexts = {
        encrypt(share),
        encrypt(share, index=INDEX + 1),
        encrypt_share(SECRET, STRANGER.public_key, share, CONTEXT, INDEX),
        encrypt_share(SECRET, RECIPIENT.public_key, share, b"another deal", INDEX),
        encrypt_share(derive_ephemeral_secret(make_digest("other")), RECIPIENT.public_key, share, CONTEXT, INDEX),
    }
    assert len(ciphertexts) == 5
    stranger_point = STRANGER.compute_shared_point(EPHEMERAL_KEY)
    assert stranger_point != RECIPIENT.compute_shared_point(EPHEMERAL_KEY)
    with pytest.raises(InvalidMessage):
        check_share(COMMITMENTS, INDEX, open_with_shared_point(stranger_point, encrypt(share), CONTEXT, INDEX))


def test_a_complaint_about_an_honest_dealer_opens_to_the_right_share() -> None:
    """The complainer is the liar then."""
    settle(build_complaint(RECIPIENT, EPHEMERAL_KEY, CONTEXT, INDEX), encrypt(POLYNOMIAL.evaluate(INDEX)))


@pytest.mark.parametrize(
    "ciphertext",
    [
        pytest.param(encrypt(POLYNOMIAL.evaluate(INDEX + 1)), id="another member's share"),
        pytest.param(encrypt(BlsScalar(bytes(32))), id="zero"),
        pytest.param(encrypt(BlsScalar(b"\xff" * 32)), id="no scalar"),
        pytest.param(EncryptedShare(bytes(32)), id="noise"),
    ],
)
def test_a_complaint_about_a_bad_share_convicts_the_dealer(ciphertext: EncryptedShare) -> None:
    complaint = build_complaint(RECIPIENT, EPHEMERAL_KEY, CONTEXT, INDEX)
    check_complaint(complaint, RECIPIENT.public_key, EPHEMERAL_KEY, CONTEXT, INDEX)
    with pytest.raises(InvalidMessage, match=r"not the one that its dealer|BLS scalar"):
        settle(complaint, ciphertext)


def test_a_forged_shared_point_convicts_nobody() -> None:
    """A false complainer shows another point, so that an honest share opens to nonsense."""
    honest = build_complaint(RECIPIENT, EPHEMERAL_KEY, CONTEXT, INDEX)
    forged = replace(honest, shared_point=STRANGER.compute_shared_point(EPHEMERAL_KEY))
    with pytest.raises(InvalidMessage, match="does not verify"):
        settle(forged, encrypt(POLYNOMIAL.evaluate(INDEX)))


@pytest.mark.parametrize(
    ("complaint", "match"),
    [
        pytest.param(build_complaint(RECIPIENT, EPHEMERAL_KEY, b"last epoch", INDEX), "not verify", id="context"),
        pytest.param(build_complaint(RECIPIENT, EPHEMERAL_KEY, CONTEXT, INDEX + 1), "not verify", id="index"),
        pytest.param(build_complaint(STRANGER, EPHEMERAL_KEY, CONTEXT, INDEX), "not verify", id="another's"),
        pytest.param(build_complaint(RECIPIENT, STRANGER.public_key, CONTEXT, INDEX), "not verify", id="other deal"),
    ],
)
def test_a_complaint_is_worth_nothing_elsewhere(complaint: Complaint, match: str) -> None:
    with pytest.raises(InvalidMessage, match=match):
        check_complaint(complaint, RECIPIENT.public_key, EPHEMERAL_KEY, CONTEXT, INDEX)


@pytest.mark.parametrize("encoded", NO_POINTS.values(), ids=NO_POINTS)
def test_points_that_are_none_are_refused(encoded: bytes) -> None:
    """B6: in the recipient's key, the ephemeral key and the complaint."""
    complaint = build_complaint(RECIPIENT, EPHEMERAL_KEY, CONTEXT, INDEX)
    share = POLYNOMIAL.evaluate(INDEX)
    with pytest.raises(InvalidMessage, match="a BLS public key is"):
        encrypt_share(SECRET, BlsPublicKey(encoded), share, CONTEXT, INDEX)
    with pytest.raises(InvalidMessage, match="an ephemeral key is"):
        decrypt_share(RECIPIENT, BlsPublicKey(encoded), encrypt(share), CONTEXT, INDEX)
    with pytest.raises(InvalidMessage, match="a shared point is"):
        settle(replace(complaint, shared_point=SharedPoint(encoded)), encrypt(share))


def test_a_ciphertext_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="32 bytes, not 31"):
        decrypt_share(RECIPIENT, EPHEMERAL_KEY, EncryptedShare(bytes(31)), CONTEXT, INDEX)


def test_the_ephemeral_key_of_a_seed_is_always_the_same_and_a_short_seed_is_refused() -> None:
    """A dealer that lost everything but its seed posts the same deal again."""
    assert derive_ephemeral_secret(make_digest("deal")) == SECRET
    with pytest.raises(ValueError, match="at least 32 bytes"):
        derive_ephemeral_secret(bytes(31))
