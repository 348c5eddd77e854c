"""A model's score, and what it means that a task gives none (F7, F8).

A task may raise, or answer NaN, because the model is ruined or because its own data are. Who ruins a model must not
keep voters from judging it, and nobody is to blame for a voter's data. The model's base tells which of the two it is.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Final

import torch

from node.tasks.interface import Task, TaskError
from node.worker.calls import call_evaluate
from protocol.units import SCORE_WHOLE, Ppm

_SHORTAGES: Final = ("can't allocate memory", "ALLOC_FAILED")
"""What torch's plain RuntimeErrors say of a lack of memory: on the CPU, and in the libraries of a GPU."""


class NoScore(Exception):
    """A task gives no score of a model, and no lack of memory or disk is to blame; the message says what it did."""


def compute_score_ppm(task: Task, model: torch.nn.Module, device: torch.device) -> Ppm:
    """Return a model's score in parts per million (F7).

    Raises:
        NoScore: The task raised, gave no number, or one outside [0, 1].
        MemoryError: There is no memory left; torch has classes of its own for it.
        OSError: A file cannot be read.
    """
    with _task_errors():
        return Ppm(round(call_evaluate(task, model, device) * SCORE_WHOLE))


def compute_score_beside_base(
    task: Task, model: torch.nn.Module, device: torch.device, *, put_base: Callable[[NoScore], None]
) -> Ppm:
    """Return a model's score as above; none is as bad as can be if its base has one.

    Args:
        task: Scores the model, and then perhaps the base.
        model: Holds the weights to score.
        device: Where to compute.
        put_base: Called if the model has no score, and told why: puts the base's weights in the place of its own.

    Raises:
        NoScore: The base has none either, so that the task or its data are to blame.
        MemoryError: As above.
        OSError: As above.
    """
    try:
        return compute_score_ppm(task, model, device)
    except NoScore as error:
        put_base(error)
    # Only here has what the failed evaluation held in memory been let go.
    compute_score_ppm(task, model, device)
    return Ppm(0)


class _task_errors:  # noqa: N801 - reads as a statement: with _task_errors()
    """Turn whatever a task raises into NoScore, but for a shortage; who wants to end the process passes."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TaskError):
            raise NoScore(str(error)) from error
        if isinstance(error, Exception) and not _is_shortage(error):
            raise NoScore(f"evaluate raised {type(error).__name__}: {error}") from error


def _is_shortage(error: Exception) -> bool:
    """Return whether this machine has too little of something, whatever the model is."""
    if isinstance(error, MemoryError | OSError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SHORTAGES)
