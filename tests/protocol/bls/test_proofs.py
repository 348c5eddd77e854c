"""Proofs about logarithms (B4): the holder of the secret makes them, and each holds for its one statement only."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bls.encryption import compute_ephemeral_key
from protocol.bls.proofs import (
    SharedPointClaim,
    check_knowledge,
    check_shared_point,
    prove_knowledge,
)
from protocol.bls.scalars import GROUP_ORDER
from protocol.errors import InvalidMessage
from protocol.units import BlsProof, BlsPublicKey, BlsScalar, SharedPoint
from tests.bls_groups import NO_POINTS, make_key

SECRET = BlsScalar((12_345).to_bytes(32, "big"))
POINT = compute_ephemeral_key(SECRET)
CONTEXT = b"this deal"
KEY, STRANGER = make_key("recipient"), make_key("stranger")
CLAIM = SharedPointClaim(public_key=KEY.public_key, other_key=POINT, shared_point=KEY.compute_shared_point(POINT))
PROOF = KEY.prove_shared_point(POINT, CONTEXT)


def stretch(proof: BlsProof, start: int) -> BlsProof:
    """Return the proof with the group order added to one of its scalars, if that fits in 32 bytes."""
    number = int.from_bytes(proof[start : start + 32], "big") + GROUP_ORDER
    return BlsProof(proof[:start] + number.to_bytes(32, "big") + proof[start + 32 :])


def flip(encoded: bytes, bit: int) -> bytes:
    changed = bytearray(encoded)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(st.integers(min_value=1, max_value=GROUP_ORDER - 1), st.binary())
def test_whoever_knows_the_logarithm_can_prove_it(number: int, context: bytes) -> None:
    secret = BlsScalar(number.to_bytes(32, "big"))
    check_knowledge(compute_ephemeral_key(secret), prove_knowledge(secret, context), context)


@given(st.integers(min_value=0, max_value=511))
def test_no_bit_of_a_proof_of_knowledge_can_change(bit: int) -> None:
    with pytest.raises(InvalidMessage, match=r"does not verify|BLS scalar"):
        check_knowledge(POINT, BlsProof(flip(prove_knowledge(SECRET, CONTEXT), bit)), CONTEXT)


def test_a_proof_of_knowledge_is_worth_nothing_in_another_context_or_for_another_point() -> None:
    """A rogue dealer re-posts somebody's ephemeral key with its proof: it must not verify in the rogue's deal."""
    proof = prove_knowledge(SECRET, CONTEXT)
    check_knowledge(POINT, proof, CONTEXT)
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_knowledge(POINT, proof, b"another deal")
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_knowledge(KEY.public_key, proof, CONTEXT)


@pytest.mark.parametrize("encoded", NO_POINTS.values(), ids=NO_POINTS)
def test_nobody_proves_knowledge_of_what_is_no_point(encoded: bytes) -> None:
    """B6."""
    with pytest.raises(InvalidMessage, match="the point of a proof of knowledge is"):
        check_knowledge(BlsPublicKey(encoded), prove_knowledge(SECRET, CONTEXT), CONTEXT)


@pytest.mark.parametrize(
    "proof",
    [
        pytest.param(BlsProof(prove_knowledge(SECRET, CONTEXT)[:-1]), id="a byte too few"),
        pytest.param(BlsProof(prove_knowledge(SECRET, CONTEXT) + b"\x00"), id="a byte too many"),
        pytest.param(stretch(prove_knowledge(SECRET, CONTEXT), 0), id="challenge not reduced"),
        pytest.param(stretch(prove_knowledge(SECRET, CONTEXT), 32), id="response not reduced"),
    ],
)
def test_a_proof_has_one_encoding(proof: BlsProof) -> None:
    """B6."""
    with pytest.raises(InvalidMessage, match="BLS scalar"):
        check_knowledge(POINT, proof, CONTEXT)


def test_the_holder_of_a_key_proves_its_shared_point() -> None:
    check_shared_point(CLAIM, PROOF, CONTEXT)


@given(st.integers(min_value=0, max_value=511))
def test_no_bit_of_a_proof_of_a_shared_point_can_change(bit: int) -> None:
    with pytest.raises(InvalidMessage, match=r"does not verify|BLS scalar"):
        check_shared_point(CLAIM, BlsProof(flip(PROOF, bit)), CONTEXT)


@pytest.mark.parametrize(
    ("claim", "context"),
    [
        pytest.param(CLAIM, b"another deal", id="another context"),
        pytest.param(replace(CLAIM, public_key=STRANGER.public_key), CONTEXT, id="another key"),
        pytest.param(replace(CLAIM, other_key=STRANGER.public_key), CONTEXT, id="another ephemeral key"),
        pytest.param(
            replace(CLAIM, shared_point=STRANGER.compute_shared_point(POINT)), CONTEXT, id="another shared point"
        ),
        pytest.param(
            SharedPointClaim(public_key=POINT, other_key=KEY.public_key, shared_point=KEY.compute_shared_point(POINT)),
            CONTEXT,
            id="the same point, the keys exchanged",
        ),
    ],
)
def test_the_proof_of_a_shared_point_is_of_one_claim(claim: SharedPointClaim, context: bytes) -> None:
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_shared_point(claim, PROOF, context)


def test_a_true_proof_does_not_cover_a_false_shared_point() -> None:
    """Somebody proves with a secret of its own, and claims the result for another's key."""
    claim = replace(CLAIM, public_key=STRANGER.public_key, shared_point=KEY.compute_shared_point(POINT))
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_shared_point(claim, STRANGER.prove_shared_point(POINT, CONTEXT), CONTEXT)


