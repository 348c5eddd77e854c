"""Every input that ever found a fault, once more."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.regressions import FOLDER, iterate_regressions
from tests.fuzz.table import TARGETS

ROOT = Path(__file__).parents[2]
NAMES = sorted({regression.target for regression in iterate_regressions()})


def test_every_folder_of_regressions_is_a_target() -> None:
    assert {path.name for path in FOLDER.iterdir()} <= TARGETS.keys()


@pytest.mark.parametrize("name", NAMES)
def test_what_once_failed_holds(name: str) -> None:
    """W1: in a process of its own, as the targets change what their process is like."""
    command = [sys.executable, "-m", "tests.fuzz", "--target", name, "--regressions"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
