"""The check of the worker: whether the task can be loaded on the configured device. The worker alone imports torch."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from node.doctor.daemon import DaemonFacts
from node.doctor.findings import Finding, fail, ok
from node.errors import ConfigError, WorkerFailed
from node.failures import raise_cause
from node.learner import LearnerSettings, open_learner


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """What became of loading the task."""

    task: str
    device: str
    failure: str = ""
    """Why it cannot be loaded; empty if it can."""
    worker_pid: int | None = None
    """The daemon's own worker, if that is the answer."""


async def gather_worker(settings: LearnerSettings, daemon: DaemonFacts) -> WorkerFacts:
    """Load the task in a worker of its own, unless the daemon has one: two may be more than a device holds."""
    if daemon.worker_pid is not None:
        return WorkerFacts(task=settings.task, device=settings.device, worker_pid=daemon.worker_pid)
    # A task's module may lie in the home, and Python would leave its compiled form there.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    failure = ""
    with tempfile.TemporaryDirectory(prefix="pnyx-doctor-") as folder:
        try:
            with raise_cause():
                async with open_learner(settings, log_path=Path(folder) / "worker.log") as learner:
                    await learner.describe(initial_model=Path(folder) / "model")
        except (WorkerFailed, ConfigError) as error:
            failure = str(error).removeprefix("LoadTask: ")
    return WorkerFacts(task=settings.task, device=settings.device, failure=failure)


def check_worker(facts: WorkerFacts) -> Finding:
    """Judge what became of loading the task."""
    if facts.worker_pid is not None:
        return ok("worker", f"the daemon's worker runs as process {facts.worker_pid}")
    if facts.failure:
        return fail(
            "worker",
            f"the task {facts.task} cannot be used on device {facts.device} ({facts.failure}): install what it needs,"
            " or correct device in config.toml; until then this member is silent in every round",
        )
    return ok("worker", f"the task {facts.task} can be loaded on device {facts.device}")
