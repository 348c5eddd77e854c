"""Real networks for the end-to-end tests: homes, daemons as processes, and waiting for what they say."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import trio

from node.config_keys import Attack
from node.control import call, open_request
from node.demo.plan import DemoPlan, found_homes
from node.errors import NodeError
from node.json_values import JsonObject, get_int, get_list, get_object
from node.ledger_export import open_ledger
from node.testnet import NodeProcess, NodeSpec
from protocol.parameters import AggregationRule
from protocol.units import Height

POLL_S = 0.1
ENDLESS = 1_000_000

SHORT_DEADLINES = (
    "train_deadline_ms=2500",
    "seal_deadline_ms=2500",
    "reveal_deadline_ms=1500",
    "timeout_view_ms=800",
    "timeout_view_max_ms=3000",
)


async def found_network(
    directory: Path,
    *,
    count: int,
    rounds: int = ENDLESS,
    task: str = "digits",
    settings: tuple[str, ...] = (),
    search_paths: tuple[Path, ...] = (),
) -> tuple[NodeSpec, ...]:
    """Make the homes of a network of honest members with short deadlines."""
    return await found_homes(
        DemoPlan(
            directory=directory,
            is_kept=True,
            node_count=count,
            malicious_count=0,
            attack=Attack.NONE,
            round_count=rounds,
            task=task,
            task_params=(),
            settings=(*SHORT_DEADLINES, *settings),
            search_paths=search_paths,
            aggregation=AggregationRule.MEDIAN,
            seed=1,
        )
    )


def copy_homes(specs: tuple[NodeSpec, ...], directory: Path) -> tuple[NodeSpec, ...]:
    """Return copies of homes in which no daemon has run, since making homes takes seconds."""
    for spec in specs:
        shutil.copytree(spec.home, directory / spec.name)
    return tuple(NodeSpec(name=spec.name, home=directory / spec.name) for spec in specs)


async def wait_status(
    node: NodeProcess, holds: Callable[[JsonObject], bool], *, what: str, timeout_s: float = 60.0
) -> JsonObject:
    """Return a daemon's status once something holds of it."""
    with trio.move_on_after(timeout_s):
        while True:
            status = await node.ask("status")
            if holds(status):
                return status
            await trio.sleep(POLL_S)
    raise NodeError(f"{node.name}: {what} did not come within {timeout_s:.0f} s; its log ends:\n{node.read_log_tail()}")


async def wait_rounds(node: NodeProcess, count: int, *, timeout_s: float = 60.0) -> JsonObject:
    """Return a daemon's status once at least so many rounds have settled."""
    return await wait_status(
        node,
        lambda status: get_int(status["rounds_settled"]) >= count,
        what=f"the settlement of round {count}",
        timeout_s=timeout_s,
    )


async def wait_phase(node: NodeProcess, phase: str) -> None:
    """Return at the moment at which a daemon tells that a round has come to a phase."""
    async with open_request(node.home, {"command": "watch"}) as client:
        while True:
            event = get_object(await client.read_result())
            if event["event"] == "PhaseEntered" and event["phase"] == phase:
                return


async def read_rounds(node: NodeProcess, from_round: int = 1) -> list[JsonObject]:
    """Return the settled rounds that a daemon knows."""
    answer = await call(node.home, {"command": "rounds", "from_round": from_round, "limit": 1_000})
    return [get_object(record) for record in get_list(answer)]


async def run_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Return how a ``pnyx`` command ended, run as an operator's."""
    command = [sys.executable, "-m", "cli", *arguments]
    return await trio.to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=100.0, check=False)
    )


async def run_json(*arguments: str) -> JsonObject:
    """Return the document that a ``pnyx`` command prints; it must succeed."""
    finished = await run_command(*arguments, "--json")
    if finished.returncode != 0:
        raise NodeError(f"{arguments} ended with {finished.returncode}: {finished.stdout}{finished.stderr}")
    return get_object(json.loads(finished.stdout))


def read_roots(home: Path) -> dict[Height, bytes]:
    """Return the state root after each block of a home's ledger."""
    _, reader = open_ledger(home)
    with closing(reader):
        return {
            finalized.block.header.height: outcome.state_root for finalized, outcome in reader.iterate_blocks(Height(1))
        }


def find_descendants(pid: int) -> list[psutil.Process]:
    """Return a process and everything that it has started."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def find_alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those processes that still run; one that only waits to be reaped does not."""
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


async def wait_gone(processes: list[psutil.Process], *, timeout_s: float = 10.0) -> None:
    """Return once none of the processes runs."""
    with trio.move_on_after(timeout_s):
        while find_alive(processes):
            await trio.sleep(POLL_S)
        return
    raise NodeError(f"still running after {timeout_s:.0f} s: {find_alive(processes)}")
