"""Hunts all mutants: first the program as it is, in which nobody may notice anything, and then one mutant at a time.

Each hunt is a process with a copy of the program of its own and a limit on its computing. The limit ends a hunt and
catches nothing: a mutant that makes the simulator turn in circles has to be noticed by the simulator's own limits, on
virtual time and on steps.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from tests.mutants.hunt import Ending, Finding, Job, read_findings, write_job
from tests.mutants.mutant import Hunter, Mutant, Node, Seeds, describe_hunter
from tests.mutants.scratch import build_control, build_mutant

SECONDS_MAX: Final = 120
"""How long one hunt may compute."""

WAIT_FACTOR: Final = 8
"""How much longer than it computes a hunt may take on a busy machine."""


class Verdict(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    """All hunters passed."""
    OTHERWISE = "failed otherwise"
    """Something failed, and not what the catalogue says: a catch for the wrong reason is none."""
    OUT_OF_TIME = "out of time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """What hunters found, and how their process ended."""

    findings: tuple[Finding, ...]
    trouble: str
    """Nothing if the process came to its end; otherwise its last word."""
    is_out_of_time: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A mutant and what became of it."""

    mutant: Mutant
    verdict: Verdict
    hunter: Hunter | None
    """Who noticed, if anybody did."""
    seed: int | None
    test: str | None
    """Which of the hunter's seeds or tests it was."""
    runs: int
    """Seeds and tests that ran until then."""
    seconds: float
    """The time to catch: the computing of all hunters up to the one that noticed, their process's start left out."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A folder of copies to hunt in."""

    folder: Path
    control: Path
    """The program as it is."""
    seconds_max: int

    def hunt_control(self, hunters: Sequence[Hunter]) -> Hunt:
        """Let hunters hunt the program as it is."""
        return self._run(self.control, path="pyproject.toml", line="[project]", hunters=hunters, goes_on=True)

    def hunt_mutant(
        self, mutant: Mutant, *, hunters: Sequence[Hunter] | None = None, goes_on: bool = False
    ) -> Hunt:
        """Let a mutant's hunters hunt it, or others."""
        chosen = mutant.hunters if hunters is None else hunters
        with tempfile.TemporaryDirectory(dir=self.folder) as home:
            root = Path(home) / "mutant"
            build_mutant(self.control, root, mutant)
            return self._run(root, path=mutant.path, line=mutant.new, hunters=chosen, goes_on=goes_on)

    def _run(self, root: Path, *, path: str, line: str, hunters: Sequence[Hunter], goes_on: bool) -> Hunt:
        job = Job(path=path, line=line, hunters=tuple(hunters), goes_on=goes_on, seconds_max=self.seconds_max)
        with tempfile.TemporaryDirectory(dir=self.folder) as desk:
            job_path, result_path = Path(desk) / "job.json", Path(desk) / "result.jsonl"
            write_job(job, job_path)
            code, last_word = run_process(root, job_path, result_path, wait_s_max=self.seconds_max * WAIT_FACTOR)
            findings = read_findings(result_path)
        is_out_of_time = code in {-signal.SIGXCPU, -signal.SIGKILL}
        trouble = "" if code == 0 or is_out_of_time else last_word or f"ended with {code}"
        return Hunt(findings=findings, trouble=trouble, is_out_of_time=is_out_of_time)


@contextmanager
def open_ground(seconds_max: int = SECONDS_MAX) -> Iterator[Ground]:
    """Copy the program, and remove all copies in the end."""
    with tempfile.TemporaryDirectory(prefix="pnyx-mutants-") as name:
        folder = Path(name)
        build_control(folder / "control")
        yield Ground(folder=folder, control=folder / "control", seconds_max=seconds_max)


