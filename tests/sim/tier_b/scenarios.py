"""The executions that tier B repeats with many seeds."""

import logging
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import structlog
import trio

from tests.sim.byzantine import equivocator, forger, forking_leader, silent, twin
from tests.sim.catalogue import make_any
from tests.sim.memo import remember_signatures
from tests.sim.tier_b.one_loop import run_virtual
from tests.sim.tier_b.scenario import Scenario, Strike
from tests.sim.tier_b.world import Instruments, World

ROUGH: Final = Scenario(loss=0.1, duplication=0.1, delay_s_max=0.12, clock_skew_ms_max=200)

SCENARIOS: Final[dict[str, Scenario]] = {
    # The network.
    "calm": Scenario(faulty_s=0.0),
    "lossy": Scenario(loss=0.25, duplication=0.2, delay_s_max=0.2, clock_skew_ms_max=300),
    "broken-links": Scenario(node_count=5, strikes={Strike.CUT: 3, Strike.FREEZE: 3}, loss=0.05),
    "partitions": Scenario(node_count=5, strikes={Strike.PARTITION: 4}, loss=0.05, delay_s_max=0.2),
    "one-way-partitions": Scenario(node_count=5, strikes={Strike.ONE_WAY_PARTITION: 4, Strike.STOP: 2}, loss=0.05),
    "clock-steps": Scenario(strikes={Strike.CLOCK_STEP: 6, Strike.STOP: 2}, loss=0.05, clock_skew_ms_max=300),
    # Members that come and go.
    "members": Scenario(node_count=6, rounds=6, changes_members=True, idle_block_ms=1_500),
    "rough-members": replace(
        ROUGH,
        node_count=6,
        rounds=6,
        changes_members=True,
        idle_block_ms=1_500,
        sqlite_count=2,
        strikes={Strike.POWER_CUT: 4, Strike.STOP: 2, Strike.PARTITION: 1},
    ),
    # Lives that end.
    "power-cuts": Scenario(strikes={Strike.POWER_CUT: 10}, loss=0.05),
    "stops": Scenario(strikes={Strike.STOP: 10}, loss=0.05),
    "rough-power-cuts": Scenario(strikes={Strike.POWER_CUT: 10}, loss=0.2, duplication=0.2, delay_s_max=0.3),
    "bare-quorum": Scenario(absent_count=1, strikes={Strike.POWER_CUT: 6, Strike.STOP: 6}, loss=0.05),
    "bare-quorum-7": Scenario(node_count=7, absent_count=2, strikes={Strike.POWER_CUT: 8, Strike.STOP: 4}, loss=0.05),
    "black-outs": Scenario(strikes={Strike.BLACK_OUT: 3}, loss=0.05, has_operators=True),
    "late": Scenario(rounds=4, late_count=1, weight_count=140_000, strikes={Strike.POWER_CUT: 2}),
    # Disks.
    "full-disks": Scenario(strikes={Strike.FULL_DISK: 6, Strike.POWER_CUT: 2}),
    "broken-disks": Scenario(strikes={Strike.BROKEN_DISK: 8, Strike.POWER_CUT: 2}, snapshot_interval_blocks=4),
    "file-failures": Scenario(
        rounds=5,
        faulty_s=12.0,
        weight_count=70_000,
        late_count=1,
        sqlite_count=1,
        strikes={Strike.FILE_FAILURE: 24, Strike.STOP: 6},
    ),
    "slow-disks": Scenario(slow_writes=0.1, strikes={Strike.POWER_CUT: 4, Strike.STOP: 4}, small_inboxes=True),
    "sqlite": Scenario(
        sqlite_count=4,
        snapshot_interval_blocks=4,
        strikes={Strike.POWER_CUT: 5, Strike.STOP: 3, Strike.FULL_DISK: 2, Strike.BROKEN_DISK: 2},
        loss=0.05,
    ),
    # Memories (C10).
    "damage": Scenario(rounds=6, idle_block_ms=1_500, strikes={Strike.DAMAGE: 3, Strike.POWER_CUT: 2}),
    "damaged-sqlite": Scenario(
        rounds=6, idle_block_ms=1_500, sqlite_count=4, strikes={Strike.DAMAGE: 3, Strike.POWER_CUT: 2}
    ),
    "lost-databases": Scenario(
        rounds=6,
        idle_block_ms=1_500,
        sqlite_count=1,
        strikes={Strike.LOST_DATABASE: 2, Strike.POWER_CUT: 3},
        loss=0.05,
    ),
    "lost-markers": Scenario(
        node_count=5,
        rounds=6,
        idle_block_ms=1_500,
        sqlite_count=2,
        strikes={Strike.LOST_MARKER: 2, Strike.STOP: 3},
        loss=0.05,
    ),
    "old-backups": Scenario(
        rounds=6,
        idle_block_ms=1_500,
        faulty_s=8.0,
        sqlite_count=1,
        strikes={Strike.OLD_BACKUP: 3, Strike.POWER_CUT: 2},
        loss=0.05,
    ),
    "old-backups-5": replace(
        ROUGH, node_count=5, rounds=6, idle_block_ms=1_500, strikes={Strike.OLD_BACKUP: 2, Strike.PARTITION: 2}
    ),
    # People, workers, misbehaviour, too much of everything.
    "operators": Scenario(has_operators=True, strikes={Strike.POWER_CUT: 5, Strike.STOP: 3}, loss=0.05),
    "broken-workers": Scenario(rounds=4, worker_failures=0.3, strikes={Strike.STOP: 2}),
    "liars": Scenario(weight_count=140_000, liar_count=1, loss=0.02, strikes={Strike.POWER_CUT: 2}, late_count=1),
    "small-inboxes": Scenario(small_inboxes=True, write_s=0.1, loss=0.05, duplication=0.2, delay_s_max=0.1),
    "pest": Scenario(has_pest=True, weight_count=70_000, write_s=0.02, strikes={Strike.POWER_CUT: 2}),
    "silent": replace(ROUGH, adversary=silent.make, strikes={Strike.STOP: 2}),
    "equivocator": replace(ROUGH, rounds=4, adversary=equivocator.make, convicts=True, strikes={Strike.STOP: 2}),
    "twin": replace(ROUGH, rounds=4, adversary=twin.make, convicts=True, strikes={Strike.POWER_CUT: 2}),
    "forger": replace(ROUGH, adversary=forger.make, strikes={Strike.POWER_CUT: 3}, sqlite_count=1),
    "any-adversary": replace(ROUGH, node_count=5, adversary=make_any, strikes={Strike.POWER_CUT: 3}, sqlite_count=1),
    "forking-leader": replace(ROUGH, rounds=4, adversary=forking_leader.make, convicts=True, has_operators=True),
    "everything": replace(
        ROUGH,
        sqlite_count=2,
        weight_count=70_000,
        strikes={
            Strike.POWER_CUT: 3,
            Strike.STOP: 2,
            Strike.FULL_DISK: 2,
            Strike.BROKEN_DISK: 1,
            Strike.FILE_FAILURE: 1,
            Strike.CUT: 1,
            Strike.FREEZE: 1,
            Strike.PARTITION: 1,
            Strike.CLOCK_STEP: 1,
        },
        liar_count=1,
        worker_failures=0.05,
        has_operators=True,
    ),
}


