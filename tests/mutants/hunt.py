"""One hunt, in a process of its own: ``python -m tests.mutants.hunt JOB RESULT``, run inside a copy of the program.

Hunters run in their order until one notices something. What counts as noticing is a check that failed: an assertion of
a checker or test, an invariant of the core, or a protocol error where a test expected none. Anything else, such as an
import that fails or an attribute that is missing, means that the mutant is no program at all.
"""

import contextlib
import io
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

import pytest

import protocol
from protocol.errors import InvariantViolation, ProtocolError
from tests.mutants.mutant import Hunter, Node, Seeds
from tests.sim.scenarios import run_scenario


class Ending(StrEnum):
    """How a hunter's hunt ended."""

    SILENT = "silent"
    """Everything passed."""
    NOTICED = "noticed"
    """A check failed."""
    BROKEN = "broken"
    """Something else went wrong than a check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one hunter found."""

    place: int
    """The hunter's, in the job."""
    ending: Ending
    seed: int | None
    """The seed that failed, of a hunter with seeds."""
    test: str | None
    """The test that failed, of a hunter with tests, by its pytest node id."""
    runs: int
    """How many seeds or tests ran, the failing one among them."""
    seconds: float
    """Of this process's computing, which on an idle machine is the time it took."""
    error: str
    """The kind of failure, or nothing."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to hunt with, and what must be true of the program that is hunted."""

    path: str
    """A file that must hold the line below: proof that this process runs the mutant."""
    line: str
    hunters: tuple[Hunter, ...]
    goes_on: bool
    """True to let every hunter hunt, whatever others have noticed."""
    seconds_max: int
    """After so much computing the process is killed."""


def write_job(job: Job, path: Path) -> None:
    """Write a job for a process to read."""
    hunters = [{"kind": type(hunter).__name__, **asdict(hunter)} for hunter in job.hunters]
    path.write_text(json.dumps({**asdict(job), "hunters": hunters}), encoding="utf-8")


def read_job(path: Path) -> Job:
    """Read what :func:`write_job` wrote."""
    document = json.loads(path.read_text(encoding="utf-8"))
    kinds = {kind.__name__: kind for kind in (Seeds, Node)}
    hunters = tuple(kinds[fields.pop("kind")](**fields) for fields in document.pop("hunters"))
    return Job(**document, hunters=hunters)


def read_findings(path: Path) -> tuple[Finding, ...]:
    """Read what a hunt found, up to where it came."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return tuple(Finding(**{**fields, "ending": Ending(fields["ending"])}) for fields in map(json.loads, lines))


class Witness:
    """A pytest plugin that takes down how many tests ran, and which failed first and how that came about."""

    def __init__(self) -> None:
        self.runs = 0
        self.failure: BaseException | None = None
        self.test: str | None = None

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Take down a failure of a test itself, or of what prepares it."""
        self.runs += call.when == "call"
        if call.excinfo is not None and self.failure is None:
            self.failure, self.test = call.excinfo.value, item.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take down that tests could not even be read."""
        if report.failed and self.failure is None:
            self.failure = ImportError(str(report.longrepr))


def hunt(job: Job) -> Iterator[Finding]:
    """Yield what each hunter finds, and stop after the first that found something, unless the job says otherwise."""
    for place, hunter in enumerate(job.hunters):
        finding = hunt_seeds(place, hunter) if isinstance(hunter, Seeds) else hunt_node(place, hunter)
        yield finding
        if finding.ending is not Ending.SILENT and not job.goes_on:
            return


def hunt_seeds(place: int, hunter: Seeds) -> Finding:
    """Run one seed after the other."""
    begin_s = time.process_time()
    for seed in range(hunter.count):
        try:
            run_scenario(hunter.scenario, seed)
        except Exception as error:  # noqa: BLE001 -- a broken program may raise anything, and all of it is recorded
            return build_finding(place, error, seed=seed, runs=seed + 1, begin_s=begin_s)
    return build_finding(place, None, seed=None, runs=hunter.count, begin_s=begin_s)


def hunt_node(place: int, hunter: Node) -> Finding:
    """Run tests until one fails."""
    begin_s = time.process_time()
    witness = Witness()
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0", hunter.path]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = pytest.main(arguments, plugins=[witness])
    failure = witness.failure
    if failure is None and (code != 0 or witness.runs == 0):
        failure = ImportError(f"pytest ended with {code} after {witness.runs} tests of {hunter.path}")
    finding = build_finding(place, failure, seed=None, runs=witness.runs, begin_s=begin_s)
    return replace(finding, test=witness.test)


def build_finding(place: int, error: BaseException | None, *, seed: int | None, runs: int, begin_s: float) -> Finding:
    """Return what came of a hunter's hunt."""
    is_check = isinstance(error, AssertionError | ProtocolError | InvariantViolation | pytest.fail.Exception)
    ending = Ending.SILENT if error is None else Ending.NOTICED if is_check else Ending.BROKEN
    return Finding(
        place=place,
        ending=ending,
        seed=seed,
        test=None,
        runs=runs,
        seconds=time.process_time() - begin_s,
        error="" if error is None else type(error).__name__,
        message="" if error is None else " ".join(str(error).split()),
    )


def check_program(job: Job) -> None:
    """Check that this process runs the copy that it was started in, and that the copy is the mutant.

    Raises:
        ImportError: It does not.
    """
    here = Path.cwd()
    if not Path(str(protocol.__file__)).is_relative_to(here):
        raise ImportError(f"the core comes from {protocol.__file__}, not from {here}")
    if job.line not in [line.strip() for line in (here / job.path).read_text(encoding="utf-8").splitlines()]:
        raise ImportError(f"{job.path} is not the mutant")


def main(arguments: Sequence[str]) -> None:
    """Read a job, hunt, and write each finding as soon as it is there."""
    job_path, result_path = map(Path, arguments)
    job = read_job(job_path)
    check_program(job)
    resource.setrlimit(resource.RLIMIT_CPU, (job.seconds_max, job.seconds_max))
    with result_path.open("w", encoding="utf-8") as result:
        for finding in hunt(job):
            result.write(json.dumps(asdict(finding)) + "\n")
            result.flush()
            os.fsync(result.fileno())


if __name__ == "__main__":
    main(sys.argv[1:])
