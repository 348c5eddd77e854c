"""Every target for a share of its search, the same on every run; `make fuzz` searches on (W1, W3, W5, W6, C15)."""

import platform
import sys
from pathlib import Path

import pytest

from tests.fuzz.campaign import build_share_limits, run_target
from tests.fuzz.one import has_atheris
from tests.fuzz.table import TARGETS

TIMEOUT_S = 570
"""No part of the search: a share takes seconds, and one that gets stuck fails."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_a_stranger_sends_breaks_anything(name: str, tmp_path: Path) -> None:
    outcome = run_target(name, home=tmp_path, limits=build_share_limits(name), timeout_s=TIMEOUT_S)
    assert outcome.failure is None, outcome.describe()
    assert outcome.executions == TARGETS[name].runs


@pytest.mark.parametrize("name", ["admission", "pipe", "rows"])
def test_a_share_is_the_same_inputs_on_every_run(name: str, tmp_path: Path) -> None:
    """With guidance these three differ from run to run."""
    limits = [*build_share_limits(name), "--runs", "300"]
    first, second = (
        run_target(name, home=tmp_path / home, limits=limits, timeout_s=TIMEOUT_S) for home in ("first", "second")
    )
    assert (first.executions, first.inputs) == (300, second.inputs)
    assert first.inputs is not None


def test_another_seed_gives_other_inputs(tmp_path: Path) -> None:
    limits = ["--blind", "--runs", "300"]
    first, second = (
        run_target("wire", home=tmp_path, limits=[*limits, "--seed", seed], timeout_s=TIMEOUT_S) for seed in "12"
    )
    assert first.inputs != second.inputs


def test_the_search_is_guided_where_it_can_be() -> None:
    """There are wheels of atheris for these machines, and the development environment asks for them."""
    has_wheel = sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 14)
    assert has_atheris() or not has_wheel


def test_a_search_without_guidance_runs_as_well(tmp_path: Path) -> None:
    outcome = run_target("wire", home=tmp_path, limits=["--runs", "300", "--blind"], timeout_s=TIMEOUT_S)
    assert (outcome.failure, outcome.executions, outcome.edges) == (None, 300, None)
