"""A dry round of a task in a worker of its own, as a node would run it, and what its network would say to the time."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import trio

from node.commands.common import print_note
from node.errors import ConfigError, WorkerFailed
from node.failures import raise_cause
from node.learner import LearnerSettings, TaskDescription, WorkerLearner, open_learner
from node.worker.messages import Finding, Severity, TaskChecked
from protocol.learning.artifact_format import ModelSchema
from protocol.parameters import Parameters, get_aggregation_choice
from protocol.units import Millis

_PATIENCE_MS: Final = 600_000
"""For all of a dry round but its training."""
_START_S: Final = 10.0
"""For the worker's start, before a check is called slow."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the network would leave time for; the parameters of the genesis document that have these names."""

    train_deadline_ms: int
    seal_deadline_ms: int
    proposer_count: int


async def run_dry_round(dry: Dry, pace: Pace) -> tuple[TaskChecked, list[Finding]]:
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
        timeout_request_ms=Millis(_PATIENCE_MS + 2 * pace.train_deadline_ms),
    )
    try:
        schema, checked = await _check(settings, pace)
    except WorkerFailed as error:
        raise ConfigError(f"the task {dry.task} cannot be used: {error}") from error
    findings = [*checked.findings, *_check_pace(checked, pace), *await _check_another_process(settings, schema)]
    return checked, sorted(findings, key=lambda finding: -finding.severity)


def _check_pace(checked: TaskChecked, pace: Pace) -> Iterator[Finding]:
    """Compare how long the work took with how long it may take."""
    took_ms, deadline_ms = checked.train_ms, pace.train_deadline_ms
    if took_ms > deadline_ms:
        text = f"training took {took_ms} ms, and the deadline is {deadline_ms} ms: every update would be late"
        yield Finding(severity=Severity.ERROR, text=text)
    elif took_ms > deadline_ms // 2:
        text = f"training took {took_ms} ms of the {deadline_ms} ms that there are, on this machine"
        yield Finding(severity=Severity.WARNING, text=text)
    # The candidate, its base, and the base moved by each update (F7, F8). What ruins the model makes each of them two.
    model_count, deadline_ms = pace.proposer_count + 2, pace.seal_deadline_ms
    took_ms = checked.evaluate_ms * model_count
    judging = f"one evaluation took {checked.evaluate_ms} ms, and a voter makes up to {model_count} of them"
    if took_ms > deadline_ms:
        text = f"{judging}, in {deadline_ms} ms: every ballot would be late"
        yield Finding(severity=Severity.ERROR, text=text)
    elif took_ms > deadline_ms // 2:
        yield Finding(severity=Severity.WARNING, text=f"{judging}, in the {deadline_ms} ms that there are")


async def _check(settings: LearnerSettings, pace: Pace) -> tuple[ModelSchema, TaskChecked]:
    with tempfile.TemporaryDirectory(prefix="pnyx-task-") as folder, raise_cause():
        async with open_learner(settings) as learner, trio.open_nursery() as nursery:
            nursery.start_soon(_tell_of_delay, pace)
            checked = await learner.check(folder=Path(folder))
            description = await _describe(learner)
            nursery.cancel_scope.cancel()
        return description.schema, checked
    raise AssertionError("raise_cause never swallows an error")


async def _tell_of_delay(pace: Pace) -> None:
    """Say once that whoever waits may stop waiting."""
    deadline_s = pace.train_deadline_ms / 1_000
    await trio.sleep(_START_S + deadline_s)
    print_note(f"still at it, though training has {deadline_s:g} s in a network: Ctrl-C ends the check")


async def _check_another_process(settings: LearnerSettings, schema: ModelSchema) -> list[Finding]:
    """Load the task once more: as another member, unless it was told of this member's own data."""
    own = settings.member_index
    other = own if settings.local else (own + 1) % settings.member_count
    try:
        with raise_cause():
            async with open_learner(replace(settings, member_index=other, schema=schema, launcher="")) as learner:
                await _describe(learner)
    except WorkerFailed as error:
        text = f"for member {other}, in a process of its own, it is not the task that it is for member {own}: {error}"
        return [Finding(severity=Severity.ERROR, text=text)]
    return []


async def _describe(learner: WorkerLearner) -> TaskDescription:
    with tempfile.TemporaryDirectory(prefix="pnyx-task-") as folder:
        return await learner.describe(initial_model=Path(folder) / "initial")
