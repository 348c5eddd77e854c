"""A dry round of a task in a worker of its own, as a node would run it, and what its network would say to the time."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import ConfigError, WorkerFailed
from node.failures import raise_cause
from node.learner import LearnerSettings, open_learner
from node.worker.messages import Finding, Severity, TaskChecked
from protocol.parameters import Parameters, get_aggregation_choice
from protocol.units import Millis

_PATIENCE_MS: Final = 600_000
"""For all of a dry round but its training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dry:
    """What is tried."""

    task: str
    parameters: tuple[tuple[str, str], ...]
    member_index: int
    member_count: int
    device: str
    launcher: str
    local: tuple[tuple[str, str], ...]
    search_paths: tuple[Path, ...]


async def run_dry_round(dry: Dry, deadline_ms: int) -> tuple[TaskChecked, list[Finding]]:
    """Return how the round went, and everything that speaks against the task.

    Raises:
        ConfigError: The task cannot be loaded, or a node could not do the round.
    """
    settings = LearnerSettings(
        task=dry.task,
        parameters=dry.parameters,
        member_index=dry.member_index,
        member_count=dry.member_count,
        aggregation=get_aggregation_choice(Parameters()),
        schema=None,
        device=dry.device,
        launcher=dry.launcher,
        local=dry.local,
        search_paths=dry.search_paths,
        # A training that is twice too slow is still measured.
        timeout_request_ms=Millis(_PATIENCE_MS + 2 * deadline_ms),
    )
    checked = await _check(settings)
    findings = list(checked.findings)
    if checked.train_ms > deadline_ms:
        text = f"training took {checked.train_ms} ms, and the deadline is {deadline_ms} ms: every update would be late"
        findings.append(Finding(severity=Severity.ERROR, text=text))
    elif checked.train_ms > deadline_ms // 2:
        text = f"training took {checked.train_ms} ms of the {deadline_ms} ms that there are, on this machine"
        findings.append(Finding(severity=Severity.WARNING, text=text))
    return checked, sorted(findings, key=lambda finding: -finding.severity)


async def _check(settings: LearnerSettings) -> TaskChecked:
    with tempfile.TemporaryDirectory(prefix="pnyx-task-") as folder:
        try:
            with raise_cause():
                async with open_learner(settings) as learner:
                    return await learner.check(folder=Path(folder))
        except WorkerFailed as error:
            raise ConfigError(f"the task {settings.task} cannot be used: {error}") from error
    raise AssertionError("raise_cause never swallows an error")
