"""How fast the simulator runs: ``python -m bench.simulator``.

For each scenario of tier A: seconds of one core, events and messages per seed, and how much faster than real time it
is. The first seed of a process also pays for keys and imports, so it is left out.
"""

import argparse
import time

from tests.sim.scenarios import SCENARIOS, run_scenario


def measure(name: str, count: int) -> tuple[float, int, int, int]:
    """Return CPU seconds, events, messages and virtual milliseconds of some seeds."""
    begin_s = time.process_time()
    clusters = [run_scenario(name, 1_000 + seed) for seed in range(count)]
    return (
        time.process_time() - begin_s,
        sum(cluster.loop.events for cluster in clusters),
        sum(cluster.sent for cluster in clusters),
        sum(cluster.loop.elapsed_ms for cluster in clusters),
    )


def main() -> None:
    """Measure every scenario, or those named, and print one line each."""
    parser = argparse.ArgumentParser(description="measure the simulator, tier A")
    parser.add_argument("names", nargs="*", default=sorted(SCENARIOS), help="scenarios; all by default")
    parser.add_argument("--seeds", type=int, default=3, help="seeds per scenario")
    arguments = parser.parse_args()
    run_scenario("calm-4", 0)
    columns = ("CPU s/seed", "events/s", "messages", "x real time", "seeds/minute")
    print(f"{'scenario':24} {' '.join(f'{column:>12}' for column in columns)}")
    total_s = 0.0
    for name in arguments.names:
        cpu_s, events, sent, elapsed_ms = measure(name, arguments.seeds)
        total_s += cpu_s
        speed = elapsed_ms / 1_000 / cpu_s
        print(
            f"{name:24} {cpu_s / arguments.seeds:12.2f} {events / cpu_s:12.0f} {sent // arguments.seeds:12} "
            f"{speed:12.0f} {60 * arguments.seeds / cpu_s:12.0f}"
        )
    seeds = arguments.seeds * len(arguments.names)
    print(f"all: {total_s / seeds:.2f} CPU s per seed, {60 * seeds / total_s:.0f} seeds per minute and core")


if __name__ == "__main__":
    main()
