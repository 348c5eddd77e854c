"""Runs targets in processes of their own and reads what came of each from what libFuzzer prints."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.one import FAILED_CODE, get_repeat_command
from tests.fuzz.table import TARGETS

ROOT: Final = Path(__file__).parents[2]
GRACE_S: Final = 300
"""How long a process may take for its start and its last input."""
TAIL_LINES: Final = 40
SHARE_SEED: Final = 1

_STATUS: Final = re.compile(r"^#\d+\s+\w+\s+cov: (\d+) ft: (\d+)", re.MULTILINE)
_EXECUTIONS: Final = re.compile(r"^stat::number_of_executed_units: (\d+)", re.MULTILINE)
_INPUTS: Final = re.compile(r"^stat::inputs: ([0-9a-f]{64})", re.MULTILINE)
_RATE: Final = re.compile(r"^stat::average_exec_per_sec:\s+(\d+)", re.MULTILINE)
_WRITTEN: Final = re.compile(r"Test unit written to (\S+)")
_NOISE: Final = re.compile(r"^(INFO:|WARNING: Failed to find function|#\d+\s+(NEW|REDUCE|RELOAD|pulse))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a target failed."""

    command: str
    """Repeats it."""
    log: str
    """The last lines of what the process printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of fuzzing one target."""

    name: str
    executions: int
    rate: int
    """Executions per second."""
    edges: int | None
    """Branches of the code under test that were reached; None without guidance."""
    features: int | None
    """As edges, told apart by how often each was passed."""
    inputs: str | None
    """A digest of all inputs in their order; None with guidance."""
    failure: Failure | None

    def describe(self) -> str:
        """Return a line for people, and after a failure how to repeat it."""
        coverage = "unguided" if self.edges is None else f"{self.edges:>5} edges {self.features:>6} features"
        state = "ok" if self.failure is None else "FAILED"
        line = f"{self.name:12} {self.executions:>9} executions {self.rate:>7}/s {coverage}  {state}"
        return line if self.failure is None else f"{line}\n{self.failure.log}\nrepeat it: {self.failure.command}"


def run_campaign(names: Sequence[str], *, home: Path, seconds: int, jobs: int, seed: int) -> Iterator[Outcome]:
    """Fuzz targets at the same time, each for an equal share, and yield what came of each in their order.

    Args:
        names: Of targets.
        home: Where inputs are kept.
        seconds: How long all of them together may take.
        jobs: How many processes run at a time.
        seed: Of all chance.
    """
    share_s = max(1, seconds * min(jobs, len(names)) // len(names))
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        limits = ["--seconds", str(share_s), "--seed", str(seed)]
        yield from pool.map(lambda name: run_target(name, home=home, limits=limits, timeout_s=share_s + GRACE_S), names)


def build_share_limits(name: str) -> list[str]:
    """Return the limits of the share that ``make test`` runs: the same inputs every time, however long they take.

    Guidance depends on what the whole code reaches, and a little on chance: with it a change of anything sends the
    search elsewhere, and the run that meets an old fault is somebody else's.
    """
    return ["--blind", "--runs", str(TARGETS[name].runs), "--seed", str(SHARE_SEED)]


def run_target(name: str, *, home: Path, limits: Sequence[str], timeout_s: int, root: Path = ROOT) -> Outcome:
    """Fuzz one target of the code at a place in a process of its own."""
    folders = ["--corpus", str(home / "corpus" / name), "--failures", str(home / "failures")]
    command = [sys.executable, "-m", "tests.fuzz.one", name, *limits, *folders]
    # One seed is one search: sets of names must not differ from process to process.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    try:
        ended = subprocess.run(
            command,
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        log = (error.output or b"").decode("utf-8", "replace")
        return read_outcome(name, code=FAILED_CODE, log=f"{log}\nnot done after {timeout_s} s")
    return read_outcome(name, code=ended.returncode, log=ended.stdout.decode("utf-8", "replace"))


def read_outcome(name: str, *, code: int, log: str) -> Outcome:
    """Return what a process's exit code and output say."""
    statuses = _STATUS.findall(log)
    inputs = _INPUTS.search(log)
    edges, features = (int(number) for number in statuses[-1]) if statuses else (None, None)
    failure = None
    if code != 0:
        written = _WRITTEN.search(log)
        command = (
            get_repeat_command(name, Path(written.group(1)))
            if written
            else f"python -m tests.fuzz --target {name}"
        )
        kept = [line for line in log.splitlines() if not _NOISE.match(line)]
        failure = Failure(command=command, log="\n".join(kept[-TAIL_LINES:]))
    return Outcome(
        name=name,
        executions=_find_number(_EXECUTIONS, log),
        rate=_find_number(_RATE, log),
        edges=edges,
        features=features,
        inputs=inputs.group(1) if inputs else None,
        failure=failure,
    )


def _find_number(pattern: re.Pattern[str], log: str) -> int:
    found = pattern.search(log)
    return int(found.group(1)) if found else 0
