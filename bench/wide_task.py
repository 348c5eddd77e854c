"""A task whose model is large and whose work is small, so that what is measured is the way of the weights."""

from typing import Final

import torch

from node.tasks import Task, TrainReport

_ROWS: Final = 8


class WideTask(Task):
    """One layer of ``width`` squared weights; training adds noise, and a score is what a few rows give."""

    def build_model(self) -> torch.nn.Module:
        width = int(self.context.get_parameter("width", 7_072))
        model = torch.nn.Linear(width, width, bias=False)
        with torch.no_grad():
            model.weight.normal_(generator=torch.Generator().manual_seed(1))
        return model

    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        generator = torch.Generator().manual_seed(round)
        with torch.no_grad():
            for parameter in model.parameters():
                for row in parameter:
                    row.add_(torch.randn(row.shape, generator=generator).to(device), alpha=0.01)
        return TrainReport(example_count=1, mean_loss=0.0)

    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        with torch.no_grad():
            width = next(model.parameters()).shape[1]
            rows = torch.randn((_ROWS, width), generator=torch.Generator().manual_seed(2))
            return float(model(rows.to(device)).sigmoid().mean())
