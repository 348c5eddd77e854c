"""One round of a task without a network: does what a node would ask of it, and watches what would go wrong there.

What stops the round (a wrong tensor, NaN, a score out of range) comes out as the task's error. What only spoils rounds
comes out as findings.
"""

import hashlib
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from node.tasks.interface import Task, TaskError
from node.worker.artifacts import read_model, write_model, write_update
from node.worker.messages import Finding, Severity, TaskChecked
from node.worker.models import ModelTensors, describe_model
from protocol.learning.artifact_format import ModelSchema
from protocol.units import SCORE_WHOLE, Ppm

ROWS_MAX: Final = 100_000
"""Rows of training and of held-out data that are remembered, by their hashes."""
SAME_ROWS_SHARE: Final = 0.9
"""With so much of the held-out data seen in training, it is no held-out data."""
SOME_ROWS_SHARE: Final = 0.1
ROUND: Final = 1


@dataclass(slots=True)
class _Rows:
    """Hashes of the rows that went through a model."""

    seen: set[bytes] = field(default_factory=set)

    def note(self, _module: torch.nn.Module, inputs: tuple[object, ...]) -> None:
        """Take what the model is called with; the first axis counts examples."""
        for tensor in inputs:
            if isinstance(tensor, torch.Tensor) and tensor.dim() > 1:
                for row in tensor.detach().cpu():
                    if len(self.seen) >= ROWS_MAX:
                        return
                    self.seen.add(hashlib.blake2b(row.contiguous().numpy().tobytes(), digest_size=16).digest())


def check_task(task: Task, *, schema: ModelSchema, device: torch.device, folder: Path) -> TaskChecked:
    """Run one dry round.

    Args:
        task: Just loaded.
        schema: Of the model that it built first.
        device: Where to compute.
        folder: For the artifacts of the round.

    Raises:
        TaskError: A node could not do this round.
    """
    model = task.build_model().to(device)
    _check_shapes(schema, describe_model(model))
    findings: list[Finding] = []
    tensors = ModelTensors(model, schema)
    base = folder / "base"
    written = write_model(schema, base, tensors.get_tensor)
    held_out, training = _Rows(), _Rows()
    score_before, evaluate_ms = _evaluate(task, model, device, held_out)
    repeated, _ = _evaluate(task, model, device, held_out)
    if repeated != score_before:
        text = f"evaluate gave {score_before:.6f} and then {repeated:.6f} for the same model: it must not draw"
        findings.append(_error(text))
    started = time.monotonic()
    with _watch(model, training):
        report = task.train(model, round=ROUND, device=device)
    train_ms = round((time.monotonic() - started) * 1_000)
    if describe_model(model) != schema:
        raise TaskError("after training, the model has other tensors than before: train must change weights only")
    exponents = write_update(schema, base=base, update=folder / "update", get_tensor=tensors.get_tensor)
    if not _has_changed(tensors, base, schema):
        findings.append(_error("training changed no trainable tensor: does train work on the model that it is given?"))
    score_after, _ = _evaluate(task, model, device, held_out)
    if score_after <= score_before:
        change = f"{score_before:.4f} to {score_after:.4f}"
        findings.append(_warning(f"one round of training did not raise the score ({change})"))
    findings += _check_rows(training.seen, held_out.seen)
    if report.example_count < 1:
        findings.append(_warning(f"train reported {report.example_count} examples"))
    return TaskChecked(
        findings=tuple(findings),
        tensor_count=len(schema.tensors),
        trainable_count=len(exponents),
        model_bytes=written.size_bytes,
        example_count=max(report.example_count, 0),
        train_ms=train_ms,
        evaluate_ms=evaluate_ms,
        score_before=_to_ppm(score_before),
        score_after=_to_ppm(score_after),
    )


class _watch:  # noqa: N801 - reads as a statement: with _watch(model, rows)
    """Notes what a model is called with while the block runs."""

    def __init__(self, model: torch.nn.Module, rows: _Rows) -> None:
        self._handle = model.register_forward_pre_hook(rows.note)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_exception: object) -> None:
        self._handle.remove()


def _evaluate(task: Task, model: torch.nn.Module, device: torch.device, rows: _Rows) -> tuple[float, int]:
    """Return the score, and how long it took in milliseconds."""
    started = time.monotonic()
    with _watch(model, rows):
        score = float(task.evaluate(model, device=device))
    if math.isnan(score) or not 0.0 <= score <= 1.0:
        raise TaskError(f"evaluate returned {score}: a score is from 0 to 1")
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


def _check_rows(training: set[bytes], held_out: set[bytes]) -> list[Finding]:
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


def _to_ppm(score: float) -> Ppm:
    return Ppm(round(score * SCORE_WHOLE))


def _error(text: str) -> Finding:
    return Finding(severity=Severity.ERROR, text=text)


def _warning(text: str) -> Finding:
    return Finding(severity=Severity.WARNING, text=text)
