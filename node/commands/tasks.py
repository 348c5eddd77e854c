"""Commands for who writes a task of their own: a scaffold, and a dry round."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.commands.common import JsonOption, LocalOption, format_bytes, print_json, print_line, print_note, quiet_logs

if TYPE_CHECKING:
    from node.json_values import JsonObject
    from node.worker.messages import TaskChecked

EXIT_FAILED_CHECK: Final = 1

_PROJECT: Final = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{package}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["pnyx", "torch", "scikit-learn"]

[project.entry-points."pnyx.tasks"]
{package} = "{package}:{class_name}"

[tool.setuptools]
py-modules = ["{package}"]
"""

_MODULE: Final = '''\
"""A task for pnyx: what this institution trains, and on what. Only the worker imports it."""

import torch
from sklearn.datasets import load_digits

from node.tasks import Task, TrainReport


class {class_name}(Task):
    """Handwritten digits, to begin with: put your own model and data in their place, then `pnyx task check`."""

    def __init__(self, context):
        super().__init__(context)
        # Each member reads its own data here, say from context.get_local("data"). These are dealt out instead.
        data = load_digits()
        mine = slice(context.member_index, None, context.member_count)
        inputs = torch.tensor(data.data[mine] / 16, dtype=torch.float32)
        labels = torch.tensor(data.target[mine])
        held_out = len(inputs) // 4
        self.training = (inputs[held_out:], labels[held_out:])
        self.held_out = (inputs[:held_out], labels[:held_out])

    def build_model(self):
        torch.manual_seed(self.context.seed)
        return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))

    def train(self, model, *, round, device):
        inputs, labels = (tensor.to(device) for tensor in self.training)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(round))
        for batch in order.split(16):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs[batch]), labels[batch])
            loss.backward()
            optimizer.step()
        return TrainReport(example_count=len(inputs), mean_loss=float(loss.detach()))

    def evaluate(self, model, *, device):
        inputs, labels = (tensor.to(device) for tensor in self.held_out)
        with torch.no_grad():
            probabilities = model(inputs).softmax(dim=1)
        # 1 minus half the Brier score: in [0, 1], and it moves with every improvement.
        target = torch.nn.functional.one_hot(labels, 10)
        return float(1 - ((probabilities - target) ** 2).sum(dim=1).mean() / 2)
'''


def new(
    name: Annotated[str, typer.Argument(help="The package's name: small letters, digits and _.")],
    directory: Annotated[Path, typer.Option("--directory", help="Where its folder is made.", file_okay=False)] = Path(),
) -> None:
    """Make a package with a task that works, to put an own model and own data into."""
    from node.durable import save_file
    from node.errors import ConfigError

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise ConfigError(f"{name!r} is no name for a package: small letters, digits and _, beginning with a letter")
    folder = directory / name
    if folder.exists():
        raise ConfigError(f"{folder} exists: choose another name, or remove it")
    class_name = "".join(part.capitalize() for part in name.split("_")) + "Task"
    folder.mkdir(parents=True)
    save_file(folder / f"{name}.py", _MODULE.format(class_name=class_name).encode())
    save_file(folder / "pyproject.toml", _PROJECT.format(package=name, class_name=class_name).encode())
    print_line(str(folder))
    print_note(f"try it: pnyx task check {name}:{class_name} --task-path {folder}; install it: pip install -e {folder}")


def check(
    task: Annotated[str, typer.Argument(help="A bundled task, an entry point's name, or module:Class.")],
    param: Annotated[
        list[str] | None, typer.Option("--param", help="A task parameter key=value; may be repeated.")
    ] = None,
    task_path: Annotated[list[Path] | None, typer.Option("--task-path", help="Folder of an own task's module.")] = None,
    member: Annotated[int, typer.Option("--member", min=0, help="Which member's part of dealt data, from 0.")] = 0,
    members: Annotated[int, typer.Option("--members", min=2, help="How many founders there would be.")] = 4,
    train_deadline_ms: Annotated[int, typer.Option(min=1, help="The network's train_deadline_ms.")] = 60_000,
    seal_deadline_ms: Annotated[int, typer.Option(min=1, help="The network's seal_deadline_ms.")] = 60_000,
    proposers: Annotated[int, typer.Option(min=1, help="How many members would train in a round.")] = 2,
    local: LocalOption = None,
    device: Annotated[str, typer.Option("--device", help='As in config.toml: "cpu", "cuda".')] = "cpu",
    launcher: Annotated[
        str, typer.Option("--launcher", help='As in config.toml: "torchrun --nproc-per-node 2".')
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Run one dry round of a task and name what is wrong with it; the exit code is 1 if it cannot be used so."""
    import trio

    from node.commands.dry_round import Dry, Pace, run_dry_round
    from node.config import read_setting
    from node.errors import ConfigError
    from node.founding import parse_pairs
    from node.worker.messages import Severity

    quiet_logs()
    if member >= members:
        raise ConfigError(f"--member {member}: with --members {members} give 0 to {members - 1}")
    dry = Dry(
        task=task,
        parameters=tuple(sorted(parse_pairs(param or ()).items())),
        member_index=member,
        member_count=members,
        device=str(read_setting("device", device, "--device")),
        launcher=str(read_setting("launcher", launcher, "--launcher")),
        local=tuple(sorted(parse_pairs(local or ()).items())),
        search_paths=tuple(task_path or ()),
    )
    pace = Pace(
        train_deadline_ms=train_deadline_ms, seal_deadline_ms=seal_deadline_ms, proposer_count=proposers
    )
    checked, findings = trio.run(run_dry_round, dry, pace)
    is_good = all(finding.severity is not Severity.ERROR for finding in findings)
    if as_json:
        described = _describe(checked)
        described["findings"] = [{"severity": entry.severity.name.lower(), "text": entry.text} for entry in findings]
        print_json({"ok": is_good, **described})
    else:
        _print(checked)
        for finding in findings:
            print_line(f"{finding.severity.name:<8} {finding.text}")
        print_line("good" if is_good else "not good: correct what is marked ERROR")
    if not is_good:
        raise typer.Exit(EXIT_FAILED_CHECK)


def _describe(checked: "TaskChecked") -> "JsonObject":
    return {
        "tensors": checked.tensor_count,
        "trainable": checked.trainable_count,
        "model_bytes": checked.model_bytes,
        "examples": checked.example_count,
        "train_ms": checked.train_ms,
        "evaluate_ms": checked.evaluate_ms,
        "score_before": checked.score_before,
        "score_after": checked.score_after,
    }


def _print(checked: "TaskChecked") -> None:
    print_line(
        f"model    {checked.tensor_count} tensors, {checked.trainable_count} trainable,"
        f" {format_bytes(checked.model_bytes)}"
    )
    print_line(f"train    {checked.example_count} examples in {checked.train_ms / 1_000:.1f} s")
    before, after = checked.score_before / 1_000_000, checked.score_after / 1_000_000
    print_line(f"score    {before:.4f} before, {after:.4f} after, measured in {checked.evaluate_ms / 1_000:.1f} s")
