"""The executions that tier B repeats with many seeds."""

import tempfile
from pathlib import Path
from typing import Final

import trio

from tests.sim.memo import remember_signatures
from tests.sim.tier_b.one_loop import run_virtual
from tests.sim.tier_b.world import Interrupter, Scenario, World, quick_and_silent

SCENARIOS: Final[dict[str, Scenario]] = {
    "calm": Scenario(faulty_s=0.0),
    "lossy": Scenario(loss=0.25, duplication=0.2, delay_s_max=0.2, clock_skew_ms_max=300),
    "power-cuts": Scenario(loss=0.05, power_cuts=10),
    "stops": Scenario(loss=0.05, stops=10),
    "full-disks": Scenario(full_disks=6, power_cuts=2),
    "broken-links": Scenario(node_count=5, cuts=3, freezes=3, loss=0.05),
    "liars": Scenario(weight_count=140_000, liar_count=1, loss=0.02, power_cuts=2, late_count=1),
    "small-inboxes": Scenario(small_inboxes=True, write_s=0.1, loss=0.05, duplication=0.2, delay_s_max=0.1),
    "broken-workers": Scenario(rounds=4, worker_failures=0.3, stops=2),
    "late": Scenario(rounds=4, late_count=1, weight_count=140_000, power_cuts=2),
    "sqlite": Scenario(sqlite_count=4, power_cuts=5, stops=3, full_disks=2, loss=0.05),
    "everything": Scenario(
        sqlite_count=2,
        weight_count=70_000,
        loss=0.1,
        duplication=0.1,
        delay_s_max=0.12,
        clock_skew_ms_max=200,
        power_cuts=4,
        stops=3,
        full_disks=2,
        cuts=2,
        freezes=2,
        liar_count=1,
        worker_failures=0.05,
    ),
}


def run_scenario(name: str, seed: int) -> World:
    """Run one seed of a scenario to its end.

    Raises:
        AssertionError: Something happened that must not, or what must happen did not in time. A note says how to
            repeat it.
    """
    scenario, interrupter = SCENARIOS[name], Interrupter()
    worlds: list[World] = []

    async def main() -> World:
        world = World(scenario, seed, Path(directory), interrupter)
        worlds.append(world)
        await world.run()
        return world

    with tempfile.TemporaryDirectory() as directory, remember_signatures(), quick_and_silent():
        try:
            return run_virtual(
                main,
                seed=seed,
                virtual_s_max=scenario.virtual_s_max,
                instruments=[interrupter],
            )
        except BaseException as error:
            error.add_note(f"repeat it: python -m tests.sim.tier_b.run --scenario {name} --seed {seed}")
            if worlds and not isinstance(error, trio.Cancelled):
                error.add_note(worlds[0].describe())
            raise


def get_digest(world: World) -> str:
    """Return the digest of everything that happened in a run."""
    return world.watch.log.hexdigest()
