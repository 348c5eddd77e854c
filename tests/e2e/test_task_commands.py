"""`pnyx task new` and `pnyx task check`, as somebody uses them who writes a task of their own."""

import json
from pathlib import Path

import pytest

from node.json_values import get_list, get_object
from tests.e2e.networks import run_command, run_json


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


async def test_a_task_that_is_too_slow_for_the_deadline_is_told(tmp_path: Path) -> None:
    ended = await run_command("task", "check", "digits", "--train-deadline-ms", "1", "--json")
    assert ended.returncode == 1
    report = get_object(json.loads(ended.stdout))
    assert report["ok"] is False
    texts = [str(get_object(finding)["text"]) for finding in get_list(report["findings"])]
    assert any("the deadline is 1 ms: every update would be late" in text for text in texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("task", "check", "nothing"), "unknown task 'nothing'"),
        (("task", "check", "nothing:At"), "install its package first"),
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
