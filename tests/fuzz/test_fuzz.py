"""Every target for a share of its search, the same on every run; `make fuzz` searches on (W1, W3, W5, W6, C15)."""

import platform
import sys
from pathlib import Path

import pytest

from tests.fuzz.campaign import run_target
from tests.fuzz.one import has_atheris
from tests.fuzz.table import TARGETS

TIMEOUT_S = 110
SEED = 1


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_a_stranger_sends_breaks_anything(name: str, tmp_path: Path) -> None:
    limits = ["--runs", str(TARGETS[name].runs), "--seed", str(SEED)]
    outcome = run_target(name, home=tmp_path, limits=limits, timeout_s=TIMEOUT_S)
    assert outcome.failure is None, outcome.describe()
    assert outcome.executions >= TARGETS[name].runs


def test_the_search_is_guided_where_it_can_be() -> None:
    """There are wheels of atheris for these machines, and the development environment asks for them."""
    has_wheel = sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 14)
    assert has_atheris() or not has_wheel


def test_a_search_without_guidance_runs_as_well(tmp_path: Path) -> None:
    outcome = run_target("wire", home=tmp_path, limits=["--runs", "300", "--blind"], timeout_s=TIMEOUT_S)
    assert (outcome.failure, outcome.executions, outcome.edges) == (None, 300, None)
