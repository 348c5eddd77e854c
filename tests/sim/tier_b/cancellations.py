"""Ends a node at every one of its steps, one run for each: ``python -m tests.sim.tier_b.cancellations``.

The node comes late to a small network and with nothing, so that it fetches blocks and a model of several chunks, and
then trains, votes, proposes and serves the others for two rounds. At its k-th step, for every k, it is stopped or loses
power, comes back, and everything must be as after any other fault. What is counted are steps of the node's own tasks;
between two of them lies an await, and nothing else can interrupt it.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import trio

from tests.sim.tier_b.scenario import Scenario
from tests.sim.tier_b.scenarios import run_world
from tests.sim.tier_b.stepping import Interrupter, get_task_owner
from tests.sim.tier_b.whole import WholeNode
from tests.sim.tier_b.world import Instruments, World

SCENARIO: Final = Scenario(rounds=3, late_count=1, weight_count=70_000, faulty_s=2.5)
SEED: Final = 1

KINDS: Final = {
    "Driver.run": "driver",
    "BlockFetcher.run": "catch-up",
    "BlockFetcher._poll_progress": "catch-up",
    "BlockFetcher._fetch_body": "catch-up",
    "WitnessAsker.run": "witnesses",
    "WitnessAsker._ask": "witnesses",
    "Keysmith.run": "keysmith",
    "Workbench.run": "workbench",
    "Workbench._run_job": "workbench",
    "Swarm._drain": "artifact fetch",
    "MemoryNetwork.serve": "serving",
    "World._keep_up": "start and end",
}
"""What the tasks of a node are for, by the ends of their names."""


class Ending(StrEnum):
    """How a life ends."""

    STOP = "stopped"
    POWER_CUT = "lost power"


@dataclass(slots=True, eq=False)
class Footprints(trio.abc.Instrument):
    """Writes down which task of the late node took each step."""

    world: World | None = None
    tasks: list[str] = field(default_factory=list)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Write down a step."""
        if self.world is not None and not self.world.is_done and get_task_owner(task) in self.world.late_names:
            self.tasks.append(task.name)


def find_points() -> list[str]:
    """Return the kind of task of every step that the late node takes when nothing goes wrong."""
    footprints = Footprints()

    async def act(world: World) -> None:
        footprints.world = world
        await world.run()

    run_world(SCENARIO, SEED, act, Instruments(others=[footprints]))
    return [get_kind(task) for task in footprints.tasks]


def run_point(number: int, ending: Ending) -> World:
    """Run the network once and end the late node at its step of this number, counted from 1.

    Raises:
        AssertionError: Something happened that must not.
    """
    interrupter = Interrupter()

    async def act(world: World) -> None:
        (victim,) = world.late_names

        def strike() -> None:
            end(next(node for node in world.nodes if node.name == victim), ending)

        interrupter.arm(victim, steps=number, action=strike)
        await world.run()
        assert world.endings, f"step {number} was never taken"

    return run_world(SCENARIO, SEED, act, Instruments(others=[interrupter]))


def end(node: WholeNode, ending: Ending) -> None:
    """End the life of a node."""
    if ending is Ending.STOP:
        node.stop()
    else:
        node.lose_power()


def get_kind(task: str) -> str:
    """Return what a task is for."""
    return next(kind for name, kind in KINDS.items() if task.endswith(name))


def pick_points(count: int, every: int) -> Iterator[tuple[int, Ending]]:
    """Yield points with their endings; both of them for every point, or for every n-th, one and the other in turn."""
    for number in range(1, count + 1):
        if every == 1:
            yield from ((number, ending) for ending in Ending)
        elif number % every == 0:
            yield number, tuple(Ending)[number // every % 2]


def run_points(kinds: list[str], points: Iterable[tuple[int, Ending]]) -> Iterator[tuple[str, Ending, str]]:
    """Yield the kind of task, the ending and the failure, if there is one, of each point."""
    for number, ending in points:
        failure = ""
        try:
            run_point(number, ending)
        except* AssertionError as group:
            failure = f"step {number}, {ending.value}: {group.exceptions[0]}"
        yield kinds[number - 1], ending, failure


def main() -> None:
    """Run every point, or every n-th, and say how many there were of each kind of task."""
    parser = argparse.ArgumentParser(description="end a node at every one of its steps")
    parser.add_argument("--every", type=int, default=1, help="only every n-th step")
    arguments = parser.parse_args()
    kinds = find_points()
    totals, done, failures = Counter(kinds), Counter[tuple[str, Ending]](), 0
    for kind, ending, failure in run_points(kinds, pick_points(len(kinds), arguments.every)):
        done[kind, ending] += 1
        if failure:
            failures += 1
            sys.stdout.write(f"{failure}\n")
    sys.stdout.write(f"{'task':<16}{'steps':>8}{'stopped':>10}{'lost power':>12}\n")
    for kind, count in sorted(totals.items()):
        columns = f"{done[kind, Ending.STOP]:>10}{done[kind, Ending.POWER_CUT]:>12}"
        sys.stdout.write(f"{kind:<16}{count:>8}{columns}\n")
    sys.stdout.write(f"cancellations: {len(kinds)} steps, {done.total()} runs, {failures} failures\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
