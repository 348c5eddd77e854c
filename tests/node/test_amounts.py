"""Amounts of stake as people write and read them: exact to the micro-token, in both directions."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from node.commands.common import format_tokens, format_weights, parse_tokens


@given(amount=st.integers(min_value=1, max_value=10**19 - 1))
def test_what_is_printed_is_read_back_as_the_same_amount(amount: int) -> None:
    assert parse_tokens(format_tokens(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", 1_000_000), ("007", 7_000_000), ("0.000001", 1), ("1.5", 1_500_000), ("9999999999999.999999", 10**19 - 1)],
)
def test_an_amount_is_read_exactly(text: str, amount: int) -> None:
    assert parse_tokens(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0.0", "0.000000", "0.0000001", "1.0000000", "-1", "+1", "1e3", "1,5", "1_000", " 1", "1 ", "1."),
        *(".5", "inf", "nan", "0x10", "1.5.5", "٣", "10000000000000"),
    ],
)
def test_what_is_no_amount_above_zero_with_six_decimals_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="at most six decimals"):
        parse_tokens(text)


def test_weights_are_told_as_shares_and_say_whether_they_are_enough() -> None:
    weights = {"own": 10, "connected": 66, "quorum": 67, "total": 100}
    assert format_weights({**weights, "has_quorum": False}).startswith(
        "66% of the validators', of which 10% are this node's: NO quorum"
    )
    assert format_weights({**weights, "connected": 67, "has_quorum": True}).endswith(
        "67% of the validators', of which 10% are this node's: a quorum"
    )
