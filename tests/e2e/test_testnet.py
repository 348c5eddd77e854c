"""A testnet outlives the command that started it, is broken on order, and ends completely, whatever crashed before."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import trio

from node.errors import NodeError
from node.fleet import client
from node.fleet.homes import create_testnet, load_testnet
from node.founding import Foundation, build_parameters
from node.json_values import JsonObject, get_int, get_list, get_object
from protocol.genesis import TaskSpec
from protocol.parameters import Preset
from tests.e2e.networks import POLL_S, find_alive, find_descendants, wait_gone

NAMES = ["alpha", "beta", "gamma", "delta"]
WAIT_S = 60.0


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a testnet of four that nobody must bring up: copy it."""
    directory = tmp_path_factory.mktemp("testnet") / "net"
    foundation = Foundation(
        name="trial",
        task=TaskSpec(name="digits", params=()),
        parameters=build_parameters(
            preset=Preset.NEUTRAL,
            member_count=len(NAMES),
            choices={"timeout_view_ms": 800, "timeout_view_max_ms": 3_000, "idle_block_ms": 500},
        ),
    )

    async def found() -> None:
        await create_testnet(directory, foundation, node_count=len(NAMES))

    trio.run(found)
    return directory


@pytest.fixture
async def directory(founded: Path, tmp_path: Path) -> AsyncIterator[Path]:
    """Give a testnet of four that is down; at the end it is down again."""
    copied = tmp_path / "net"
    shutil.copytree(founded, copied)
    yield copied
    await client.stop_supervisor(copied, load_testnet(copied))


async def run(command: str, directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "cli", "testnet", command, str(directory), *arguments]
    return await trio.to_thread.run_sync(
        lambda: subprocess.run(words, capture_output=True, text=True, timeout=100.0, check=False)
    )


async def ask(command: str, directory: Path, *arguments: str) -> JsonObject:
    finished = await run(command, directory, *arguments, "--json")
    assert (finished.returncode, finished.stderr) == (0, "")
    return get_object(json.loads(finished.stdout))


def get_nodes(document: JsonObject) -> dict[str, JsonObject]:
    return {str(node["name"]): node for node in map(get_object, get_list(document["nodes"]))}


def get_states(document: JsonObject) -> dict[str, str]:
    return {name: str(node["state"]) for name, node in get_nodes(document).items()}


def get_processes(document: JsonObject) -> list[psutil.Process]:
    """Return all daemons that run, and what they have started."""
    pids = [get_int(node["pid"]) for node in get_nodes(document).values() if node["pid"] is not None]
    return [process for pid in pids for process in find_descendants(pid)]


async def wait_heights(directory: Path, names: list[str], *, above: int) -> JsonObject:
    """Return once all these nodes have a ledger above a height."""
    with trio.move_on_after(WAIT_S):
        while True:
            document = await client.ask_supervisor(directory, {"command": "status"})
            heights = [get_nodes(document)[name]["height"] for name in names]
            if all(isinstance(height, int) and height > above for height in heights):
                return document
            await trio.sleep(POLL_S)
    raise NodeError(f"{names} did not come above height {above}")


