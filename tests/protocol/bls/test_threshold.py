"""Threshold signatures: any threshold of members make the one signature of a round, fewer make none (B1, B3)."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bls.sharing import compute_share_key
from protocol.bls.threshold import check_output, check_partial, combine, sign_partial
from protocol.errors import InvalidMessage
from protocol.units import BlsScalar, BlsSignature, Round
from tests.bls_groups import make_group

MEMBER_COUNT, THRESHOLD = 5, 3
GROUP = make_group(MEMBER_COUNT, THRESHOLD)
ROUND = Round(7)
PARTIALS = {index: sign_partial(share, ROUND) for index, share in enumerate(GROUP.shares)}
SIGNATURE = combine(PARTIALS, THRESHOLD)
OUTSIDE_OF_THE_SUBGROUP = bytes([0x80]) + bytes(46) + bytes([4])
"""A point on G1's curve: x = 4 gives y^2 = 68, a square of its field; nearly no such point is in the subgroup."""


def test_every_threshold_of_members_makes_the_same_signature() -> None:
    """B1."""
    signatures = {
        combine({index: PARTIALS[index] for index in indexes}, THRESHOLD)
        for indexes in combinations(range(MEMBER_COUNT), THRESHOLD)
    }
    assert signatures == {SIGNATURE}
    check_output(GROUP.public_key, ROUND, SIGNATURE)


@given(st.data())
def test_any_members_of_a_group_of_any_size_make_it(data: st.DataObject) -> None:
    """B1."""
    member_count = data.draw(st.integers(min_value=1, max_value=9))
    threshold = data.draw(st.integers(min_value=1, max_value=member_count))
    indexes = data.draw(st.permutations(range(member_count)))[:threshold]
    round_number = data.draw(st.integers(min_value=0, max_value=2**64 - 1))
    group = make_group(member_count, threshold)
    check_output(group.public_key, Round(round_number), group.sign(round_number, indexes))


def test_one_member_fewer_makes_nothing() -> None:
    """B1: interpolating too few points gives another signature, whatever threshold is claimed."""
    for indexes in combinations(range(MEMBER_COUNT), THRESHOLD - 1):
        with pytest.raises(InvalidMessage, match="does not verify"):
            check_output(GROUP.public_key, ROUND, combine({index: PARTIALS[index] for index in indexes}, 2))


def test_too_few_partial_signatures_are_not_combined() -> None:
    with pytest.raises(ValueError, match="2 partial signatures, 3 are needed"):
        combine({0: PARTIALS[0], 3: PARTIALS[3]}, THRESHOLD)
    with pytest.raises(ValueError, match="0 are needed"):
        combine(PARTIALS, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(PARTIALS[3], id="another member's"),
        pytest.param(sign_partial(GROUP.shares[1], Round(8)), id="of another round"),
        pytest.param(sign_partial(make_group(5, 3, 2, "other").shares[1], ROUND), id="of another group"),
        pytest.param(sign_partial(BlsScalar((1).to_bytes(32, "big")), ROUND), id="made up"),
    ],
)
def test_a_wrong_partial_signature_spoils_the_sum_and_is_found(wrong: BlsSignature) -> None:
    """B3: verify once, then one by one."""
    partials = {**PARTIALS, 1: wrong}
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_output(GROUP.public_key, ROUND, combine(partials, THRESHOLD))
    liars = []
    for index, partial in sorted(partials.items()):
        try:
            check_partial(compute_share_key(GROUP.commitments, index), ROUND, partial)
        except InvalidMessage:
            liars.append(index)
    assert liars == [1]
    assert combine({index: partials[index] for index in partials if index not in liars}, THRESHOLD) == SIGNATURE


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(bytes([0xC0]) + bytes(47), id="infinity"),
        pytest.param(OUTSIDE_OF_THE_SUBGROUP, id="outside of the subgroup"),
        pytest.param(b"", id="no bytes"),
        pytest.param(b"\xff" * 48, id="all bits"),
        pytest.param(bytes([0x80]) + bytes(47), id="a point of order three"),
        pytest.param(SIGNATURE[:-1], id="a byte too few"),
    ],
)
def test_what_is_no_point_never_makes_an_output(encoded: bytes) -> None:
    """B6: whether combining refuses it or the result does not verify, both are the sender's fault."""
    with pytest.raises(InvalidMessage):
        check_partial(compute_share_key(GROUP.commitments, 1), ROUND, BlsSignature(encoded))
    with pytest.raises(InvalidMessage):
        check_output(GROUP.public_key, ROUND, combine({**PARTIALS, 1: BlsSignature(encoded)}, THRESHOLD))


def test_a_share_of_zero_signs_nothing_that_verifies() -> None:
    """B6: a dealer could aim at it for a member of its own."""
    partial = sign_partial(BlsScalar(bytes(32)), ROUND)
    with pytest.raises(InvalidMessage, match="infinity"):
        check_partial(compute_share_key(GROUP.commitments, 0), ROUND, partial)