def run_scenario(name: str, seed: int) -> World:
    """Run one seed of a scenario to its end.

    Raises:
        AssertionError: Something happened that must not, or what must happen did not in time. A note says how to
            repeat it.
    """
    try:
        return run_world(SCENARIOS[name], seed, World.run)
    except BaseException as error:
        error.add_note(f"repeat it: python -m tests.sim.tier_b.run --scenario {name} --seed {seed}")
        raise


def run_world(
    scenario: Scenario, seed: int, act: Callable[[World], Awaitable[None]], instruments: Instruments | None = None
) -> World:
    """Make a world, let somebody act in it, and return it as it is in the end.

    Raises:
        AssertionError: As :func:`run_scenario`.
    """
    instruments = instruments or Instruments()
    worlds: list[World] = []

    async def main() -> World:
        world = World(scenario, seed, Path(directory), instruments)
        worlds.append(world)
        await act(world)
        return world

    with tempfile.TemporaryDirectory() as directory, remember_signatures(), _set_stage(scenario, instruments):
        try:
            return run_virtual(
                main,
                seed=seed,
                virtual_s_max=scenario.virtual_s_max,
                instruments=[instruments.interrupter, instruments.census, *instruments.others],
            )
        except BaseException as error:
            if worlds and not isinstance(error, trio.Cancelled):
                error.add_note(worlds[0].last_words)
            raise


def get_digest(world: World) -> str:
    """Return the digest of everything that happened in a run."""
    return world.watch.log.hexdigest()


@contextmanager
def _set_stage(scenario: Scenario, instruments: Instruments) -> Iterator[None]:
    """Log nothing, watch all files, and let the real store take snapshots as often as the simulated one.

    Thousands of lines about simulated misfortune help nobody.
    """
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with pytest.MonkeyPatch.context() as patch, instruments.calls.watch():
        patch.setattr("node.store.sqlite.SNAPSHOT_INTERVAL_BLOCKS", scenario.snapshot_interval_blocks)
        try:
            yield
        finally:
            structlog.configure(**before)
