"""Repeats executions of tier B: ``python -m tests.sim.tier_b.run --scenario liars --seed 7``."""

import argparse
import sys
import time

from tests.sim.tier_b.scenarios import SCENARIOS, get_digest, run_scenario


def main() -> None:
    """Run seeds of a scenario and say how each ended; the first failure ends it."""
    parser = argparse.ArgumentParser(description="repeat executions of the simulator, tier B")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), required=True)
    parser.add_argument("--seed", type=int, required=True, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds from there")
    arguments = parser.parse_args()
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        begin_s = time.perf_counter()
        world = run_scenario(arguments.scenario, seed)
        took_s = time.perf_counter() - begin_s
        height = max(world.watch.heights.values())
        sys.stdout.write(
            f"seed {seed}: {get_digest(world)[:16]} height {height}, {world.watch.published} messages,"
            f" {len(world.endings)} lives ended, {took_s:.2f} s\n"
        )


if __name__ == "__main__":
    main()
