"""One trio loop in virtual time: the same order for the same seed, and an end for whatever would go on for ever."""

import pytest
import trio

from tests.sim.tier_b.one_loop import StandingStill, TimeIsUp, run_virtual
from tests.sim.tier_b.stepping import NODE, Census, Interrupter


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


def test_steps_and_tasks_are_counted_for_the_node_that_they_belong_to() -> None:
    """A task belongs to whom its starter belonged to; the interruption comes at the step that was asked for."""
    interrupter, census = Interrupter(), Census()
    steps: list[str] = []

    async def step(name: str, count: int) -> None:
        for number in range(count):
            await trio.lowlevel.checkpoint()
            steps.append(f"{name}{number}")

    async def live(name: str) -> None:
        NODE.set(name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step, name, 5)

    async def main() -> int:
        seen: list[int] = []
        interrupter.arm("b", steps=4, action=lambda: seen.append(steps.count("b1")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live, "a")
            nursery.start_soon(live, "b")
        return seen[0]

    # Of b's own: its first step starts the other task, whose third step has just followed its second checkpoint.
    assert run_virtual(main, seed=1, virtual_s_max=1.0, instruments=[interrupter, census]) == 1
    stepping = {key: count for key, count in census.most.items() if key[1].endswith("step")}
    assert {(name, count) for (name, _), count in stepping.items()} == {("a", 1), ("b", 1)}
    assert all(census.alive[key] == 0 for key in stepping)
