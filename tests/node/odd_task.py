"""A task of an institution's own, for tests: tiny, and as odd as its parameter ``mood`` says.

It trains oddly in round 1 only, and evaluates oddly what is not the initial model.
"""

import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import NoReturn

import torch

from node.tasks import Task, TaskContext, TrainReport


class OddModel(torch.nn.Module):
    """Trainable and frozen tensors, and a batch norm's float and integer buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(2, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.frozen = torch.nn.Linear(3, 1)
        for parameter in self.frozen.parameters():
            parameter.requires_grad = False
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.fill_(len(name) / 16.0)


_FAULTS = {
    "ValueError": ValueError("Input contains NaN"),
    "KeyError": KeyError("nan"),
    "MemoryError": MemoryError(),
    "OSError": OSError(5, "Input/output error"),
    "cuda": torch.OutOfMemoryError("CUDA out of memory"),
    "allocator": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    "SystemExit": SystemExit("the task wants to leave"),
}
"""What an evaluation may raise, by what the parameter ``score`` or ``moved_score`` says."""


class OddTask(Task):
    def build_model(self) -> torch.nn.Module:
        if self.context.get_parameter("mood", "") == "double":
            return OddModel().double()
        return OddModel()

    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.25)
        if round == 1:
            self._be_odd(model)
        return TrainReport(example_count=7, mean_loss=0.5)

    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        if self.context.get_parameter("mood", "") == "hang when moved" and not _is_initial(model):
            _hang(Path(self.context.get_parameter("sign", "")))
        if self.context.get_parameter("mood", "") == "raise when moved" and not _is_initial(model):
            raise _FAULTS["ValueError"]
        name = "score" if _is_initial(model) else "moved_score"
        answer = self.context.get_parameter(name, self.context.get_parameter("score", "0.5"))
        if answer in _FAULTS:
            raise _FAULTS[answer]
        return None if answer == "nothing" else float(answer)  # type: ignore[return-value]

    def _be_odd(self, model: torch.nn.Module) -> None:
        mood = self.context.get_parameter("mood", "")
        if mood == "raise":
            raise ValueError("no data\nfor \udcff you")
        if mood == "exit":
            sys.exit("the task wants to leave")
        if mood == "print":
            sys.stdout.write("noise" * 1_000)
            sys.stdout.flush()
            os.write(1, b"\xff" * 4_096)
        if mood == "diverge":
            with torch.no_grad():
                next(iter(model.parameters())).fill_(float("nan"))
        if mood == "die":
            os._exit(3)
        if mood == "hang":
            _hang(Path(self.context.get_parameter("sign", "")))
        if mood == "hold the lock":
            Path(self.context.get_parameter("sign", "")).touch()
            hold_the_lock()


class FileTask(OddTask):
    """Wants to be told where its data are."""

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        context.get_local("data")


def _is_initial(model: torch.nn.Module) -> bool:
    return torch.equal(next(model.parameters()), next(OddModel().parameters()))


def _hang(sign: Path) -> NoReturn:
    sign.touch()
    while True:
        threading.Event().wait(60.0)


def hold_the_lock() -> None:
    """Compute for minutes without ever letting another thread of this interpreter run."""
    ctypes.PyDLL(None).sleep(600)