def get_height(document: JsonObject, name: str) -> int:
    return get_int(get_nodes(document)[name]["height"])


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_nodes_outlive_their_command_break_on_order_and_all_end_with_the_last(directory: Path) -> None:
    up = await ask("up", directory)
    assert get_states(up) == dict.fromkeys(NAMES, "up")
    first = await wait_heights(directory, NAMES, above=2)
    processes = get_processes(first)
    assert len(processes) >= 2 * len(NAMES)

    killed = await ask("kill", directory, "alpha")
    assert get_states(killed) == {"alpha": "down", "beta": "up", "gamma": "up", "delta": "up"}
    assert get_nodes(killed)["alpha"]["exit_code"] == -signal.SIGKILL
    await wait_heights(directory, NAMES[1:], above=get_height(killed, "beta"))
    assert get_states(await ask("up", directory, "alpha"))["alpha"] == "up"
    back = await wait_heights(directory, NAMES, above=get_height(killed, "beta"))

    paused = await ask("pause", directory, "beta")
    assert get_states(paused)["beta"] == "paused"
    family = find_descendants(get_int(get_nodes(paused)["beta"]["pid"]))
    assert len(family) >= 2
    assert {process.status() for process in family} == {psutil.STATUS_STOPPED}
    await wait_heights(directory, ["alpha", "gamma", "delta"], above=get_height(back, "alpha") + 2)
    assert get_states(await ask("resume", directory, "beta"))["beta"] == "up"
    resumed = await wait_heights(directory, NAMES, above=get_height(back, "alpha") + 2)

    os.kill(get_int(get_nodes(resumed)["delta"]["pid"]), signal.SIGTERM)
    with trio.fail_after(WAIT_S):
        while get_states(await ask("status", directory))["delta"] != "fallen":
            await trio.sleep(POLL_S)
    assert get_states(await ask("up", directory, "delta"))["delta"] == "up"

    restarted = await ask("restart", directory, "gamma")
    assert get_nodes(restarted)["gamma"]["pid"] != get_nodes(resumed)["gamma"]["pid"]

    await ask("pause", directory, "delta")
    last = get_processes(await ask("status", directory))
    finished = await run("down", directory)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "stopped\n")
    await wait_gone([*processes, *last], timeout_s=1.0)
    again = await run("down", directory)
    assert (again.returncode, again.stderr) == (0, "nothing ran\n")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_partition_separates_one_way_or_both_until_it_is_healed(directory: Path) -> None:
    await ask("up", directory)
    await wait_heights(directory, NAMES, above=0)

    cut = await ask("partition", directory, "alpha", "beta,gamma,delta")
    assert {"from": "beta", "to": "alpha"} in get_list(cut["cut"])
    before = get_height(cut, "beta")
    away = await wait_heights(directory, NAMES[1:], above=before + 4)
    assert get_height(away, "alpha") <= before + 1
    await ask("heal", directory)
    await wait_heights(directory, NAMES, above=before + 4)

    # None of three is a quorum with one: nobody hears alpha, alpha hears all, and delta is down.
    await ask("kill", directory, "delta")
    mute = await ask("partition", directory, "alpha", "beta,gamma", "--one-way")
    assert sorted(str(get_object(link)["from"]) for link in get_list(mute["cut"])) == ["alpha", "alpha"]
    await trio.sleep(3.0)
    still = await ask("status", directory)
    await trio.sleep(5.0)
    assert get_height(await ask("status", directory), "beta") == get_height(still, "beta")
    await ask("heal", directory)
    await wait_heights(directory, NAMES[:3], above=get_height(still, "beta"))

    refused = await ask("partition", directory, "alpha", "beta,gamma", "--refuse")
    assert len(get_list(refused["refused"])) == 4
    with trio.fail_after(5.0):
        while get_int(get_nodes(await ask("status", directory))["alpha"]["members_connected"]):
            await trio.sleep(POLL_S)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_if_the_supervisor_is_killed_nothing_stays_and_everything_can_start_again(directory: Path) -> None:
    await ask("up", directory)
    await ask("pause", directory, "beta")
    processes = get_processes(await ask("status", directory))
    supervisor = psutil.Process(get_int(get_nodes(await ask("status", directory))["alpha"]["pid"])).parent()
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    await wait_gone([supervisor, *processes], timeout_s=5.0)

    assert get_states(await ask("status", directory)) == dict.fromkeys(NAMES, "down")
    finished = await run("kill", directory, "alpha")
    assert finished.returncode == 69
    assert finished.stderr == f"pnyx: the testnet is not up; start it with: pnyx testnet up {directory}\n"
    assert get_states(await ask("up", directory, "alpha"))["alpha"] == "up"
    assert (await run("down", directory)).stderr == "stopped\n"


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_supervisor_that_hangs_is_ended_by_down(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STOP_WAIT_S", 1.0)
    up = await ask("up", directory, "alpha", "beta")
    processes = get_processes(up)
    supervisor = psutil.Process(get_int(get_nodes(up)["alpha"]["pid"])).parent()
    assert supervisor is not None
    supervisor.suspend()
    assert await client.stop_supervisor(directory, load_testnet(directory))
    assert not find_alive([supervisor])
    await wait_gone(processes, timeout_s=2.0)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_mistakes_are_answered_in_one_line(directory: Path) -> None:
    await ask("up", directory, "alpha")
    for arguments, code, line in (
        (("kill", "gama"), 64, "no node of this testnet is called 'gama' (did you mean 'gamma'?)"),
        (("kill", "gamma"), 69, "gamma does not run: start it with pnyx testnet up"),
        (("partition", "alpha"), 64, "a partition has two or more groups of nodes, such as: alpha,beta gamma,delta"),
        (("partition", "alpha,beta", "beta"), 64, "a node stands in two groups, or twice in one: name each node once"),
        (
            ("partition", "alpha", "beta", "--one-way", "--refuse"),
            64,
            "--one-way and --refuse exclude each other: a reset connection is lost in both directions",
        ),
        (("chaos",), 75, None),
    ):
        finished = await run(arguments[0], directory, *arguments[1:])
        assert finished.returncode == code, finished.stderr
        assert line is None or finished.stderr == f"pnyx: {line}\n"
        assert finished.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_node_that_cannot_come_up_is_named_with_its_last_words(directory: Path) -> None:
    (directory / "beta" / "config.toml").write_text("name = 7\n")
    finished = await run("up", directory)
    assert finished.returncode == 69
    assert "config.toml" in finished.stderr
    assert finished.stderr.count("\n") == 1
