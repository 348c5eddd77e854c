"""Feldman's sharing (B4): shares fit their commitments, sums go together, and what does not fit is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bls.scalars import GROUP_ORDER
from protocol.bls.sharing import (
    add_commitments,
    add_scalars,
    check_commitments,
    check_share,
    compute_commitments,
    compute_share_key,
    derive_polynomial,
)
from protocol.bls.threshold import check_partial, sign_partial
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsScalar, Round
from tests.bls_groups import NO_POINTS, make_group, make_polynomial

THRESHOLD = 3
POLYNOMIAL = make_polynomial(THRESHOLD, "first")
COMMITMENTS = compute_commitments(POLYNOMIAL)
OTHER = make_polynomial(THRESHOLD, "second")


def add_to(share: BlsScalar, number: int) -> BlsScalar:
    return BlsScalar(((int.from_bytes(share, "big") + number) % GROUP_ORDER).to_bytes(32, "big"))


def negate(commitment: BlsPublicKey) -> BlsPublicKey:
    """Return the point with the other y: the flag of y's sign is the third bit."""
    return BlsPublicKey(bytes([commitment[0] ^ 0x20]) + commitment[1:])


@given(st.integers(min_value=1, max_value=8), st.integers(min_value=0, max_value=300), st.binary(min_size=32))
def test_a_share_fits_its_commitments(threshold: int, index: int, seed: bytes) -> None:
    polynomial = derive_polynomial(seed, threshold)
    commitments = compute_commitments(polynomial)
    assert len(commitments) == threshold
    check_share(commitments, index, polynomial.evaluate(index))


@given(st.integers(min_value=0, max_value=200), st.integers(min_value=1, max_value=GROUP_ORDER - 1))
def test_a_share_that_was_changed_does_not_fit(index: int, change: int) -> None:
    with pytest.raises(InvalidMessage, match=f"share of index {index} is not the one"):
        check_share(COMMITMENTS, index, add_to(POLYNOMIAL.evaluate(index), change))


def test_the_share_of_another_index_or_dealer_does_not_fit() -> None:
    for share in (POLYNOMIAL.evaluate(4), OTHER.evaluate(3)):
        with pytest.raises(InvalidMessage, match="share of index 3 is not the one"):
            check_share(COMMITMENTS, 3, share)


def test_a_share_that_is_no_scalar_is_refused() -> None:
    """B6: the same number plus the order would otherwise pass as well."""
    share = int.from_bytes(POLYNOMIAL.evaluate(0), "big") + GROUP_ORDER
    with pytest.raises(InvalidMessage, match="BLS scalar"):
        check_share(COMMITMENTS, 0, BlsScalar(share.to_bytes(32, "big")))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("encoded", NO_POINTS.values(), ids=NO_POINTS)
def test_commitments_that_are_no_points_are_refused(place: int, encoded: bytes) -> None:
    """B6, wherever in the deal."""
    commitments = (*COMMITMENTS[:place], BlsPublicKey(encoded), *COMMITMENTS[place + 1 :])
    with pytest.raises(InvalidMessage, match="a commitment is"):
        check_commitments(commitments)
    with pytest.raises(InvalidMessage, match="a commitment is"):
        check_share(commitments, 0, POLYNOMIAL.evaluate(0))


def test_a_deal_without_commitments_is_refused() -> None:
    check_commitments(COMMITMENTS)
    with pytest.raises(InvalidMessage, match="no commitments"):
        check_commitments(())


def test_the_same_seed_gives_the_same_deal_and_another_seed_another() -> None:
    """A dealer that lost everything but its seed deals the same again."""
    assert make_polynomial(THRESHOLD, "first") == POLYNOMIAL
    assert not set(COMMITMENTS) & set(compute_commitments(OTHER))


def test_a_polynomial_hides_its_coefficients_from_whoever_prints_it() -> None:
    assert repr(POLYNOMIAL) == "Polynomial()"


@pytest.mark.parametrize(("seed", "threshold"), [(bytes(31), 3), (bytes(32), 0)], ids=["short seed", "no threshold"])
def test_no_polynomial_from_a_short_seed_or_no_threshold(seed: bytes, threshold: int) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        derive_polynomial(seed, threshold)


def test_sums_of_shares_fit_sums_of_commitments() -> None:
    """Joint key generation rests on it (B4)."""
    total = add_commitments([COMMITMENTS, compute_commitments(OTHER)])
    for index in range(5):
        check_share(total, index, add_scalars([POLYNOMIAL.evaluate(index), OTHER.evaluate(index)]))


def test_the_public_key_of_a_share_is_computed_without_it() -> None:
    group = make_group(5, THRESHOLD)
    for index, share in enumerate(group.shares):
        check_partial(compute_share_key(group.commitments, index), Round(1), sign_partial(share, Round(1)))


def test_deals_of_different_lengths_do_not_add() -> None:
    with pytest.raises(InvalidMessage, match="different numbers"):
        add_commitments([COMMITMENTS, COMMITMENTS[:-1]])


def test_commitments_that_cancel_do_not_make_a_group_key() -> None:
    """B6: a key at infinity would accept what anybody computes."""
    with pytest.raises(InvalidMessage, match="infinity"):
        add_commitments([COMMITMENTS, tuple(map(negate, COMMITMENTS))])