def run_process(root: Path, job_path: Path, result_path: Path, *, wait_s_max: float) -> tuple[int, str]:
    """Run one hunt in a copy; return its exit code and the last line that it wrote to its errors."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "PYTHONPYCACHEPREFIX"} and not name.startswith("PYTEST_")
    }
    environment.update(HYPOTHESIS_PROFILE="ci", PYTHONDONTWRITEBYTECODE="1", PYTHONHASHSEED="0")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.mutants.hunt", str(job_path), str(result_path)],
        cwd=root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, errors = process.communicate(timeout=wait_s_max)
        except subprocess.TimeoutExpired:
            errors = ""
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    lines = errors.strip().splitlines()
    return process.returncode, lines[-1] if lines else ""


def judge(mutant: Mutant, hunt: Hunt) -> Outcome:
    """Return what a mutant's hunt comes to."""
    findings = hunt.findings
    last = findings[-1] if findings and findings[-1].ending is not Ending.SILENT else None
    if last is not None:
        hunter: Hunter | None = mutant.hunters[last.place]
        is_right = last.ending is Ending.NOTICED and re.search(mutant.hunters[last.place].shows, last.message)
        verdict = Verdict.CAUGHT if is_right else Verdict.OTHERWISE
        message = f"{last.error}: {last.message}"
    else:
        hunter = None
        failed = Verdict.OTHERWISE if hunt.trouble else Verdict.SURVIVED
        verdict = Verdict.OUT_OF_TIME if hunt.is_out_of_time else failed
        message = hunt.trouble
    return Outcome(
        mutant=mutant,
        verdict=verdict,
        hunter=hunter,
        seed=None if last is None else last.seed,
        test=None if last is None else last.test,
        runs=sum(finding.runs for finding in findings),
        seconds=sum(finding.seconds for finding in findings),
        message=message,
    )


def join_hunters(mutants: Sequence[Mutant]) -> tuple[Hunter, ...]:
    """Return every hunter of some mutants once, each scenario with as many seeds as the most patient asks for."""
    counts: dict[str, int] = {}
    paths: set[str] = set()
    for hunter in (hunter for mutant in mutants for hunter in mutant.hunters):
        match hunter:
            case Seeds(scenario=scenario, count=count):
                counts[scenario] = max(count, counts.get(scenario, 0))
            case Node(path=path):
                paths.add(path)
    seeds = [Seeds(scenario=scenario, count=count, shows="") for scenario, count in sorted(counts.items())]
    return (*seeds, *[Node(path=path, shows="") for path in sorted(paths)])


def check_control(ground: Ground, mutants: Sequence[Mutant], jobs: int) -> list[str]:
    """Let every hunter of some mutants hunt the program as it is, and return whatever any of them noticed."""
    with ThreadPoolExecutor(max_workers=jobs) as executor:
        hunts = executor.map(lambda hunter: (hunter, ground.hunt_control([hunter])), join_hunters(mutants))
        return [complaint for hunter, hunt in hunts for complaint in find_complaints(hunter, hunt)]


def find_complaints(hunter: Hunter, hunt: Hunt) -> list[str]:
    """Return what a hunter has to say against the program as it is."""
    name = describe_hunter(hunter)
    noticed = [finding for finding in hunt.findings if finding.ending is not Ending.SILENT]
    complaints = [
        f"without a mutant, {finding.test or name} fails: {finding.error}: {finding.message}" for finding in noticed
    ]
    if hunt.trouble or hunt.is_out_of_time:
        complaints.append(f"without a mutant, {name} does not end: {hunt.trouble or 'out of time'}")
    return complaints


def hunt_all(ground: Ground, mutants: Sequence[Mutant], jobs: int, tell: Callable[[Outcome], None]) -> list[Outcome]:
    """Hunt mutants, some at a time, and tell of each in the order of the catalogue."""
    outcomes = []
    with ThreadPoolExecutor(max_workers=jobs) as executor:
        futures: list[Future[Outcome]] = [
            executor.submit(lambda mutant: judge(mutant, ground.hunt_mutant(mutant)), mutant) for mutant in mutants
        ]
        for future in futures:
            outcomes.append(future.result())
            tell(outcomes[-1])
    return outcomes
