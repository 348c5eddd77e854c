"""Seconds per round of a real network on this machine, and where they go: ``python -m bench.rounds``.

Runs the demo's network (daemons as processes, real libp2p on loopback), leaves out the first rounds, in which workers
warm up, and then reads, per node and round: the CPU time of daemon and worker, the bytes that both have sent to the
disk, the driver's own counters, and how long the round stood in each phase. Memory is the sum over all processes,
shared pages counted for each, in 2**20 bytes.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import trio

from node.commands.common import quiet_logs
from node.config_keys import Attack
from node.control import open_request
from node.demo.plan import DemoPlan, found_homes
from node.demo.reading import ask_all
from node.json_values import JsonObject, get_int, get_object, get_text
from node.testnet import NodeProcess, Testnet, open_testnet
from protocol.parameters import AggregationRule

WARM_UP_ROUNDS: Final = 3
TARGET_ROUND_S: Final = 3.0
TARGET_RSS_MB: Final = 2_500.0
TARGET_FIRST_VERDICT_S: Final = 30.0


@dataclass(slots=True)
class Timeline:
    """What an observer at one node saw, and when."""

    started_s: float
    phase_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds in each phase, over the measured rounds."""
    settled_s: dict[int, float] = field(default_factory=dict)
    """When each round settled, in seconds after the start."""
    block_count: int = 0
    phase: str = ""
    phase_since_s: float = 0.0

    def note(self, event: JsonObject) -> None:
        """Take one observation."""
        now_s = time.monotonic() - self.started_s
        if event["event"] == "PhaseEntered":
            if self.phase and self.is_warm():
                self.phase_s[self.phase] += now_s - self.phase_since_s
            self.phase, self.phase_since_s = get_text(event["phase"]), now_s
        elif event["event"] == "BlockExecuted":
            self.block_count += self.is_warm()
            if event["settled"] is not None:
                self.settled_s[get_int(get_object(event["settled"])["round"])] = now_s

    def is_warm(self) -> bool:
        """Return whether the rounds that count have begun."""
        return len(self.settled_s) >= WARM_UP_ROUNDS


async def watch(node: NodeProcess, timeline: Timeline) -> None:
    async with open_request(node.home, {"command": "watch"}) as client:
        while True:
            timeline.note(get_object(await client.read_result()))


def measure_cpu_s(testnet: Testnet) -> tuple[float, float]:
    """Return the CPU seconds that all daemons and all workers have used so far."""
    daemons = workers = 0.0
    for node in testnet.nodes:
        process = psutil.Process(node.pid)
        times = process.cpu_times()
        daemons += times.user + times.system
        for child in process.children(recursive=True):
            times = child.cpu_times()
            workers += times.user + times.system
    return daemons, workers


def count_written(testnet: Testnet) -> int:
    """Return the bytes that all daemons and workers have sent to the disk so far, by the kernel's count."""
    daemons = [psutil.Process(node.pid) for node in testnet.nodes]
    processes = [*daemons, *(child for daemon in daemons for child in daemon.children(recursive=True))]
    return sum(process.io_counters().write_bytes for process in processes)


async def sum_timings(testnet: Testnet) -> dict[str, float]:
    """Return the milliseconds that all drivers have counted for each activity."""
    totals: dict[str, float] = defaultdict(float)
    for status in await ask_all(testnet.nodes, "status"):
        for activity, spent in get_object(status["timings"]).items():
            totals[activity] += float(str(get_object(spent)["wall_ms"]))
    return totals


async def wait_settled(timeline: Timeline, count: int) -> None:
    while len(timeline.settled_s) < count:
        await trio.sleep(0.02)


async def measure(plan: DemoPlan) -> JsonObject:
    started_s = time.monotonic()
    specs = await found_homes(plan)
    timeline = Timeline(started_s=started_s)
    async with open_testnet(specs) as testnet, trio.open_nursery() as nursery:
        testnet.start_all()
        async with trio.open_nursery() as waiting:
            for node in testnet.nodes:
                waiting.start_soon(node.wait_ready)
        nursery.start_soon(watch, testnet.nodes[0], timeline)
        await wait_settled(timeline, WARM_UP_ROUNDS)
        cpu_before, timings_before = measure_cpu_s(testnet), await sum_timings(testnet)
        written_before = count_written(testnet)
        await wait_settled(timeline, plan.round_count)
        cpu_after, timings_after = measure_cpu_s(testnet), await sum_timings(testnet)
        written_kb = (count_written(testnet) - written_before) / 1_000
        rss_mb = testnet.compute_rss_bytes() / 2**20
        nursery.cancel_scope.cancel()
    round_count = plan.round_count - WARM_UP_ROUNDS
    steady_s = (timeline.settled_s[plan.round_count] - timeline.settled_s[WARM_UP_ROUNDS]) / round_count
    per_node = round_count * plan.node_count
    return {
        "nodes": plan.node_count,
        "rounds_measured": round_count,
        "round_s": round(steady_s, 3),
        "first_verdict_s": round(timeline.settled_s[1], 2),
        "rss_mb": round(rss_mb, 1),
        "blocks_per_round": round(timeline.block_count / round_count, 2),
        "phase_s_per_round": {name: round(total / round_count, 3) for name, total in timeline.phase_s.items()},
        "cpu_ms_per_node_and_round": {
            "daemon": round((cpu_after[0] - cpu_before[0]) * 1_000 / per_node, 1),
            "worker": round((cpu_after[1] - cpu_before[1]) * 1_000 / per_node, 1),
        },
        "written_kb_per_node_and_round": round(written_kb / per_node, 1),
        "wall_ms_per_node_and_round": {
            name: round((total - timings_before[name]) / per_node, 1) for name, total in timings_after.items()
        },
    }


def print_report(report: JsonObject) -> None:
    print(f"{report['nodes']} nodes, {report['rounds_measured']} rounds after {WARM_UP_ROUNDS} to warm up")
    for name, unit, target in (
        ("round_s", "s per round", TARGET_ROUND_S),
        ("first_verdict_s", "s until the first verdict", TARGET_FIRST_VERDICT_S),
        ("rss_mb", "MB of memory in all", TARGET_RSS_MB),
    ):
        value = float(str(report[name]))
        print(f"  {value:>8.1f} {unit:<28} target under {target:g}: {'met' if value < target else 'MISSED'}")
    print(f"  {report['blocks_per_round']:>8} blocks per round")
    print(f"  {report['written_kb_per_node_and_round']:>8} kB written to disk per node and round")
    for title, key in (
        ("seconds of a round in each phase", "phase_s_per_round"),
        ("CPU ms per node and round", "cpu_ms_per_node_and_round"),
        ("wall ms per node and round, waiting included", "wall_ms_per_node_and_round"),
    ):
        print(title)
        for name, taken in get_object(report[key]).items():
            print(f"  {taken:>8} {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=7)
    parser.add_argument("--malicious", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=13)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    quiet_logs()
    with tempfile.TemporaryDirectory(prefix="pnyx-bench-", ignore_cleanup_errors=True) as directory:
        plan = DemoPlan(
            directory=Path(directory),
            is_kept=False,
            node_count=options.nodes,
            malicious_count=options.malicious,
            attack=Attack.SIGN_FLIP,
            round_count=options.rounds,
            task="digits",
            task_params=(),
            aggregation=AggregationRule.MEDIAN,
            seed=1,
        )
        report = trio.run(measure, plan)
    if options.json:
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        print_report(report)


if __name__ == "__main__":
    main()
