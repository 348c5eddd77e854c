"""What fails a run of chaos, shown to each check."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from node.chaos.checks import Ledger, check_endings, check_ledgers, check_logs, find_alarms
from node.chaos.findings import Findings, Recovery, build_document, format_details, format_repetition, format_result
from node.demo.findings import Check
from node.fleet.endings import FELL, KILLED, STOPPED, Ending
from node.json_values import get_list, get_object
from node.testnet import LOG_NAME, NodeSpec
from protocol.units import Digest, Height

GOOD = Check(name="rounds go on", holds=True, detail="9")
FINDINGS = Findings(
    seed=7,
    node_count=4,
    seconds=60,
    trouble_count=11,
    height=120,
    rounds=24,
    slowest_recovery=Recovery(what="kill all, 3.0 s", seconds=4.25),
    longest_standstill_s=2.0,
    checks=(GOOD,),
    elapsed_s=80.0,
    directory="somewhere",
)


def make_ledger(height: int, *, fork_at: int = 0, state_fork_at: int = 0) -> Ledger:
    return {
        Height(number): (
            Digest(bytes([number, number >= fork_at > 0]) * 16),
            Digest(bytes([number, number >= state_fork_at > 0]) * 16),
        )
        for number in range(1, height + 1)
    }


def test_ledgers_that_end_apart_may_be_equal() -> None:
    check = check_ledgers({"ada": make_ledger(5), "bob": make_ledger(4)}, reached=4)
    assert check.holds
    assert "heights 4 to 5" in check.detail


@pytest.mark.parametrize("fork", ["fork_at", "state_fork_at"])
def test_another_block_or_state_anywhere_is_named_with_its_height(fork: str) -> None:
    ledgers = {"ada": make_ledger(5), "bob": make_ledger(5), "cyd": make_ledger(5, **{fork: 3})}
    assert check_ledgers(ledgers, reached=5).detail == "2 different blocks or states at height 3"
    assert not check_ledgers(ledgers, reached=5).holds


def test_a_ledger_that_lost_what_it_had_is_named() -> None:
    check = check_ledgers({"ada": make_ledger(5), "bob": make_ledger(3)}, reached=5)
    assert not check.holds
    assert check.detail == "bob: no block at height 4"


def test_empty_ledgers_are_no_success() -> None:
    assert not check_ledgers({"ada": {}, "bob": {}}, reached=0).holds


@pytest.mark.parametrize(
    ("ending", "is_right"),
    [
        (Ending(name="ada", what=KILLED, exit_code=-signal.SIGKILL), True),
        (Ending(name="ada", what=STOPPED, exit_code=0), True),
        (Ending(name="ada", what=STOPPED, exit_code=-signal.SIGKILL), False),
        (Ending(name="ada", what=STOPPED, exit_code=70), False),
        (Ending(name="ada", what=FELL, exit_code=0), False),
        (Ending(name="ada", what=FELL, exit_code=None), False),
    ],
)
def test_a_daemon_must_end_as_it_was_told(ending: Ending, is_right: bool) -> None:
    check = check_endings([ending])
    assert check.holds is is_right
    assert is_right or "ada with exit code" in check.detail


def test_errors_and_crashes_in_a_log_are_found_and_warnings_are_not() -> None:
    lines = [
        json.dumps({"event": "started", "level": "info"}),
        json.dumps({"event": "dial_failed", "level": "warning", "reason": "Exception Group"}),
        json.dumps({"event": "work_failed", "level": "error"}),
        '{"event": "cut off by a ki',
        "Traceback (most recent call last):",
        "pnyx: no space left",
    ]
    assert find_alarms(lines) == [lines[2], lines[4], lines[5]]


def test_a_bad_log_is_named_by_its_node(tmp_path: Path) -> None:
    good, bad = (NodeSpec(name=name, home=tmp_path / name) for name in ("ada", "bob"))
    for spec in (good, bad):
        spec.home.mkdir()
    (bad.home / LOG_NAME).write_text("Traceback\n")
    assert check_logs([good]).holds
    check = check_logs([good, bad])
    assert not check.holds
    assert "bob: Traceback" in check.detail


def test_the_last_line_of_a_good_run() -> None:
    assert format_result(FINDINGS) == "chaos: 11 events, 120 heights, 24 rounds, ledgers equal, audits passed"
    assert "slowest recovery 4.2 s, after: kill all, 3.0 s" in format_details(FINDINGS)


def test_a_failed_run_names_what_failed_and_the_command_that_repeats_it() -> None:
    failed = replace(FINDINGS, checks=(GOOD, Check(name="nobody jailed", holds=False, detail="ada")))
    assert not failed.has_passed
    assert format_result(failed) == "chaos: 11 events, 120 heights, 24 rounds, FAILED: nobody jailed"
    assert "FAILED  nobody jailed: ada" in format_details(failed)
    assert any("pnyx testnet chaos --nodes 4 --seconds 60 --seed 7" in line for line in format_repetition(failed))


def test_the_document_holds_what_a_program_needs() -> None:
    document = build_document(FINDINGS)
    assert document["passed"] is True
    assert get_object(document["slowest_recovery"])["seconds"] == 4.2
    assert [get_object(check)["name"] for check in get_list(document["checks"])] == ["rounds go on"]
    json.dumps(document)
