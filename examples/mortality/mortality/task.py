"""Which seriously ill patients die within 180 days: the model, and how a hospital trains and scores it on its own file.

A hospital's file is a CSV with one patient a line. Where it lies is the hospital's own business: the setting ``data``
in the table ``[task]`` of its node's config.toml. The columns are what is known on the third day in hospital; what was
known or decided only later, and anything derived from the outcome, is not read even if the file has it.
"""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import torch

from node.tasks import Task, TaskContext, TaskError, TrainReport


class Scale(NamedTuple):
    """How a number becomes about as large as 1; the same everywhere, so that no hospital's statistics are shared."""

    centre: float
    width: float
    is_log: bool = False
    has_gaps: bool = False
    """Whether a second input tells that the number is missing."""


NUMBERS = {
    "age": Scale(65.0, 16.0),
    "other_diseases": Scale(2.0, 1.3),
    "coma_score": Scale(0.0, 1.6, is_log=True),
    "blood_pressure": Scale(77.0, 28.0),
    "white_blood_cells": Scale(2.5, 0.64, is_log=True, has_gaps=True),
    "heart_rate": Scale(100.0, 32.0),
    "breath_rate": Scale(24.0, 9.6),
    "temperature": Scale(37.0, 1.3),
    "oxygen_ratio": Scale(220.0, 110.0, has_gaps=True),
    "albumin": Scale(1.4, 0.21, is_log=True, has_gaps=True),
    "bilirubin": Scale(0.64, 0.71, is_log=True, has_gaps=True),
    "creatinine": Scale(0.79, 0.42, is_log=True),
    "sodium": Scale(140.0, 6.0),
    "acidity": Scale(7.4, 0.081, has_gaps=True),
}
CHOICES = {
    "sex": ("female",),
    "diabetes": ("1",),
    "dementia": ("1",),
    "cancer": ("yes", "metastatic"),
    "disease": (
        *("ARF/MOSF w/Sepsis", "CHF", "COPD", "Lung Cancer", "MOSF w/Malig", "Coma", "Colon Cancer"),
        "Cirrhosis",
    ),
}
INPUT_COUNT = sum(1 + scale.has_gaps for scale in NUMBERS.values()) + sum(map(len, CHOICES.values()))
FAR = 5.0
"""Inputs are cut there: a single odd entry must not outweigh everything."""

BATCH = 32
LEARNING_RATE = 0.02


class Patients(NamedTuple):
    """Some patients."""

    inputs: torch.Tensor
    """float32 [patients, INPUT_COUNT]."""
    labels: torch.Tensor
    """float32 [patients]: 1 died within 180 days."""


class MortalityTask(Task):
    """A logistic regression, trained on this hospital's patients but every fourth, on whom it scores models."""

    def __init__(self, context: TaskContext) -> None:
        """Read this hospital's file."""
        super().__init__(context)
        context.check_parameter_names(frozenset())
        self.training, self.held_out = read_patients(Path(context.get_local("data")))

    def build_model(self) -> torch.nn.Module:
        """Return the regression, which at first knows nothing; its output is the log of the odds of death."""
        model = torch.nn.Linear(INPUT_COUNT, 1)
        torch.nn.init.zeros_(model.weight)
        torch.nn.init.zeros_(model.bias)
        return model

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
    """Return each patient's risk of death, float32 [patients] from 0 to 1, on the CPU."""
    with torch.no_grad():
        risks: torch.Tensor = model(inputs.to(device))[:, 0].sigmoid().cpu()
    return risks


def read_patients(path: Path) -> tuple[Patients, Patients]:
    """Return a file's patients for training and those held out: the ones whose number is a multiple of 4.

    So a patient stays on one side when the file grows.

    Raises:
        TaskError: The file cannot be read, or a line is wrong; the message says which.
    """
    sides: tuple[list[list[float]], list[list[float]]] = ([], [])
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = {"patient", "died", *NUMBERS, *CHOICES}.difference(reader.fieldnames or ())
            if missing:
                raise TaskError(f"{path} has no column {', '.join(sorted(missing))}")
            for row in reader:
                try:
                    is_held_out = int(row["patient"]) % 4 == 0
                    sides[is_held_out].append([*encode(row), float(row["died"])])
                except ValueError as error:
                    raise TaskError(f"{path}, line {reader.line_num}: {error}") from error
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror}; correct data below [task] in config.toml") from error
    if not all(sides):
        raise TaskError(f"{path} holds too few patients: some must be held out, and some not")
    training, held_out = (torch.tensor(side) for side in sides)
    return Patients(training[:, :-1], training[:, -1]), Patients(held_out[:, :-1], held_out[:, -1])


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
