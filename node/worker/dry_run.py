"""One round of a task without a network: does what a node would ask of it, and watches what would go wrong there.

What stops the round (a wrong tensor, NaN, a score out of range) comes out as the task's error. What only spoils rounds
comes out as findings.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from node.tasks.interface import Task, TaskError
from node.worker.artifacts import aggregate_artifacts, read_model, write_update
from node.worker.calls import call_evaluate, call_train
from node.worker.crew import Crew
from node.worker.messages import Finding, Severity, TaskChecked, TrainModel
from node.worker.models import ModelTensors, describe_model, write_initial_model
from node.worker.traces import Rows, Trace, load_trace, make_trace, watch
from protocol.aggregation.fixed_point import NotFiniteError
from protocol.learning.artifact_format import ModelSchema
from protocol.parameters import AggregationChoice
from protocol.units import SCORE_WHOLE, Ppm

SAME_ROWS_SHARE: Final = 0.9
"""With so much of the held-out data seen in training, it is no held-out data."""
SOME_ROWS_SHARE: Final = 0.1
ROUND: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is tried."""

    task: Task
    """Just loaded."""
    schema: ModelSchema
    """Of the model that it built first."""
    device: torch.device
    aggregation: AggregationChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """What came of the training."""

    example_count: int
    train_ms: int
    traces: tuple[Trace, ...]
    """One of each process that trained."""


def check_task(subject: Subject, *, folder: Path, crew: Crew | None = None) -> TaskChecked:
    """Run one dry round.

    Args:
        subject: What is tried.
        folder: For the artifacts of the round.
        crew: Trains, if there is a launcher; else this process does.

    Raises:
        TaskError: A node could not do this round.
    """
    task, schema = subject.task, subject.schema
    model = task.build_model().to(subject.device)
    _check_shapes(schema, describe_model(model))
    findings: list[Finding] = []
    tensors = ModelTensors(model, schema)
    base = folder / "base"
    written = write_initial_model(schema, base, tensors)
    held_out = Rows()
    score_before, evaluate_ms = _evaluate(subject, model, held_out)
    repeated, _ = _evaluate(subject, model, held_out)
    if repeated != score_before:
        text = f"evaluate gave {score_before:.6f} and then {repeated:.6f} for the same model: it must not draw"
        findings.append(_error(text))
    trained = _train(subject, model) if crew is None else _train_together(subject, model, folder, crew)
    try:
        exponents = write_update(schema, base=base, update=folder / "update", get_tensor=tensors.get_tensor)
    except NotFiniteError as error:
        raise TaskError(str(error)) from error
    if not _has_changed(tensors, base, schema):
        findings.append(_error("training changed no trainable tensor: does train work on the model that it is given?"))
    score_after, _ = _evaluate(subject, model, held_out)
    if score_after <= score_before:
        change = f"{score_before:.4f} to {score_after:.4f}"
        findings.append(_warning(f"one round of training did not raise the score ({change})"))
    findings += _check_rows(frozenset().union(*(trace.rows for trace in trained.traces)), held_out.seen)
    findings += check_ranks(trained.traces)
    if trained.example_count < 1:
        findings.append(_warning(f"train reported {trained.example_count} examples"))
    return TaskChecked(
        findings=tuple(findings),
        tensor_count=len(schema.tensors),
        trainable_count=len(exponents),
        model_bytes=written.size_bytes,
        example_count=max(trained.example_count, 0),
        train_ms=trained.train_ms,
        evaluate_ms=evaluate_ms,
        score_before=_to_ppm(score_before),
        score_after=_to_ppm(score_after),
    )


def _train(subject: Subject, model: torch.nn.Module) -> _Trained:
    """Train in this process."""
    started = time.monotonic()
    rows = Rows()
    with watch(model, rows):
        report = call_train(subject.task, model, round_number=ROUND, device=subject.device)
    train_ms = round((time.monotonic() - started) * 1_000)
    if describe_model(model) != subject.schema:
        raise TaskError("after training, the model has other tensors than before: train must change weights only")
    trace = make_trace(rows, ModelTensors(model, subject.schema), subject.schema)
    return _Trained(example_count=report.example_count, train_ms=train_ms, traces=(trace,))


