"""Operations: signed, numbered, and sealed ballots that are bound to their voter (L8, F8, W2)."""

from dataclasses import replace

import pytest

from protocol.codec import encode
from protocol.crypto import SigningKey
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.operations import (
    OPERATION_BYTES_MAX,
    Ballot,
    Bond,
    Operation,
    SubmitUpdate,
    check_operation_signature,
    compute_operation_id,
    compute_seal,
    decode_operation,
    sign_operation,
)
from protocol.units import Digest, MemberId, Round, Salt, Sequence, Signature, Stake
from tests.values import make_digest

CHAIN = make_digest("chain")
KEY, OTHER_KEY = SigningKey(make_digest("key")), SigningKey(make_digest("other key"))
OPERATION = sign_operation(CHAIN, KEY, Sequence(3), Bond(amount=Stake(5)))
BALLOT = Ballot(
    candidate_digest=make_digest("candidate"), is_accept=True, update_flags=(True, False), is_base_flagged=False
)
SALT = Salt(make_digest("salt"))


def with_content(**changes: object) -> Operation:
    return replace(OPERATION, content=replace(OPERATION.content, **changes))  # type: ignore[arg-type]


def test_an_operation_decodes_and_verifies() -> None:
    operation = decode_operation(encode(OPERATION))
    assert operation == OPERATION
    check_operation_signature(CHAIN, operation)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(with_content(member=OTHER_KEY.member), id="member"),
        pytest.param(with_content(sequence=Sequence(4)), id="sequence"),
        pytest.param(with_content(payload=Bond(amount=Stake(6))), id="payload"),
        pytest.param(replace(OPERATION, signature=Signature(bytes(64))), id="signature"),
        pytest.param(sign_operation(make_digest("other chain"), KEY, Sequence(3), Bond(amount=Stake(5))), id="chain"),
    ],
)
def test_an_operation_with_anything_changed_is_refused(changed: Operation) -> None:
    """L8, W2."""
    with pytest.raises(InvalidMessage, match="wrong operation signature"):
        check_operation_signature(CHAIN, changed)


def test_an_operation_over_the_limit_is_refused_unparsed() -> None:
    """W1."""
    manifest = SubmitUpdate(
        round=Round(1),
        base_digest=make_digest("base"),
        scale_exponents=tuple([-200] * 4_000),
        artifact_digest=make_digest("artifact"),
        artifact_bytes=1,
        example_count=1,
    )
    fitting = replace(manifest, scale_exponents=tuple([-20] * 4_000))
    assert decode_operation(encode(sign_operation(CHAIN, KEY, Sequence(0), fitting))).content.payload == fitting
    wide = replace(manifest, scale_exponents=tuple([-(2**40)] * 4_000))
    with pytest.raises(MalformedMessage, match=f"at most {OPERATION_BYTES_MAX}"):
        decode_operation(encode(sign_operation(CHAIN, KEY, Sequence(0), wide)))


def test_an_operation_is_named_by_all_of_its_bytes() -> None:
    other = sign_operation(CHAIN, KEY, Sequence(4), Bond(amount=Stake(5)))
    assert compute_operation_id(encode(OPERATION)) != compute_operation_id(encode(other))


@pytest.mark.parametrize(
    ("voter", "round_number", "attempt", "ballot", "salt"),
    [
        pytest.param(OTHER_KEY.member, 1, 0, BALLOT, SALT, id="another voter"),
        pytest.param(KEY.member, 2, 0, BALLOT, SALT, id="another round"),
        pytest.param(KEY.member, 1, 1, BALLOT, SALT, id="another attempt"),
        pytest.param(KEY.member, 1, 0, replace(BALLOT, is_accept=False), SALT, id="another verdict"),
        pytest.param(KEY.member, 1, 0, replace(BALLOT, update_flags=(False, False)), SALT, id="other flags"),
        pytest.param(
            KEY.member, 1, 0, replace(BALLOT, candidate_digest=make_digest("x")), SALT, id="another candidate"
        ),
        pytest.param(KEY.member, 1, 0, BALLOT, Salt(make_digest("other salt")), id="another salt"),
    ],
)
def test_a_seal_fits_one_ballot_of_one_voter_only(
    voter: MemberId, round_number: int, attempt: int, ballot: Ballot, salt: Salt
) -> None:
    """F8: a copied seal cannot be opened by the one who copied it."""
    seal: Digest = compute_seal(KEY.member, Round(1), 0, BALLOT, SALT)
    assert compute_seal(voter, Round(round_number), attempt, ballot, salt) != seal
