"""A task for several ranks, for tests: one step of gradient descent, each rank on its share of four examples.

The parameter ``mood`` says what rank 1 does instead: in round 1 its first word, in round 2 its second.
"""

import os
import time
from pathlib import Path

import torch
import torch.distributed

from node.tasks import Task, TaskError, TrainReport
from tests.node.odd_task import hold_the_lock

INPUTS = (1.0, 2.0, 3.0, 4.0)
TARGETS = (2.0, 1.0, 7.0, 3.0)
RATE = 0.01


def compute_step(inputs: tuple[float, ...], targets: tuple[float, ...]) -> float:
    """Return the weight after one step from 0 on the mean squared error."""
    return RATE * sum(2 * x * y for x, y in zip(inputs, targets, strict=True)) / len(inputs)


class JointTask(Task):
    def build_model(self) -> torch.nn.Module:
        model = torch.nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            model.weight.zero_()
        if self._get_mood() == "unready" and torch.distributed.is_initialized():
            raise TaskError("no data for a rank")
        return model

    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        rank, rank_count = torch.distributed.get_rank(), torch.distributed.get_world_size()
        if rank == 1:
            self._be_odd(round)
        inputs = torch.tensor(INPUTS[rank::rank_count]).unsqueeze(1)
        targets = torch.tensor(TARGETS[rank::rank_count]).unsqueeze(1)
        is_alone = self._get_mood() == "alone"
        trained = model if is_alone else torch.nn.parallel.DistributedDataParallel(model)
        loss = torch.nn.functional.mse_loss(trained(inputs), targets)
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.sub_(parameter.grad, alpha=RATE)
                parameter.grad = None
        count = torch.tensor(len(inputs))
        torch.distributed.all_reduce(count)
        return TrainReport(example_count=int(count), mean_loss=loss.item())

    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        assert not torch.distributed.is_initialized()
        with torch.no_grad():
            inputs, targets = (torch.tensor(column).unsqueeze(1) for column in ((5.0, 6.0), (5.0, 6.0)))
            return float(1.0 / (1.0 + torch.nn.functional.mse_loss(model(inputs), targets)))

    def _get_mood(self) -> str:
        return self.context.get_parameter("mood", "")

    def _be_odd(self, round: int) -> None:
        match dict(enumerate(self._get_mood().split(), start=1)).get(round):
            case "raise":
                raise ValueError("a broken scan")
            case "die":
                os._exit(3)
            case "hang":
                self._write_sign()
                time.sleep(600.0)
            case "hold_the_lock":
                self._write_sign()
                hold_the_lock()
            case _:
                return

    def _write_sign(self) -> None:
        Path(self.context.get_local("sign")).touch()
