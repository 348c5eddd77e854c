"""What people and programs are told about refused operations (L8)."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from node.commands.ledger import export, show, verify
from node.genesis_file import save_genesis
from node.json_values import JsonObject
from node.refusals import SENTENCES
from protocol.genesis import compute_chain_id
from protocol.learning.artifact_format import compute_model_size_bytes
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.operations import Bond, compute_operation_id
from protocol.refusals import Refusal
from protocol.units import Digest, Stake
from tests.helpers import LedgerBuilder, make_founders
from tests.node.store_homes import StoreHome

FREE = SENTENCES[Refusal.BOND_EXCEEDS_FREE]


def test_every_refusal_has_one_sentence_of_its_own() -> None:
    assert set(SENTENCES) == set(Refusal)
    assert SENTENCES[Refusal.NONE] == ""
    told = [sentence for refusal, sentence in SENTENCES.items() if refusal is not Refusal.NONE]
    assert len(set(told)) == len(told)
    assert all(sentence.endswith(".") and ": " in sentence and sentence.count(".") == 1 for sentence in told)


@pytest.fixture
async def ledger(tmp_path: Path) -> tuple[Path, Digest]:
    """Return a home whose newest block holds a refused operation, and the operation's id."""
    builder = LedgerBuilder(make_founders(4))
    model_bytes = compute_model_size_bytes(builder.genesis.schema)
    builder.genesis = replace(builder.genesis, model_bytes=model_bytes)
    builder.chain_id, builder.state = compute_chain_id(builder.genesis), compute_genesis_state(builder.genesis)
    operation = builder.sign(builder.founders[0].member, Bond(amount=Stake(10**12)))
    builder.add_block()
    builder.add_block((operation,))
    (tmp_path / "home").mkdir()
    home = StoreHome(root=tmp_path / "home", builder=builder, opened=[])
    store = home.open_store()
    store.load()
    await store.append(home.make_blocks())
    home.close_all()
    save_genesis(home.root / "genesis.json", builder.genesis)
    return home.root, compute_operation_id(operation)


async def test_the_ledgers_blocks_name_what_they_refused(
    ledger: tuple[Path, Digest], capsys: pytest.CaptureFixture[str]
) -> None:
    home, operation_id = ledger
    show(home=home, as_json=True)
    *others, newest = json.loads(capsys.readouterr().out)
    expected: JsonObject = {"operation_id": operation_id.hex(), "refusal": "BOND_EXCEEDS_FREE", "error": FREE}
    assert (newest["refused_count"], newest["refused"]) == (1, [expected])
    assert [block["refused"] for block in others] == [[]] * len(others)
    show(home=home)
    assert capsys.readouterr().out.splitlines()[-1] == f"refused {operation_id.hex()[:8]}: BOND_EXCEEDS_FREE: {FREE}"


async def test_an_audit_counts_refusals_by_their_rule(
    ledger: tuple[Path, Digest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, _ = ledger
    exported = tmp_path / "ledger.export"
    export(exported, home=home)
    capsys.readouterr()
    verify(exported, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert (report["refused_count"], report["refusals"]) == (1, {"BOND_EXCEEDS_FREE": 1})
    verify(exported)
    assert f"refused 1 as BOND_EXCEEDS_FREE: {FREE}" in capsys.readouterr().out
