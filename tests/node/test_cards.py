"""Member cards: whatever of them is changed, they no longer hold."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from node.cards import Card, check_card, format_card, load_card, make_card, parse_card
from node.clock import OsEntropy
from node.errors import ConfigError
from node.keys import create_keys
from node.peer_ids import member_to_peer_id


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Card, Card]:
    """Two members' cards."""
    made = []
    for name in ("anna", "bert"):
        keys = create_keys(tmp_path_factory.mktemp(name), entropy=OsEntropy(), passphrase=None)
        made.append(make_card(keys, name=name, addresses=("/ip4/192.0.2.7/tcp/4001", "/dns4/host/tcp/4002")))
    return made[0], made[1]


def test_a_card_is_read_back_from_its_file(tmp_path: Path, cards: tuple[Card, Card]) -> None:
    path = tmp_path / "anna.json"
    path.write_text(format_card(cards[0]))
    assert load_card(path) == cards[0]


def test_a_card_without_addresses_holds(cards: tuple[Card, Card], tmp_path: Path) -> None:
    keys = create_keys(tmp_path, entropy=OsEntropy(), passphrase=None)
    check_card(make_card(keys, name="behind NAT", addresses=()), where="card")


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ("version", "card version 2"),
        ("name", "signature"),
        ("member", "peer_id"),
        ("peer_id", "peer_id"),
        ("bls_key", "BLS signature"),
        ("possession", "BLS signature"),
        ("addresses", "signature"),
        ("signature", "signature"),
    ],
)
def test_a_changed_field_is_named(cards: tuple[Card, Card], field: str, complaint: str) -> None:
    changes: dict[str, object] = {
        "version": 2,
        "name": "mallory",
        "addresses": ("/ip4/203.0.113.1/tcp/4001",),
    }
    change = changes.get(field, getattr(cards[1], field))
    with pytest.raises(ConfigError, match=complaint) as caught:
        check_card(replace(cards[0], **{field: change}), where="anna.json")  # type: ignore[arg-type]
    assert str(caught.value).startswith("anna.json: ")
    assert "\n" not in str(caught.value)


def test_a_card_with_both_halves_of_somebody_else_still_fails(cards: tuple[Card, Card]) -> None:
    anna, bert = cards
    stolen = replace(anna, member=bert.member, peer_id=member_to_peer_id(bert.member))
    with pytest.raises(ConfigError, match="signature"):
        check_card(stolen, where="card")


@pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines", "bell\a"])
def test_a_name_that_would_spoil_a_table_is_refused(cards: tuple[Card, Card], name: str) -> None:
    with pytest.raises(ConfigError, match="printable"):
        check_card(replace(cards[0], name=name), where="card")


def test_keys_of_the_wrong_length_are_refused(cards: tuple[Card, Card]) -> None:
    document = json.loads(format_card(cards[0]))
    for field in ("member", "bls_key", "possession", "signature"):
        with pytest.raises(ConfigError):
            parse_card(json.dumps({**document, field: document[field][:-2]}), where="card")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no JSON"),
        ("[]", "an object is expected"),
        ("{}", "'version' is missing"),
        ('{"version": 1, "version": 1}', "occurs twice"),
        ('{"version": 1.0}', "1.0 is not allowed"),
        ('{"version": NaN}', "NaN is not allowed"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_card_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_card(text, where="card")
    assert "\n" not in str(caught.value)


def test_an_unknown_key_is_named_with_the_nearest_one(cards: tuple[Card, Card]) -> None:
    document = json.loads(format_card(cards[0]))
    document["adresses"] = document.pop("addresses")
    with pytest.raises(ConfigError, match="unknown key 'adresses' \\(did you mean 'addresses'\\?\\)"):
        parse_card(json.dumps(document), where="card")


def test_capital_hex_is_another_spelling_and_refused(cards: tuple[Card, Card]) -> None:
    document = json.loads(format_card(cards[0]))
    document["member"] = document["member"].upper()
    with pytest.raises(ConfigError, match="lower case"):
        parse_card(json.dumps(document), where="card")


def test_a_file_of_another_kind_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"\xff" * 100_000)
    with pytest.raises(ConfigError, match="larger than"):
        load_card(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ConfigError, match="no UTF-8"):
        load_card(path)
    with pytest.raises(ConfigError, match="No such file"):
        load_card(tmp_path / "nowhere.json")
