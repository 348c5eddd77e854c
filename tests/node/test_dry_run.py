"""A dry round names what is wrong with a task; a task that is right passes."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from node.tasks import Task, TrainReport
from node.tasks.interface import TaskContext, TaskError
from node.worker.dry_run import Subject, check_task
from node.worker.messages import Severity, TaskChecked
from node.worker.models import describe_model
from protocol.parameters import Parameters, get_aggregation_choice

CONTEXT = TaskContext(member_index=0, member_count=2, split="iid", seed=1, parameters=MappingProxyType({}))
CPU = torch.device("cpu")
AGGREGATION = get_aggregation_choice(Parameters())


class LineTask(Task):
    """Learns which half of the plane a point is in."""

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        generator = torch.Generator().manual_seed(1)
        inputs = torch.randn(200, 2, generator=generator)
        labels = (inputs[:, 0] > 0).float()
        self.training, self.held_out = (inputs[:150], labels[:150]), (inputs[150:], labels[150:])
        self.built_count = 0

    def build_model(self) -> torch.nn.Module:
        self.built_count += 1
        torch.manual_seed(7)
        return torch.nn.Linear(2, 1)

    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        inputs, labels = self.training
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(50):
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(inputs)[:, 0], labels)
            loss.backward()
            optimizer.step()
        return TrainReport(example_count=len(inputs), mean_loss=0.0)

    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        inputs, labels = self.held_out
        with torch.no_grad():
            right = (model(inputs)[:, 0] > 0) == (labels > 0)
        return float(right.float().mean())


class ShapeTask(LineTask):
    def build_model(self) -> torch.nn.Module:
        self.built_count += 1
        return torch.nn.Linear(2, self.built_count)


class NanTask(LineTask):
    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(float("nan"))
        return TrainReport(example_count=1, mean_loss=0.0)


class RangeTask(LineTask):
    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        return 1.5


class NanScoreTask(LineTask):
    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        return float("nan")


class NoScoreTask(LineTask):
    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        return None  # type: ignore[return-value]  # as a task does that forgets to


class NoReportTask(LineTask):
    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        return None  # type: ignore[return-value]  # as a task does that forgets to


class NanModelTask(LineTask):
    def build_model(self) -> torch.nn.Module:
        model = super().build_model()
        with torch.no_grad():
            next(model.parameters()).fill_(float("nan"))
        return model


class DrawingTask(LineTask):
    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        return float(torch.rand(1))


class LazyTask(LineTask):
    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        return super().train(self.build_model(), round=round, device=device)


class SameDataTask(LineTask):
    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self.held_out = tuple(part[:50] for part in self.training)  # type: ignore[assignment]  # of two, as it was


class SomeSameDataTask(LineTask):
    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        pairs = zip(self.training, self.held_out, strict=True)
        self.held_out = tuple(torch.cat([ours[:20], theirs]) for ours, theirs in pairs)  # type: ignore[assignment]


class BackwardsTask(LineTask):
    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        return 1.0 - super().evaluate(model, device=device)


class GrowingTask(LineTask):
    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        assert isinstance(model, torch.nn.Linear)
        model.extra = torch.nn.Parameter(torch.zeros(3))
        return TrainReport(example_count=1, mean_loss=0.0)


def check(task_class: Callable[[TaskContext], Task], folder: Path) -> TaskChecked:
    task = task_class(CONTEXT)
    subject = Subject(task=task, schema=describe_model(task.build_model()), device=CPU, aggregation=AGGREGATION)
    return check_task(subject, folder=folder)


def test_a_task_that_is_right_has_no_findings(tmp_path: Path) -> None:
    checked = check(LineTask, tmp_path)
    assert checked.findings == ()
    assert (checked.tensor_count, checked.trainable_count, checked.example_count) == (2, 2, 150)
    assert checked.score_after > checked.score_before


@pytest.mark.parametrize(
    ("task_class", "message"),
    [
        (ShapeTask, "build_model gives other tensors each time, first in weight"),
        (NanTask, "NaN or infinity in the trained model"),
        (RangeTask, "evaluate returned 1.5: a score is from 0 to 1"),
        (NanScoreTask, "evaluate returned nan"),
        (NoScoreTask, "evaluate returned nothing: a score is one number from 0 to 1"),
        (NoReportTask, "train returned nothing"),
        (NanModelTask, "NaN or infinity in tensor weight, as build_model makes it"),
        (GrowingTask, "other tensors than before"),
    ],
)
def test_what_a_node_could_not_do_is_an_error(
    task_class: Callable[[TaskContext], Task], message: str, tmp_path: Path
) -> None:
    with pytest.raises(TaskError, match=message):
        check(task_class, tmp_path)


@pytest.mark.parametrize(
    ("task_class", "severity", "text"),
    [
        (DrawingTask, Severity.ERROR, "for the same model"),
        (LazyTask, Severity.ERROR, "changed no trainable tensor"),
        (SameDataTask, Severity.ERROR, "100% of the held-out data are training data"),
        (SomeSameDataTask, Severity.WARNING, "29% of the held-out data also occur in training"),
        (BackwardsTask, Severity.WARNING, "did not raise the score"),
    ],
)
def test_what_would_spoil_rounds_is_a_finding(
    task_class: Callable[[TaskContext], Task], severity: Severity, text: str, tmp_path: Path
) -> None:
    findings = check(task_class, tmp_path).findings
    assert any(finding.severity is severity and text in finding.text for finding in findings), findings
