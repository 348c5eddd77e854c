"""Compares models on held-out data: ``python -m mortality.compare MODEL FILE...``.

MODEL is what ``pnyx model export`` wrote. Against it stand what each hospital gets alone, and what one would get who
had all files, both by the same training, 30 times over. Only who has all files can do this, as here in an example.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import load_file

from mortality.task import MortalityTask, Patients, predict
from node.tasks import TaskContext

CPU = torch.device("cpu")
ROUNDS = 30


def main(exported: Path, files: Sequence[Path]) -> None:
    """Print a line for each model, and a column for each hospital's held-out patients."""
    tasks = [open_task(file) for file in files]
    held_out = [task.held_out for task in tasks]
    federated = tasks[0].build_model()
    federated.load_state_dict(load_file(exported))
    models = {
        "untrained": tasks[0].build_model(),
        **{f"{file.stem} alone": train_alone(task) for file, task in zip(files, tasks, strict=True)},
        "federated": federated,
        "all data in one place": train_pooled(tasks),
    }
    print("AUROC on held-out patients: how often who died had a higher risk than who did not")
    print("\t".join(["model", *(file.stem for file in files), "all", "1 - Brier, all"]))
    for name, model in models.items():
        risks = [predict(model, part.inputs, device=CPU) for part in held_out]
        cells = [compute_auroc(risk, part.labels) for risk, part in zip(risks, held_out, strict=True)]
        all_risks, all_labels = torch.cat(risks), torch.cat([part.labels for part in held_out])
        brier = float((all_risks - all_labels).square().mean())
        cells += [compute_auroc(all_risks, all_labels), 1.0 - brier]
        print("\t".join([name, *(f"{cell:.3f}" for cell in cells)]))


def open_task(file: Path) -> MortalityTask:
    """Return a hospital's task, as its node would load it."""
    context = TaskContext(
        member_index=0,
        member_count=1,
        split="iid",
        seed=0,
        parameters=MappingProxyType({}),
        local=MappingProxyType({"data": str(file)}),
    )
    return MortalityTask(context)


def train_alone(task: MortalityTask) -> torch.nn.Module:
    """Return what a task's own data make of a new model."""
    model = task.build_model()
    for round_number in range(1, ROUNDS + 1):
        task.train(model, round=round_number, device=CPU)
    return model


def train_pooled(tasks: Sequence[MortalityTask]) -> torch.nn.Module:
    """Return what all training data together make of a new model."""
    columns = zip(*(task.training for task in tasks), strict=True)
    pooled = open_task(Path(tasks[0].context.get_local("data")))
    pooled.training = Patients(*(torch.cat(column) for column in columns))
    return train_alone(pooled)


def compute_auroc(risks: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the area under the ROC curve: the share of pairs, one died and one did not, in the right order."""
    dead, alive = risks[labels == 1.0], risks[labels == 0.0]
    differences = dead[:, None] - alive[None, :]
    return float(((differences > 0).double() + (differences == 0).double() / 2.0).mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(file) for file in sys.argv[2:]])
