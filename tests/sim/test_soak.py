"""The soak: it counts, goes on after a failure, says how to repeat it, and ends with one line."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sim.soak import Soak, Task, Worker, choose, describe, iterate_tasks

ROOT = Path(__file__).parents[2]
LAST_LINE = re.compile(r"soak: (\d+) seeds, (\d+) failures, (\d+) seeds/min\Z")


def start_soak(*arguments: str) -> "subprocess.Popen[str]":
    """Return a soak of tier A in one process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sim.soak", "--tier", "a", "--processes", "1", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def get_counts(output: str) -> tuple[int, int]:
    """Return the seeds and failures of the closing line."""
    match = LAST_LINE.search(output.rstrip("\n"))
    assert match is not None, output
    return int(match[1]), int(match[2])


def test_seeds_ascend_and_each_runs_all_scenarios() -> None:
    chosen = choose("a", ["calm-4", "lossy-4"])
    tasks = [(task.scenario, task.seed) for task in iterate_tasks(chosen, 7, 2)]
    assert tasks == [("calm-4", 7), ("lossy-4", 7), ("calm-4", 8), ("lossy-4", 8)]


def test_both_tiers_are_chosen_unless_one_is_asked_for() -> None:
    assert {tier for tier, _ in choose("ab", [])} == {"a", "b"}
    assert {tier for tier, _ in choose("b", [])} == {"b"}


def test_a_scenario_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SystemExit, match="calm-5"):
        choose("a", ["calm-4", "calm-5"])


def test_it_ends_by_itself_after_so_many_seeds() -> None:
    soak = start_soak("--scenario", "calm-4", "--count", "2")
    output, _ = soak.communicate(timeout=60)
    assert (soak.returncode, get_counts(output)) == (0, (2, 0))


def test_an_interrupt_ends_it_with_the_same_line() -> None:
    soak = start_soak("--scenario", "calm-4")
    assert soak.stderr is not None
    assert soak.stderr.readline() == "1 scenarios from seed 0 on, 1 at a time\n"
    soak.send_signal(signal.SIGINT)
    output, _ = soak.communicate(timeout=60)
    assert soak.returncode == 0
    assert get_counts(output)[1] == 0


def test_a_failure_is_counted_and_says_how_to_repeat_it(capsys: pytest.CaptureFixture[str]) -> None:
    tasks = iter([Task("a", "calm-4", 0), Task("a", "no-such-scenario", 3), Task("a", "calm-4", 1)])
    soak = Soak(tasks, time.monotonic() + 60, [Worker()])
    try:
        soak.run()
    finally:
        for worker in soak.workers:
            worker.end()
    output = capsys.readouterr().out
    assert "KeyError" in output
    assert "repeat it: python -m tests.sim.run --scenario no-such-scenario --seed 3" in output
    assert get_counts(describe(soak, 60.0)) == (3, 1)


def test_a_worker_that_dies_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    worker = Worker()
    worker.process.kill()
    soak = Soak(iter([Task("a", "calm-4", 0)]), time.monotonic() + 60, [worker])
    try:
        soak.run()
    finally:
        for entry in soak.workers:
            entry.end()
    assert "the process died" in capsys.readouterr().out
    assert soak.sum().failures == 1
