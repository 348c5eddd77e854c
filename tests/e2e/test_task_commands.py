"""`pnyx task new` and `pnyx task check`, as somebody uses them who writes a task of their own."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.networks import run_command, run_json
from tests.tidiness import ROOT, iterate_modules

GUIDE = ROOT / "docs/guides/tasks.md"

BAD_TASK = """
import time

import torch

from node.tasks import Task, TrainReport


class BadTask(Task):
    def __init__(self, context):
        super().__init__(context)
        self.fault = context.get_parameter("fault", "")
        self.built_count = 0
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(60, 2, generator=generator)
        self.labels = (self.inputs[:, 0] > 0).float()

    def build_model(self):
        self.built_count += 1
        width = {"shape": self.built_count, "member": 1 + self.context.member_index}.get(self.fault, 1)
        return torch.nn.Linear(2, width)

    def train(self, model, *, round, device):
        if self.fault == "hang":
            time.sleep(1_000)
        if self.fault == "slow":
            time.sleep(0.5)
        factor = float("nan") if self.fault == "nan" else 1.0
        part = slice(0, None) if self.fault == "same data" else slice(20, None)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(self.inputs[part])[:, 0], self.labels[part])
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(factor * parameter.grad)
        return TrainReport(example_count=40, mean_loss=loss.item())

    def evaluate(self, model, *, device):
        if self.fault == "slow judge":
            time.sleep(0.2)
        with torch.no_grad():
            risks = model(self.inputs[:20])[:, 0].sigmoid()
        score = float(1.0 - (risks - self.labels[:20]).square().mean())
        return 100.0 * score if self.fault == "range" else score
"""


async def test_a_new_task_is_good_as_it_is_made_and_can_found_a_network(tmp_path: Path) -> None:
    made = await run_command("task", "new", "my_ward", "--directory", str(tmp_path))
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "my_ward"
    assert made.stdout.strip() == str(folder)
    checked = await run_json("task", "check", "my_ward:MyWardTask", "--task-path", str(folder))
    assert (checked["ok"], checked["findings"]) == (True, [])
    created = await run_command(
        "testnet", "create", str(tmp_path / "net"), "--nodes", "2", "--task", "my_ward:MyWardTask", "--task-path",
        str(folder),
    )  # fmt: skip
    assert created.returncode == 0, created.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "exit_code", "message"),
    [
        ("none", 0, "good"),
        ("shape", 64, "build_model gives other tensors each time, first in weight"),
        ("nan", 64, "NaN or infinity in the trained model"),
        ("range", 64, "a score is from 0 to 1"),
        ("same data", 1, "ERROR    100% of the held-out data are training data"),
        ("slow", 1, "the deadline is 400 ms: every update would be late"),
        ("slow judge", 1, "a voter makes up to 5 of them, in 900 ms: every ballot would be late"),
        ("member", 1, "ERROR    for member 1, in a process of its own, it is not the task that it is for member 0"),
    ],
)
async def test_a_check_names_what_is_wrong_with_a_task(
    tmp_path: Path, fault: str, exit_code: int, message: str
) -> None:
    (tmp_path / "bad_task.py").write_text(BAD_TASK)
    pace = {
        "slow": ("--train-deadline-ms", "400"),
        "slow judge": ("--seal-deadline-ms", "900", "--proposers", "3"),
    }
    ended = await run_command(
        "task", "check", "bad_task:BadTask", "--task-path", str(tmp_path), "--param", f"fault={fault}",
        *pace.get(fault, ()),
    )  # fmt: skip
    assert ended.returncode == exit_code, ended.stderr
    assert message in (ended.stdout if exit_code < 2 else ended.stderr)
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_who_waits_for_a_training_that_never_ends_is_told_and_can_stop(tmp_path: Path) -> None:
    (tmp_path / "bad_task.py").write_text(BAD_TASK)
    command = ("task", "check", "bad_task:BadTask", "--task-path", str(tmp_path), "--param", "fault=hang")
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *command, "--train-deadline-ms", "500"], stderr=subprocess.PIPE, text=True
    ) as checking:
        assert checking.stderr is not None
        assert "training has 0.5 s in a network: Ctrl-C ends the check" in checking.stderr.readline()
        checking.send_signal(signal.SIGINT)
        checking.communicate(timeout=20.0)
    assert checking.returncode == 130


async def test_the_task_in_the_guide_has_twenty_lines_and_is_good(tmp_path: Path) -> None:
    first = re.search(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert first is not None
    assert len([line for line in first[1].splitlines() if line.strip()]) <= 20
    (tmp_path / "twenty.py").write_text(first[1])
    checked = await run_json("task", "check", "twenty:Digits", "--task-path", str(tmp_path))
    assert (checked["ok"], checked["findings"]) == (True, [])


def test_the_guide_quotes_what_the_check_says() -> None:
    quoted = re.findall(r"^\|[^|]*\|[^|`]*`([^`]+)` \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(quoted) == 12
    said = "".join(path.read_text(encoding="utf-8") for path in iterate_modules("node", "protocol"))
    assert [message for message in quoted if message not in said] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("task", "check", "nothing"), "unknown task 'nothing'"),
        (("task", "check", "nothing:At"), "install its package first, or put it into the home, or"),
        (("task", "check", "node.tasks.digits:Nothing"), "node.tasks.digits has no class Nothing"),
        (("task", "check", "digits", "--param", "passes=0"), "passes = 0: from 1 to 10000"),
        (("task", "check", "digits", "--member", "4"), "give 0 to 3"),
        (("task", "check", "digits", "--device", "gpu"), '--device: device: "cpu", "cuda"'),
        (("task", "check", "digits", "--device", "cuda:99"), 'device = "cuda:99": torch'),
        (("task", "check", "digits", "--launcher", "torchrum -n 2"), "there is no program torchrum: install it"),
        (("task", "check", "digits", "--launcher", "torchrun '"), "is no command: no closing quotation"),
        (("task", "new", "My-Ward"), "is no name for a package"),
    ],
)
async def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    ended = await run_command(*arguments)
    assert ended.returncode == 64
    assert message in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
