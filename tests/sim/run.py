"""Repeats one execution of the simulator: ``python -m tests.sim.run --scenario crashes-4 --seed 7``."""

import argparse
import itertools
import sys
import time

from tests.sim.scenarios import SCENARIOS, describe, run_scenario


def main() -> None:
    """Run seeds of a scenario and say how each ended; the first failure ends it."""
    parser = argparse.ArgumentParser(description="repeat executions of the simulator, tier A")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), required=True, nargs="+", metavar="NAME")
    parser.add_argument("--seed", type=int, required=True, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds from there")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    for scenario, seed in itertools.product(arguments.scenario, seeds):
        begin_s = time.perf_counter()
        cluster = run_scenario(scenario, seed)
        took_s = time.perf_counter() - begin_s
        audit = cluster.audit.hex()[:16]
        sys.stdout.write(f"{scenario}, seed {seed}: {audit} {describe(cluster)}, {took_s:.2f} s\n")


if __name__ == "__main__":
    main()
