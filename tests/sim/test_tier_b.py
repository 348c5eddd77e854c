"""Tier B: whole nodes over a simulated network, disk and learner, some sixty seeds (C9, C10, C14, F3, L2, L7, W5, W6).

Safety is checked at every message by :mod:`tests.sim.tier_b.watch`; liveness is asked for once everything has healed. A
failing seed names the one command that repeats it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from node.driver import Driver
from protocol.interface import Effect, Persist, PersistBlock
from tests.sim.tier_b.machine import Machine
from tests.sim.tier_b.one_loop import StandingStill, TimeIsUp, run_virtual
from tests.sim.tier_b.scenarios import SCENARIOS, get_digest, run_scenario

ROOT = Path(__file__).parents[2]
SEEDS_PER_SCENARIO = 5
RUNS = [(name, seed) for name in SCENARIOS for seed in range(SEEDS_PER_SCENARIO)]


@pytest.mark.parametrize(("name", "seed"), RUNS)
def test_a_network_of_whole_nodes_stays_safe_and_does_its_job(name: str, seed: int) -> None:
    """C9, C10, C14, F3, L2, L7, W5, W6: safety at every message, liveness and equal ledgers after healing."""
    run_scenario(name, seed)


# Whether faults really strike.


def test_lives_end_and_disks_run_full() -> None:
    """A simulator whose faults miss would find nothing."""
    ends = {name: run_scenario(name, 1).endings for name in ("power-cuts", "stops", "full-disks")}
    assert min(map(len, ends.values())) >= 2
    assert any("no space left" in end or "is full" in end for end in ends["full-disks"])


def test_small_inboxes_refuse_gossip_and_nobody_minds() -> None:
    """W3: back-pressure loses gossip, which its senders repeat (C9)."""
    assert sum(node.refused_count for node in run_scenario("small-inboxes", 1).nodes) > 0


def test_liars_are_found_out() -> None:
    """W5, W6: who answers a request with anything else than asked for is scored down by somebody."""
    worlds = [run_scenario("liars", seed) for seed in range(3)]
    liars = [next(node.member for node in world.nodes if node.is_liar) for world in worlds]
    scores = [
        min(node.scores.get(liar, 0) for node in world.nodes) for world, liar in zip(worlds, liars, strict=True)
    ]
    assert min(scores) < 0


# Whether the checks would notice.


async def perform_before_writing(driver: Driver, effects: Sequence[Effect]) -> None:
    """Send first and write then: what C10 forbids."""
    for effect in effects:
        await driver._perform_one(effect)
    await driver._make_durable([effect for effect in effects if isinstance(effect, Persist | PersistBlock)])


def test_a_node_that_sends_before_it_writes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10."""
    monkeypatch.setattr(Driver, "_perform", perform_before_writing)
    with pytest.RaisesGroup(pytest.RaisesExc(AssertionError, match="before it was durable"), flatten_subgroups=True):
        run_scenario("calm", 1)


def test_a_disk_that_loses_everything_without_saying_so_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10: the vote log is lost, and the marker that would tell of it as well."""
    cut_power = Machine.cut_power

    def lose_everything(machine: Machine) -> None:
        cut_power(machine)
        machine._memory.image = None
        machine._memory.has_marker = False

    monkeypatch.setattr(Machine, "cut_power", lose_everything)
    caught = 0
    for seed in range(4):
        try:
            run_scenario("power-cuts", seed)
        except* AssertionError:
            caught += 1
    assert caught >= 1


# One loop, one seed, one execution.


async def collect_order() -> list[int]:
    """Return the order in which tasks of one instant run."""
    order: list[int] = []

    async def take_part(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(take_part, number)
    return order


def test_the_order_of_tasks_is_a_function_of_the_seed() -> None:
    """Guards what :mod:`tests.sim.tier_b.one_loop` knows of trio's inside; seeds must give different orders, too."""
    orders = [tuple(run_virtual(collect_order, seed=seed, virtual_s_max=1.0)) for seed in (1, 2, 3, 4, 1, 2, 3, 4)]
    assert orders[:4] == orders[4:]
    assert len(set(orders)) > 1


def test_a_deadlock_ends_at_the_virtual_deadline() -> None:
    async def wait_for_nothing() -> None:
        while True:
            await trio.sleep(1.0)

    with pytest.raises(TimeIsUp):
        run_virtual(wait_for_nothing, seed=1, virtual_s_max=1_000.0)


def test_a_livelock_without_delay_ends_with_the_budget_of_steps() -> None:
    async def spin() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(StandingStill):
        run_virtual(spin, seed=1, virtual_s_max=1.0, steps_per_instant_max=1_000)


def run_in_new_process(hash_seed: int) -> str:
    """Return the digest of one seed, computed by another process, which has not imported hypothesis."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.sim.tier_b.run", "--scenario", "everything", "--seed", "3"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    match = re.match(r"seed 3: ([0-9a-f]{16}) ", finished.stdout)
    assert match is not None, finished.stdout
    return match[1]


def test_one_seed_is_one_execution_in_every_process() -> None:
    """Determinism: the same seed gives the same log whatever the order of sets and whoever imported hypothesis."""
    digest = get_digest(run_scenario("everything", 3))[:16]
    assert [run_in_new_process(1), run_in_new_process(2)] == [digest, digest]


def test_two_seeds_are_two_executions() -> None:
    """A dead auditor would pass the test above."""
    assert len({get_digest(run_scenario("everything", seed)) for seed in range(3)}) == 3
