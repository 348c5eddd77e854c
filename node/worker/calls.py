"""Calls of a task's methods, which hold what comes back to what the interface promises."""

import math

import torch

from node.tasks.interface import Task, TaskError, TrainReport


def call_train(task: Task, model: torch.nn.Module, *, round_number: int, device: torch.device) -> TrainReport:
    """Train a model in place.

    Raises:
        TaskError: The task reported nothing.
    """
    report: object = task.train(model, round=round_number, device=device)
    if not isinstance(report, TrainReport):
        raise TaskError(f"train returned {_describe(report)}: it ends with return TrainReport(...)")
    return report


def call_evaluate(task: Task, model: torch.nn.Module, device: torch.device) -> float:
    """Return a model's score, from 0 to 1.

    Raises:
        TaskError: It is outside [0, 1], NaN, or no number.
    """
    returned: object = task.evaluate(model, device=device)
    try:
        score = float(returned)  # type: ignore[arg-type]  # whatever it is, it may know how to become a number
    except (TypeError, ValueError, RuntimeError) as error:
        raise TaskError(f"evaluate returned {_describe(returned)}: a score is one number from 0 to 1") from error
    if math.isnan(score) or not 0.0 <= score <= 1.0:
        raise TaskError(f"evaluate returned {score}: a score is from 0 to 1")
    return score


def _describe(returned: object) -> str:
    return "nothing" if returned is None else f"a {type(returned).__name__}"