def _train_together(subject: Subject, model: torch.nn.Module, folder: Path, crew: Crew) -> _Trained:
    """Train in the ranks, and give the model what the network would see of it."""
    base, update, candidate, trace = (str(folder / name) for name in ("base", "ranks-update", "candidate", "trace"))
    started = time.monotonic()
    reply = crew.train(TrainModel(round_number=ROUND, base=base, update=update, trace=trace))
    train_ms = round((time.monotonic() - started) * 1_000)
    aggregate_artifacts(
        subject.schema,
        subject.aggregation,
        base=Path(base),
        updates=[(Path(update), reply.scale_exponents)],
        candidate=Path(candidate),
    )
    read_model(subject.schema, Path(candidate), ModelTensors(model, subject.schema).put_slice)
    traces = tuple(load_trace(Path(f"{trace}{rank}")) for rank in range(crew.get_rank_count()))
    return _Trained(example_count=reply.example_count, train_ms=train_ms, traces=traces)


def _evaluate(subject: Subject, model: torch.nn.Module, rows: Rows) -> tuple[float, int]:
    """Return the score, and how long it took in milliseconds."""
    started = time.monotonic()
    with watch(model, rows):
        score = call_evaluate(subject.task, model, subject.device)
    return score, round((time.monotonic() - started) * 1_000)


def _check_shapes(first: ModelSchema, second: ModelSchema) -> None:
    if first == second:
        return
    pairs = zip(first.tensors, second.tensors, strict=False)
    name = next((ours.name for ours, theirs in pairs if ours != theirs), "their number")
    raise TaskError(f"build_model gives other tensors each time, first in {name}: all members must build the same")


def _has_changed(tensors: ModelTensors, base: Path, schema: ModelSchema) -> bool:
    """Return whether any trainable tensor differs from the base."""
    trainable = {spec.name for spec in schema.tensors if spec.is_trainable}
    changed: list[bool] = []

    def compare(name: str, start: int, weights: NDArray[np.float32]) -> None:
        if name in trainable:
            now = tensors.get_tensor(name)[start : start + weights.shape[0]]
            changed.append(not np.array_equal(now, weights))

    read_model(schema, base, compare)
    return any(changed)


def _check_rows(training: frozenset[bytes], held_out: set[bytes]) -> list[Finding]:
    """Compare what the model was called with in training and in evaluation.

    Data that are changed at random on the way, or that go to a part of the model only, are not recognized.
    """
    if not training or not held_out:
        return []
    share = len(training & held_out) / len(held_out)
    if share >= SAME_ROWS_SHARE:
        return [_error(f"{share:.0%} of the held-out data are training data: the score says nothing about new cases")]
    if share >= SOME_ROWS_SHARE:
        return [_warning(f"{share:.0%} of the held-out data also occur in training")]
    return []


def check_ranks(traces: Sequence[Trace]) -> list[Finding]:
    """Compare what the processes that train together trained on, and to what."""
    first, findings = traces[0], []
    if any(trace.weights != first.weights for trace in traces):
        text = "the ranks end with different weights, and only rank 0's count: average their gradients, as"
        findings.append(_warning(f"{text} torch.nn.parallel.DistributedDataParallel does"))
    if len(traces) > 1 and first.rows and all(trace.rows == first.rows for trace in traces):
        text = f"all {len(traces)} ranks train on the same examples: give each its share, by"
        findings.append(_warning(f"{text} torch.distributed.get_rank(), or leave launcher empty"))
    return findings


def _to_ppm(score: float) -> Ppm:
    return Ppm(round(score * SCORE_WHOLE))


def _error(text: str) -> Finding:
    return Finding(severity=Severity.ERROR, text=text)


def _warning(text: str) -> Finding:
    return Finding(severity=Severity.WARNING, text=text)
