"""Scalars: one encoding each, and derived ones are spread over the whole range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bls.scalars import GROUP_ORDER, decode_scalar, derive_scalar, encode_scalar, load_scalar
from protocol.bls.sharing import add_scalars
from protocol.crypto import Domain
from protocol.errors import InvalidMessage
from protocol.units import BlsScalar

numbers = st.integers(min_value=0, max_value=GROUP_ORDER - 1)


def to_scalar(number: int) -> BlsScalar:
    return BlsScalar(number.to_bytes(32, "big"))


@given(numbers)
def test_a_scalar_encodes_to_the_bytes_it_came_from(number: int) -> None:
    scalar = decode_scalar(number.to_bytes(32, "big"))
    assert encode_scalar(load_scalar(scalar)) == scalar


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(GROUP_ORDER.to_bytes(32, "big"), id="the order itself"),
        pytest.param(b"\xff" * 32, id="all bits"),
        pytest.param(bytes(31), id="a byte too few"),
        pytest.param(bytes(33), id="a byte too many"),
    ],
)
def test_what_is_no_scalar_is_refused(encoded: bytes) -> None:
    """B6."""
    decode_scalar((GROUP_ORDER - 1).to_bytes(32, "big"))
    with pytest.raises(InvalidMessage, match="below the group order"):
        decode_scalar(encoded)
    with pytest.raises(InvalidMessage, match="below the group order"):
        load_scalar(BlsScalar(encoded))


@given(numbers, numbers, numbers)
def test_scalars_add_modulo_the_order(first: int, second: int, third: int) -> None:
    total = add_scalars([to_scalar(first), to_scalar(second), to_scalar(third)])
    assert int.from_bytes(total, "big") == (first + second + third) % GROUP_ORDER


def test_derived_scalars_depend_on_the_domain_and_on_where_parts_end() -> None:
    derived = {
        derive_scalar(Domain.POLYNOMIAL, b"ab", b"c"),
        derive_scalar(Domain.POLYNOMIAL, b"a", b"bc"),
        derive_scalar(Domain.POLYNOMIAL, b"abc"),
        derive_scalar(Domain.EPHEMERAL, b"ab", b"c"),
    }
    assert len(derived) == 4
    assert derive_scalar(Domain.POLYNOMIAL, b"ab", b"c") in derived


def test_derived_scalars_fill_the_range_below_the_order() -> None:
    """A single digest modulo the order would favour the lowest: the order is less than half of 2**256."""
    values = [int.from_bytes(derive_scalar(Domain.POLYNOMIAL, number.to_bytes(4, "big"))) for number in range(4_000)]
    low = sum(value < (1 << 256) % GROUP_ORDER for value in values)
    expected = 4_000 * ((1 << 256) % GROUP_ORDER) // GROUP_ORDER
    assert max(values) < GROUP_ORDER
    assert abs(low - expected) < 4 * 30
