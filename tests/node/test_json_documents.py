"""JSON documents: every value of the protocol has one, and only its own text gives it back."""

from typing import NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ConfigError
from node.json_documents import check_keys, format_json, from_json, parse_json, suggest, to_json
from node.nesting import NESTING_MAX
from protocol import units
from protocol.codec import BYTES_LENGTHS, encode
from protocol.genesis import Genesis
from protocol.outcomes import RoundRecord
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_genesis


def test_a_genesis_document_goes_there_and_back() -> None:
    genesis = make_genesis(make_founders(3))
    text = format_json(to_json(genesis))
    assert from_json(Genesis, parse_json(text, where="g"), where="g") == genesis


def test_a_settled_round_goes_there_and_back() -> None:
    record = LedgerBuilder(make_founders(4)).run_round()
    text = format_json(to_json(record))
    found = from_json(RoundRecord, parse_json(text, where="r"), where="r")
    assert encode(found) == encode(record)


def test_every_identifier_has_a_length() -> None:
    """A new identifier must be added to the reader, which would fail on its first use otherwise."""
    identifiers = {
        value for value in vars(units).values() if isinstance(value, NewType) and value.__supertype__ is bytes
    }
    assert set(BYTES_LENGTHS) == identifiers


@given(st.text())
def test_any_text_is_refused_or_means_what_it_says(text: str) -> None:
    try:
        value = parse_json(text, where="w")
    except ConfigError:
        return
    assert parse_json(format_json(value), where="w") == value


def test_a_float_has_no_place_in_a_document() -> None:
    with pytest.raises(ConfigError, match=r"1e3 is not allowed"):
        parse_json('{"a": 1e3}', where="w")


def test_an_integer_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(ConfigError, match="no JSON"):
        parse_json("9" * 5_000, where="w")


def test_a_document_nests_no_deeper_than_can_be_walked() -> None:
    inside = NESTING_MAX - 1
    parse_json(f'{{"a": {"[" * inside}{"]" * inside}}}', where="w")
    with pytest.raises(ConfigError, match="w: tables or lists are nested too deeply"):
        parse_json(f'{{"a": {"[" * NESTING_MAX}{"]" * NESTING_MAX}}}', where="w")


def test_keys_are_checked_both_ways() -> None:
    assert check_keys({"a": 1, "b": 2}, ("a", "b"), where="w") == {"a": 1, "b": 2}
    with pytest.raises(ConfigError, match="w: the key 'b' is missing"):
        check_keys({"a": 1}, ("a", "b"), where="w")
    with pytest.raises(ConfigError, match="w: unknown key 'c'"):
        check_keys({"a": 1, "b": 2, "c": 3}, ("a", "b"), where="w")


def test_a_hint_is_given_only_for_what_is_near() -> None:
    assert suggest("lisen", ["listen", "peers"]) == " (did you mean 'listen'?)"
    assert suggest("zzz", ["listen", "peers"]) == ""
