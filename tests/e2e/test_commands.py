"""The commands that read a running node, as a person and as a program see them; and the one that stops it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from node.json_values import JsonObject, JsonValue, get_int, get_list, get_object
from node.testnet import NodeProcess, NodeSpec, open_testnet
from tests.e2e.networks import copy_homes, wait_rounds


async def _run_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cli", *arguments]
    return await trio.to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=100.0, check=False)
    )


async def _run(node: NodeProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return await _run_command(*arguments, "--home", str(node.home))


async def _ask(node: NodeProcess, *arguments: str) -> JsonValue:
    finished = await _run(node, *arguments, "--json")
    assert finished.returncode == 0, finished.stderr
    document: JsonValue = json.loads(finished.stdout)
    return document


async def _ask_list(node: NodeProcess, *arguments: str) -> list[JsonObject]:
    return [get_object(item) for item in get_list(await _ask(node, *arguments))]


async def _print(node: NodeProcess, *arguments: str) -> list[str]:
    finished = await _run(node, *arguments)
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_running_node_answers_every_question(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    async with open_testnet(copy_homes(pair, tmp_path)) as testnet:
        testnet.start_all()
        first, second = testnet.nodes
        for node in testnet.nodes:
            await node.wait_ready()
        await wait_rounds(first, 2, timeout_s=90.0)

        status = get_object(await _ask(first, "status"))
        assert (status["name"], status["network"], status["members_connected"]) == ("alpha", "demo", 1)
        lines = await _print(first, "status")
        assert "members connected\t1 of 1" in lines

        (peer,) = await _ask_list(first, "peers")
        assert (peer["name"], peer["is_connected"]) == ("beta", True)
        assert (await _print(first, "peers"))[1].startswith("beta\tyes\t")

        rounds = await _ask_list(first, "rounds", "--from", "1")
        assert [record["round"] for record in rounds[:2]] == [1, 2]
        assert (await _print(first, "rounds", "--from", "1"))[1].startswith("1\t")

        stakes = get_object(await _ask(first, "stakes"))
        assert len(get_list(stakes["members"])) == 2
        assert (await _print(first, "stakes"))[-1].startswith("supply\t256")

        model = get_object(await _ask(first, "model", "show"))
        assert str(model["genesis_digest"]) in get_object(model["scores"])
        assert (await _print(first, "model", "show"))[0].startswith("current model ")

        blocks = await _ask_list(second, "ledger", "show", "--limit", "3")
        assert [block["height"] for block in blocks] == [1, 2, 3]
        assert (await _print(second, "ledger", "show", "--limit", "1"))[1].startswith("1\t1\t")

        export = tmp_path / "running.ledger"
        assert (await _run(second, "ledger", "export", "-o", str(export))).returncode == 0
        verified = await _run_command("verify", str(export))
        assert verified.stdout.startswith("good: network demo, chain "), verified.stdout

        stopped = await _run(first, "stop")
        assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "", "stopped\n")
        with trio.fail_after(5.0):
            assert await first.wait_ended() == 0


def _start_watch(node: NodeProcess) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "cli", "watch", "--json", "--home", str(node.home)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_watch_follows_a_node_until_it_stops(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    async with open_testnet(copy_homes(pair, tmp_path)) as testnet:
        testnet.start_all()
        first = testnet.nodes[0]
        await first.wait_ready()
        watching = _start_watch(first)
        assert watching.stdout is not None
        lines = [await trio.to_thread.run_sync(watching.stdout.readline)]
        settled = get_int((await first.ask("status"))["rounds_settled"])
        await wait_rounds(first, settled + 1, timeout_s=90.0)
        await first.stop()
        rest, errors = await trio.to_thread.run_sync(watching.communicate)
        assert watching.returncode == 69
        assert "stopped before it answered" in errors
        events = [get_object(json.loads(line)) for line in (*lines, *rest.splitlines())]
        assert events[0]["event"] == "Status"
        assert {"PhaseEntered", "BlockExecuted"} <= {str(event["event"]) for event in events}