@pytest.mark.parametrize("name", ["public_key", "other_key", "shared_point"])
@pytest.mark.parametrize("encoded", NO_POINTS.values(), ids=NO_POINTS)
def test_a_claim_about_what_is_no_point_is_refused(name: str, encoded: bytes) -> None:
    """B6."""
    claims = {
        "public_key": replace(CLAIM, public_key=BlsPublicKey(encoded)),
        "other_key": replace(CLAIM, other_key=BlsPublicKey(encoded)),
        "shared_point": replace(CLAIM, shared_point=SharedPoint(encoded)),
    }
    with pytest.raises(InvalidMessage, match=r"a BLS public key is|an ephemeral key is|a shared point is"):
        check_shared_point(claims[name], PROOF, CONTEXT)


@pytest.mark.parametrize("encoded", NO_POINTS.values(), ids=NO_POINTS)
def test_no_secret_is_multiplied_with_what_is_no_point(encoded: bytes) -> None:
    """B6: a point of a small subgroup would leak the secret's remainder."""
    with pytest.raises(InvalidMessage, match="an ephemeral key is"):
        KEY.compute_shared_point(BlsPublicKey(encoded))
    with pytest.raises(InvalidMessage, match="an ephemeral key is"):
        KEY.prove_shared_point(BlsPublicKey(encoded), CONTEXT)


def recover_challenge_and_response(proof: BlsProof) -> tuple[int, int]:
    return int.from_bytes(proof[:32], "big"), int.from_bytes(proof[32:], "big")


def test_two_proofs_of_one_secret_never_share_a_nonce() -> None:
    """Two responses with the same nonce would give the secret away: response - challenge * secret is the nonce."""
    proofs = [prove_knowledge(SECRET, context) for context in (b"", b"a", b"b", b"ab")]
    nonces = set()
    for proof in proofs:
        challenge, response = recover_challenge_and_response(proof)
        nonces.add((response - challenge * int.from_bytes(SECRET, "big")) % GROUP_ORDER)
    assert len(nonces) == len(proofs)
    assert proofs[0] == prove_knowledge(SECRET, b"")
