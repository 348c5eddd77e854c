"""The demo as a program sees it: one JSON document, kept homes, and a ledger that a stranger can audit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from node.json_values import JsonObject, get_int, get_list, get_object

ROUND_KEYS = {"round", "verdict", "proposers", "voters", "score", "seconds"}


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments], capture_output=True, text=True, timeout=150.0, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_small_demo_prints_one_document_and_keeps_auditable_homes(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    options = ("--nodes", "4", "--malicious", "1", "--rounds", "3", "--json", "--keep", str(keep))
    finished = await trio.to_thread.run_sync(lambda: _run("demo", *options))
    assert finished.returncode == 0, finished.stderr
    document = get_object(json.loads(finished.stdout))
    _check_document(document, node_count=4, round_count=3)
    assert document["malicious"] == ["delta"]

    first = get_object(get_list(document["ledgers"])[0])
    export = tmp_path / "ledger.pnyx"
    exported = _run("ledger", "export", "--home", str(keep / str(first["member"])), "-o", str(export), "--json")
    assert exported.returncode == 0, exported.stderr
    verified = _run("verify", str(export), "--json")
    assert verified.returncode == 0, verified.stdout
    report = get_object(json.loads(verified.stdout))
    assert (report["height"], report["state_root"]) == (first["height"], first["root"])
    assert report["supply"] == document["supply"]

    _flip_byte(export, export.stat().st_size // 2)
    refused = _run("verify", str(export), "--json")
    assert refused.returncode == 1
    assert get_object(json.loads(refused.stdout))["ok"] is False

    model = tmp_path / "model.safetensors"
    written = _run("model", "export", "--home", str(keep / "alpha"), "-o", str(model), "--json")
    assert written.returncode == 0, written.stderr
    last = get_object(get_list(document["rounds"])[-1])
    assert get_object(json.loads(written.stdout))["digest"] == last["model"]
    assert model.stat().st_size == get_object(json.loads(written.stdout))["bytes"]


def _check_document(document: JsonObject, *, node_count: int, round_count: int) -> None:
    assert document["schema_version"] == 1
    rounds = [get_object(played) for played in get_list(document["rounds"])]
    assert [played["round"] for played in rounds] == list(range(1, round_count + 1))
    for played in rounds:
        assert played.keys() >= ROUND_KEYS
        assert played["verdict"] in {"ACCEPT", "REJECT", "VOID"}
        assert get_list(played["proposers"])
        assert get_list(played["voters"])
    assert isinstance(document["score_before"], float)
    assert isinstance(document["score_after"], float)
    stakes = get_object(document["stakes"])
    assert len(stakes) == node_count
    assert {get_int(get_object(change)["before"]) for change in stakes.values()} == {64_000_000}
    held = sum(get_int(get_object(change)["after"]) for change in stakes.values())
    assert held + get_int(document["treasury"]) == document["supply"]
    ledgers = [get_object(ledger) for ledger in get_list(document["ledgers"])]
    assert len({(ledger["height"], ledger["root"]) for ledger in ledgers}) == 1
    assert sorted(str(ledger["member"]) for ledger in ledgers) == sorted(stakes)
    assert document["ledgers_agree"] is True
    assert all(get_object(check)["holds"] for check in get_list(document["checks"]))
    for name in ("elapsed_s", "setup_s", "first_verdict_s", "peak_rss_mb"):
        assert isinstance(document[name], float)


def _flip_byte(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x01
    path.write_bytes(content)


@pytest.mark.slow
def test_a_demo_without_honest_members_is_refused_in_one_line() -> None:
    finished = _run("demo", "--nodes", "3", "--malicious", "3")
    assert finished.returncode == 64
    assert finished.stderr.strip() == "pnyx: --malicious 3: at least one of 3 members must be honest"
