"""Which applications for credit go bad: the model, and how a bank trains and scores it on its own file.

A bank's file is a CSV with one application a line. Where it lies is the bank's own business: the setting ``data`` in
the table ``[task]`` of its node's config.toml.
"""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import torch

from node.tasks import Task, TaskContext, TaskError, TrainReport


class Scale(NamedTuple):
    """How a number becomes about as large as 1; the same for all banks, so that no bank's statistics are shared."""

    centre: float
    width: float
    is_log: bool = False
    has_gaps: bool = False
    """Whether a second input tells that the number is missing."""


NUMBERS = {
    "Seniority": Scale(5.0, 8.2),
    "Time": Scale(48.0, 15.0),
    "Age": Scale(36.0, 11.0),
    "Expenses": Scale(51.0, 20.0),
    "Income": Scale(120.0, 81.0, has_gaps=True),
    "Assets": Scale(8.0, 4.2, is_log=True, has_gaps=True),
    "Debt": Scale(0.0, 2.7, is_log=True),
    "Amount": Scale(1_000.0, 470.0),
    "Price": Scale(1_400.0, 630.0),
}
CHOICES = {
    "Home": ("owner", "rent", "parents", "priv", "other"),
    "Marital": ("married", "single", "separated", "widow", "divorced"),
    "Records": ("yes",),
    "Job": ("fixed", "freelance", "partime", "others"),
}
INPUT_COUNT = sum(1 + scale.has_gaps for scale in NUMBERS.values()) + sum(map(len, CHOICES.values()))
FAR = 5.0
"""Inputs are cut there: a single odd entry must not outweigh everything."""

HIDDEN_UNITS = 16
BATCH = 16
LEARNING_RATE = 0.05


class Applications(NamedTuple):
    """Some applications for credit."""

    inputs: torch.Tensor
    """float32 [applications, INPUT_COUNT]."""
    labels: torch.Tensor
    """float32 [applications]: 1 is a bad credit."""


class CreditRiskTask(Task):
    """A small network, trained on this bank's applications but every fourth, which it scores models on."""

    def __init__(self, context: TaskContext) -> None:
        """Read this bank's file."""
        super().__init__(context)
        context.check_parameter_names(frozenset())
        self.training, self.held_out = read_applications(Path(context.get_local("data")))

    def build_model(self) -> torch.nn.Module:
        """Return the network; its one output is the log of the odds that the credit goes bad."""
        torch.manual_seed(self.context.seed)
        hidden = torch.nn.Linear(INPUT_COUNT, HIDDEN_UNITS)
        return torch.nn.Sequential(hidden, torch.nn.ReLU(), torch.nn.Linear(HIDDEN_UNITS, 1))

    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        """Go through the training data once, by plain stochastic gradient descent."""
        inputs, labels = (tensor.to(device) for tensor in self.training)
        weights = list(model.parameters())
        losses = []
        for batch in torch.randperm(len(labels), generator=torch.Generator().manual_seed(round)).split(BATCH):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(inputs[batch])[:, 0], labels[batch])
            # torch.optim.SGD does the same, and takes seconds to import in every worker.
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight.data.sub_(gradient, alpha=LEARNING_RATE)
            losses.append(loss.item())
        return TrainReport(example_count=len(labels), mean_loss=sum(losses) / len(losses))

    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        """Return 1 minus the Brier score: the mean squared distance of the predicted risk from what happened."""
        risks = predict(model, self.held_out.inputs, device=device)
        return 1.0 - float((risks - self.held_out.labels).square().mean())


def predict(model: torch.nn.Module, inputs: torch.Tensor, *, device: torch.device) -> torch.Tensor:
    """Return the risk of each application, float32 [applications] from 0 to 1, on the CPU."""
    with torch.no_grad():
        risks: torch.Tensor = model(inputs.to(device))[:, 0].sigmoid().cpu()
    return risks


def read_applications(path: Path) -> tuple[Applications, Applications]:
    """Return a file's applications for training and those held out: the ones whose number is a multiple of 4.

    So an application stays on its side when the file grows.

    Raises:
        TaskError: The file cannot be read, or a line is wrong; the message says which.
    """
    sides: tuple[list[list[float]], list[list[float]]] = ([], [])
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = {"application", "Status", *NUMBERS, *CHOICES}.difference(reader.fieldnames or ())
            if missing:
                raise TaskError(f"{path} has no column {', '.join(sorted(missing))}")
            for row in reader:
                try:
                    is_held_out = int(row["application"]) % 4 == 0
                    sides[is_held_out].append([*encode(row), float(row["Status"] == "bad")])
                except ValueError as error:
                    raise TaskError(f"{path}, line {reader.line_num}: {error}") from error
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror}; correct data below [task] in config.toml") from error
    if not all(sides):
        raise TaskError(f"{path} holds too few applications: some must be held out, and some not")
    training, held_out = (torch.tensor(side) for side in sides)
    return Applications(training[:, :-1], training[:, -1]), Applications(held_out[:, :-1], held_out[:, -1])


def encode(row: dict[str, str]) -> list[float]:
    """Return a line's inputs.

    Raises:
        ValueError: A number is none.
    """
    inputs = []
    for name, scale in NUMBERS.items():
        is_missing = row[name] == ""
        value = scale.centre if is_missing else float(row[name])
        if scale.is_log and not is_missing:
            value = math.log1p(value)
        inputs.append(min(max((value - scale.centre) / scale.width, -FAR), FAR))
        if scale.has_gaps:
            inputs.append(float(is_missing))
    return inputs + [float(row[name] == value) for name, values in CHOICES.items() for value in values]
