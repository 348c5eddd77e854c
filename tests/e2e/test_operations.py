"""Commands that move stake, against real daemons: the ledger's judgement, and what a wait without a quorum is like."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from node.json_values import JsonObject, get_int, get_list, get_object, get_text
from node.testnet import NodeProcess, NodeSpec, open_testnet
from tests.e2e.networks import POLL_S, copy_homes, wait_rounds, wait_status

TOKEN = 1_000_000


def _build_command(node: NodeProcess, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli", *arguments, "--home", str(node.home)]


async def _run(node: NodeProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = _build_command(node, *arguments)
    return await trio.to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=100.0, check=False)
    )


def _start(node: NodeProcess, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(_build_command(node, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def _read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    with trio.fail_after(30.0):
        return await trio.to_thread.run_sync(process.stderr.readline)


async def _wait_unbonding(node: NodeProcess, amount: int) -> None:
    with trio.fail_after(60.0):
        while True:
            stakes = await node.ask("stakes")
            (own,) = (
                get_object(account)
                for account in get_list(stakes["members"])
                if get_object(account)["name"] == node.name
            )
            if own["unbonding"] == amount:
                return
            await trio.sleep(POLL_S)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_an_operation_is_answered_with_what_the_ledger_recorded(
    pair: tuple[NodeSpec, ...], tmp_path: Path
) -> None:
    """L8: executed or refused, in a final block."""
    async with open_testnet(copy_homes(pair, tmp_path)) as testnet:
        testnet.start_all()
        first, second = testnet.nodes
        for node in testnet.nodes:
            await node.wait_ready()
        await wait_rounds(first, 1)

        finished = await _run(first, "unbond", "1.5", "--json")
        assert (finished.returncode, finished.stderr) == (0, "")
        result: JsonObject = get_object(json.loads(finished.stdout))
        assert (result["kind"], result["amount"], result["is_executed"], result["error"]) == (
            "unbond",
            1_500_000,
            True,
            "",
        )
        before, after = get_object(result["stake_before"]), get_object(result["stake_after"])
        assert (before["unbonding"], after["unbonding"]) == (0, 1_500_000)
        assert get_int(before["height"]) < get_int(result["height"]) <= get_int(after["height"])
        await wait_status(
            second, lambda status: get_int(status["height"]) >= get_int(result["height"]), what="the block"
        )
        blocks = json.loads(
            (await _run(second, "ledger", "show", "--from", str(result["height"]), "--limit", "1", "--json")).stdout
        )
        assert blocks[0]["refused_count"] == 0

        finished = await _run(first, "bond", "1000000")
        assert (finished.returncode, finished.stderr) == (1, "")
        lines = finished.stdout.splitlines()
        assert lines[0].startswith("refused at height ")
        assert ": bond 1000000 tokens: " in lines[0]
        assert lines[1].startswith("operation ")
        assert lines[4].startswith("unbonding\t1.5\t1.5")

        finished = await _run(first, "unbond", "0.5")
        assert finished.returncode == 0
        assert finished.stdout.splitlines()[4].startswith("unbonding\t1.5\t2")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_without_a_quorum_it_says_why_it_waits_and_nothing_that_was_asked_is_lost(
    pair: tuple[NodeSpec, ...], tmp_path: Path
) -> None:
    async with open_testnet(copy_homes(pair, tmp_path)) as testnet:
        first, second = testnet.nodes
        first.start()
        await first.wait_ready()
        status = await _run(first, "status")
        assert "50% of the validators', of which 50% are this node's: NO quorum" in status.stdout

        finished = await _run(first, "unbond", "1", "--timeout", "20")
        assert (finished.returncode, finished.stdout) == (75, "")
        waiting, ended = finished.stderr.splitlines()
        assert waiting.startswith("waiting: connected are 50% of the validators'")
        assert ended.startswith("pnyx: not final after 20 s; operation ")
        assert "stays pending" in ended

        interrupted = _start(first, "unbond", "2")
        assert (await _read_line(interrupted)).startswith("waiting: ")
        interrupted.send_signal(signal.SIGINT)
        _, errors = await trio.to_thread.run_sync(interrupted.communicate)
        assert interrupted.returncode == 130
        assert errors.startswith("not waiting any more; operation ")

        abandoned = _start(first, "unbond", "4")
        assert (await _read_line(abandoned)).startswith("waiting: ")
        await first.stop()
        _, errors = await trio.to_thread.run_sync(abandoned.communicate)
        assert abandoned.returncode == 69
        assert errors.startswith("pnyx: the daemon stopped; operation ")

        first.start()
        await first.wait_ready()
        assert "waiting" in await trio.to_thread.run_sync(_watch_spinner, first)
        second.start()
        await _wait_unbonding(first, 15 * TOKEN)


def _watch_spinner(node: NodeProcess) -> str:
    """Return what a command that waits draws on a terminal until it is told to stop by Ctrl-C."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(_build_command(node, "unbond", "8"), stdout=subprocess.PIPE, stderr=end)
    os.close(end)
    drawn = b""
    while drawn.count(b"quorum") < 3:
        drawn += os.read(terminal, 1_000)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20.0) == (b"", None)
    assert process.returncode == 130
    os.close(terminal)
    return drawn.decode()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_node_that_lost_its_votes_says_so(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    """C10: the other of two cannot go on alone, so it stays this way."""
    async with open_testnet(copy_homes(pair, tmp_path)) as testnet:
        testnet.start_all()
        second = testnet.nodes[1]
        for node in testnet.nodes:
            await node.wait_ready()
        await wait_rounds(second, 1)
        assert "votes in consensus\tyes" in (await _run(second, "status")).stdout
        await second.stop()
        for path in second.home.glob("ledger.db*"):
            path.unlink()
        second.start()
        await second.wait_ready()
        status = await wait_status(second, lambda status: status["is_voting"] is False, what="the end of its votes")
        assert get_text(status["not_voting_reason"]).startswith("the log of this node's votes is gone")
        assert "votes in consensus\tNO: the log of this node's votes is gone" in (await _run(second, "status")).stdout
