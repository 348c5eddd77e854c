"""A bounded share of chaos on real processes; `make chaos` is the whole of it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from node.chaos.checks import check_audits, check_ledgers, read_ledger
from node.fleet.homes import load_testnet
from node.json_values import get_int, get_list, get_object
from tests.e2e.networks import find_descendants, wait_gone

CHECKS = {
    "rounds go on",
    "ledgers equal",
    "audits passed",
    "nobody jailed",
    "stake is conserved",
    "daemons end only as told",
    "logs are clean",
}
SEED = 5
"""Its first forty seconds hold pauses short and long, two kills, a stop and cuts of both sorts."""


def make_command(directory: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "cli", "testnet", "chaos", str(directory), "--nodes", "4", *options]


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_a_network_of_four_loses_nothing_in_forty_seconds_of_chaos(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    command = make_command(directory, "--seconds", "40", "--seed", str(SEED), "--json")
    finished = await trio.to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=460.0, check=False)
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    document = get_object(json.loads(finished.stdout))
    assert document["passed"] is True
    assert {get_object(check)["name"] for check in get_list(document["checks"])} == CHECKS
    assert get_int(document["events"]) >= 6
    assert get_int(document["height"]) > 20

    await trio.to_thread.run_sync(_check_that_damage_is_found, directory)


def _check_that_damage_is_found(directory: Path) -> None:
    specs = load_testnet(directory)
    ledgers = {spec.name: read_ledger(spec.home) for spec in specs}
    reached = min(len(ledger) for ledger in ledgers.values())
    assert check_ledgers(ledgers, reached=reached).holds
    assert all(check.holds for check in check_audits(specs, ledgers))

    damaged = specs[1].home / "ledger.db"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    damaged.write_bytes(content)
    (audits, *_) = check_audits(specs, ledgers)
    assert not audits.holds
    assert audits.detail.startswith(f"{specs[1].name}: ")


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_chaos_that_is_interrupted_leaves_no_process(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    with _start(make_command(directory)) as chaos:
        with trio.fail_after(60.0):
            # Four daemons, and at least one worker among their children.
            while len(processes := find_descendants(chaos.pid)) < 6:
                assert chaos.poll() is None, "it ended by itself"
                await trio.sleep(0.05)
        chaos.send_signal(signal.SIGINT)
        _, errors = await trio.to_thread.run_sync(chaos.communicate)
        assert (chaos.returncode, errors) == (130, b"interrupted; everything is stopped\n")
        await wait_gone([process for process in processes if process.pid != chaos.pid], timeout_s=5.0)
