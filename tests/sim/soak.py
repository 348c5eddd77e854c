"""Runs seeds of both tiers on all cores, for a while or for ever: ``python -m tests.sim.soak --seconds 600``.

Seeds ascend; every scenario runs with one seed before any runs with the next. A failure is printed with the one command
that repeats it, and the run goes on. Ctrl-C ends it as the time limit does: a table of the scenarios, then one line.
"""

import argparse
import itertools
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from tests.sim import scenarios as tier_a
from tests.sim.tier_b import scenarios as tier_b

SEED_S_MAX: Final = 1_800.0
"""A seed that takes longer hangs; a soak that runs below everything else on a busy machine may wait for minutes."""

PROGRESS_S: Final = 60.0

COMMANDS: Final = {"a": "tests.sim.run", "b": "tests.sim.tier_b.run"}


@dataclass(frozen=True, slots=True)
class Task:
    """One execution to run."""

    tier: str
    scenario: str
    seed: int

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"python -m {COMMANDS[self.tier]} --scenario {self.scenario} --seed {self.seed}"


@dataclass(slots=True)
class Row:
    """What became of a scenario's seeds."""

    seeds: int = 0
    failures: int = 0
    took_s: float = 0.0


def run_task(task: Task) -> None:
    """Run one seed to its end; whatever it raises is a failure."""
    if task.tier == "a":
        tier_a.run_scenario(task.scenario, task.seed)
    else:
        tier_b.run_scenario(task.scenario, task.seed)


def work(tasks: "Connection[str, Task]") -> None:
    """Run what comes through a connection and answer with an empty text; a failure's text is the last answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        task = tasks.recv()
        try:
            run_task(task)
        except BaseException as error:
            tasks.send(f"{''.join(traceback.format_exception(error))}")
            # What a failed run leaves behind must not reach the next one.
            raise SystemExit(1) from error
        tasks.send("")


@dataclass(slots=True)
class Worker:
    """A process that runs one task at a time."""

    process: BaseProcess = field(init=False)
    connection: "Connection[Task, str]" = field(init=False)
    task: Task | None = None
    began_s: float = 0.0

    def __post_init__(self) -> None:
        """Start the process."""
        spawn = multiprocessing.get_context("spawn")
        self.connection, remote = spawn.Pipe()
        self.process = spawn.Process(target=work, args=(remote,), daemon=True)
        self.process.start()
        remote.close()

    def begin(self, task: Task) -> None:
        """Give the process something to do."""
        self.task, self.began_s = task, time.monotonic()
        with suppress(ConnectionError):
            # The answer will say that the process died.
            self.connection.send(task)

    def take_answer(self) -> str | None:
        """Return how the task ended, empty if well; None while it runs."""
        if self.connection.poll():
            try:
                return self.connection.recv()
            except (EOFError, ConnectionError):
                return "the process died"
        return "it hangs" if time.monotonic() - self.began_s > SEED_S_MAX else None

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.connection.close()


@dataclass(slots=True)
class Soak:
    """Keeps all workers busy and counts."""

    tasks: Iterator[Task]
    deadline_s: float
    """On the monotonic clock; nothing begins after it."""
    workers: list[Worker]
    table: dict[tuple[str, str], Row] = field(default_factory=dict)
    _progress_s: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Run until tasks or time are used up."""
        for worker in self.workers:
            self._give(worker)
        while busy := [worker for worker in self.workers if worker.task is not None]:
            wait([worker.connection for worker in busy], timeout=1.0)
            for worker in busy:
                self._look_at(worker)
            self._show_progress()

    def sum(self) -> Row:
        """Return all rows in one."""
        rows = self.table.values()
        return Row(sum(row.seeds for row in rows), sum(row.failures for row in rows), sum(row.took_s for row in rows))

    def _give(self, worker: Worker) -> None:
        task = next(self.tasks, None) if time.monotonic() < self.deadline_s else None
        if task is None:
            worker.task = None
        else:
            worker.begin(task)

    def _look_at(self, worker: Worker) -> None:
        answer, task = worker.take_answer(), worker.task
        if answer is None or task is None:
            return
        row = self.table.setdefault((task.tier, task.scenario), Row())
        row.seeds += 1
        row.took_s += time.monotonic() - worker.began_s
        if answer:
            row.failures += 1
            sys.stdout.write(f"{answer.rstrip()}\nFAILED, repeat it: {task.command}\n")
            sys.stdout.flush()
            worker.end()
            worker = self._replace(worker)
        self._give(worker)

    def _replace(self, worker: Worker) -> Worker:
        fresh = Worker()
        self.workers[self.workers.index(worker)] = fresh
        return fresh

    def _show_progress(self) -> None:
        if time.monotonic() >= self._progress_s + PROGRESS_S:
            self._progress_s = time.monotonic()
            total = self.sum()
            sys.stderr.write(f"{total.seeds} seeds, {total.failures} failures so far\n")


