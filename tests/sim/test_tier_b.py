"""Tier B: whole nodes over a simulated network, disk and learner (C9, C10, C14, F3, L2, L7, L8, W5, W6).

Safety is checked at every message by :mod:`tests.sim.tier_b.watch`; liveness, and everything that
:mod:`tests.sim.tier_b.reckoning` looks at, is asked for once all has healed. A failing seed names the one command that
repeats it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.tier_b.cancellations import find_points, pick_points, run_points
from tests.sim.tier_b.scenarios import SCENARIOS, get_digest, run_scenario

ROOT = Path(__file__).parents[2]
SEEDS_PER_SCENARIO = 2
RUNS = [(name, seed) for name in SCENARIOS for seed in range(SEEDS_PER_SCENARIO)]
POINTS_APART = 35
"""Only so many-th steps end a life here; the command of that module does them all."""


@pytest.mark.parametrize(("name", "seed"), RUNS)
def test_a_network_of_whole_nodes_stays_safe_and_does_its_job(name: str, seed: int) -> None:
    """Safety at every message; liveness, equal ledgers and clean audits after healing."""
    run_scenario(name, seed)


def test_a_node_can_be_ended_at_any_of_its_steps() -> None:
    """C10, C14: whichever task is interrupted at whichever await, a restart makes up for it."""
    kinds = find_points()
    assert {"driver", "catch-up", "keysmith", "workbench", "artifact fetch", "serving"} <= set(kinds)
    results = list(run_points(kinds, pick_points(len(kinds), POINTS_APART)))
    assert [failure for _, _, failure in results if failure] == []
    assert len({ending for _, ending, _ in results}) == 2


def run_in_new_process(name: str, hash_seed: int) -> str:
    """Return the digest of one seed, computed by another process, which has not imported hypothesis."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.sim.tier_b.run", "--scenario", name, "--seed", "3"],
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


@pytest.mark.parametrize("name", ["everything", "damaged-sqlite", "pest", "twin"])
def test_one_seed_is_one_execution_in_every_process(name: str) -> None:
    """Determinism: the same seed gives the same log whatever the order of sets and whoever imported hypothesis."""
    digest = get_digest(run_scenario(name, 3))[:16]
    assert [run_in_new_process(name, 1), run_in_new_process(name, 2)] == [digest, digest]


def test_two_seeds_are_two_executions() -> None:
    """A dead auditor would pass the test above."""
    assert len({get_digest(run_scenario("everything", seed)) for seed in range(3)}) == 3
