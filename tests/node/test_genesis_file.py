"""``genesis.json``: what it says is the document, and an edit is noticed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from node.cards import Card, make_card
from node.clock import OsEntropy
from node.errors import ConfigError
from node.genesis_file import format_genesis, load_genesis, parse_genesis, save_genesis
from node.json_values import JsonObject
from node.keys import create_keys
from protocol.genesis import GENESIS_VERSION, Genesis, compute_chain_id
from protocol.parameters import AggregationRule, Parameters, Preset
from tests.node.foundings import make_cards_genesis


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Card, ...]:
    """Three founders' cards."""
    return tuple(
        make_card(
            create_keys(tmp_path_factory.mktemp(name), entropy=OsEntropy(), passphrase=None),
            name=name,
            addresses=(f"/dns4/{name}/tcp/4001",),
        )
        for name in ("anna", "bert", "cleo")
    )


@pytest.fixture(scope="module")
def genesis(cards: tuple[Card, ...]) -> Genesis:
    """Their genesis document."""
    return make_cards_genesis(*cards, parameters=replace(Parameters(), aggregation=AggregationRule.MEAN))


def test_a_document_is_read_back_from_its_file(tmp_path: Path, genesis: Genesis) -> None:
    path = tmp_path / "genesis.json"
    save_genesis(path, genesis)
    assert load_genesis(path) == genesis


def test_the_order_of_cards_and_of_keys_does_not_matter(cards: tuple[Card, ...], genesis: Genesis) -> None:
    shuffled = make_cards_genesis(*cards[::-1], parameters=genesis.parameters)
    assert compute_chain_id(shuffled) == compute_chain_id(genesis)
    document = json.loads(format_genesis(genesis))
    turned = {name: document[name] for name in reversed(document)}
    assert parse_genesis(json.dumps(turned), where="g") == genesis


def test_a_person_can_read_it(genesis: Genesis) -> None:
    document = json.loads(format_genesis(genesis))
    assert document["chain_id"] == compute_chain_id(genesis).hex()
    assert document["parameters"]["aggregation"] == "mean"
    assert document["parameters"]["preset"] == Preset.NEUTRAL.name.lower()
    assert document["task"] == {"name": "digits", "params": {"alpha": "0.5", "batch": "32"}}
    assert document["founders"][0]["member"] == genesis.founders[0].member.hex()


EDITS: dict[str, tuple[Callable[[JsonObject], object], str]] = {
    "another stake": (lambda d: d["founders"][0].update(bonded=1), "it was edited or damaged"),  # type: ignore[index, union-attr]
    "another tolerance": (lambda d: d["parameters"].update(tolerance_bps=501), "it was edited or damaged"),  # type: ignore[union-attr]
    "another chain id": (lambda d: d.update(chain_id="00" * 32), "it was edited or damaged"),
    "no chain id": (lambda d: d.pop("chain_id"), "'chain_id' is missing"),
    "an unknown key": (lambda d: d.update(sed="00"), "unknown key 'sed' \\(did you mean 'seed'"),
    "a missing key": (lambda d: d.pop("seed"), "the key 'seed' is missing"),
    "an unknown parameter": (lambda d: d["parameters"].update(tolerance=5), "parameters: unknown key 'tolerance'"),  # type: ignore[union-attr]
    "a parameter of text": (lambda d: d["parameters"].update(updates_min="1"), "updates_min: an integer"),  # type: ignore[union-attr]
    "a truth value as a number": (lambda d: d["parameters"].update(updates_min=True), "updates_min: an integer"),  # type: ignore[union-attr]
    "an unknown rule": (lambda d: d["parameters"].update(aggregation="vote"), "one of mean, median"),  # type: ignore[union-attr]
    "a parameter out of bounds": (lambda d: d["parameters"].update(proposer_count=0), "proposer_count is 0"),  # type: ignore[union-attr]
    "a number that has no encoding": (lambda d: d.update(created_ms=2**64), "created_ms: an integer from 0"),
    "a negative time": (lambda d: d.update(created_ms=-1), "created_ms: an integer from 0"),
    "a digest cut short": (lambda d: d.update(seed="00" * 31), "seed: 64 hex digits"),
    "half a character": (lambda d: d.update(name="\ud800"), "name: text is expected"),
    "half a character in a parameter": (lambda d: d["task"].update(params={"a": "\udfff"}), "a: text is expected"),  # type: ignore[union-attr]
    "an earlier version, with fewer fields": (
        lambda d: (d.pop("drand"), d.update(version=GENESIS_VERSION - 1)),
        "go on with the pnyx that its members run",
    ),
    "a later version, with more fields": (
        lambda d: d.update(version=GENESIS_VERSION + 1, more=1),
        "install the newer pnyx that its members run",
    ),
    "a version that is no number": (lambda d: d.update(version="1"), "version: an integer"),
    "another model size": (lambda d: d.update(model_bytes=1), "model_bytes is 1"),
    "founders that are no list": (lambda d: d.update(founders={}), "founders: a list is expected"),
    "a founder that is no object": (lambda d: d.update(founders=[7]), r"founders\[0\]: an object is expected"),
    "a task parameter that is no text": (lambda d: d["task"].update(params={"a": 1}), "params: a: text"),  # type: ignore[union-attr]
}


@pytest.mark.parametrize("name", sorted(EDITS))
def test_an_edit_is_named(genesis: Genesis, name: str) -> None:
    edit, complaint = EDITS[name]
    document: JsonObject = json.loads(format_genesis(genesis))
    edit(document)
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_genesis(json.dumps(document), where="genesis.json")
    assert str(caught.value).startswith("genesis.json")


def test_founders_with_one_name_are_refused(cards: tuple[Card, ...]) -> None:
    with pytest.raises(ConfigError, match="names that are distinct"):
        make_cards_genesis(cards[0], replace(cards[1], name=cards[0].name))


def test_one_card_given_twice_is_refused(cards: tuple[Card, ...]) -> None:
    with pytest.raises(ConfigError, match="each once"):
        make_cards_genesis(cards[0], cards[0])


def test_one_founder_is_no_network(cards: tuple[Card, ...]) -> None:
    with pytest.raises(ConfigError, match="at least two founders"):
        make_cards_genesis(cards[0])


def test_parameters_that_contradict_each_other_are_refused(cards: tuple[Card, ...]) -> None:
    with pytest.raises(ConfigError, match="updates_min is above proposer_count"):
        make_cards_genesis(*cards, parameters=replace(Parameters(), updates_min=3))