def iterate_tasks(chosen: Sequence[tuple[str, str]], first_seed: int, count: int | None) -> Iterator[Task]:
    """Yield every chosen scenario with the first seed, then with the next, and so on."""
    seeds = itertools.count(first_seed) if count is None else range(first_seed, first_seed + count)
    return (Task(tier, scenario, seed) for seed in seeds for tier, scenario in chosen)


def choose(tiers: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the scenarios of some tiers, all or some.

    Raises:
        SystemExit: A name is none of a scenario's.
    """
    known = {"a": sorted(tier_a.SCENARIOS), "b": sorted(tier_b.SCENARIOS)}
    chosen = [(tier, name) for tier in tiers for name in known[tier] if not names or name in names]
    unknown = set(names) - {name for _, name in chosen}
    if unknown:
        raise SystemExit(f"no scenario of these tiers is called {', '.join(sorted(unknown))}")
    return chosen


def describe(soak: Soak, took_s: float) -> str:
    """Return the table of scenarios and the closing line."""
    width = max((len(name) for _, name in soak.table), default=0)
    lines = [f"tier  {'scenario':{width}}  seeds  failures  mean s"]
    lines += [
        f"{tier:4}  {name:{width}}  {row.seeds:5}  {row.failures:8}  {row.took_s / row.seeds:6.2f}"
        for (tier, name), row in sorted(soak.table.items())
    ]
    total = soak.sum()
    rate = total.seeds / took_s * 60 if took_s else 0.0
    lines.append(f"soak: {total.seeds} seeds, {total.failures} failures, {rate:.0f} seeds/min")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.soak", description="run seeds of the simulator")
    parser.add_argument("--seconds", type=float, help="how long; without it, for ever")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--count", type=int, help="how many seeds of each scenario; without it, no limit")
    parser.add_argument("--tier", choices=["a", "b", "ab"], default="ab", help="which tiers (default ab)")
    parser.add_argument("--scenario", action="append", default=[], help="only this scenario; may be repeated")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many (default all cores)")
    return parser.parse_args()


def main() -> int:
    """Run, and return 1 if something failed."""
    arguments = parse_arguments()
    chosen = choose(arguments.tier, arguments.scenario)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began_s = time.monotonic()
    deadline_s = float("inf") if arguments.seconds is None else began_s + arguments.seconds
    soak = Soak(iterate_tasks(chosen, arguments.seed, arguments.count), deadline_s, [])
    try:
        soak.workers += [Worker() for _ in range(arguments.processes)]
        sys.stderr.write(f"{len(chosen)} scenarios from seed {arguments.seed} on, {arguments.processes} at a time\n")
        soak.run()
    except KeyboardInterrupt:
        # The closing line says how far it came.
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for worker in soak.workers:
            worker.end()
    sys.stdout.write(describe(soak, time.monotonic() - began_s) + "\n")
    return 1 if soak.sum().failures else 0


if __name__ == "__main__":
    sys.exit(main())
