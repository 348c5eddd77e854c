"""The bounds that every input is held to, and what becomes of one that breaks them."""

import ast
from pathlib import Path

import pytest

from tests.fuzz.bounds import Guard, OverBudgetError
from tests.fuzz.campaign import read_outcome
from tests.fuzz.faults import FAULTS, Fault, spoil, try_fault
from tests.fuzz.regressions import HEX_BYTES_MAX, save_regression
from tests.fuzz.table import TARGETS
from tests.fuzz.target import MIB, Target


def make_target(*, cost_bytes: int = 0, rounds: int = 0) -> Target:
    def run(_data: bytes) -> None:
        assert len(bytes(cost_bytes)) == cost_bytes
        for _ in range(rounds):
            pass

    return Target(run=run, seeds=lambda: (b"",), mutate=lambda data, _: data, cpu_s=0.05, memory_bytes=MIB)


def test_an_input_that_costs_little_passes() -> None:
    Guard(make_target(cost_bytes=MIB // 2)).run(b"")


def test_an_input_that_costs_too_much_memory_fails() -> None:
    with pytest.raises(OverBudgetError, match="bytes of memory"):
        Guard(make_target(cost_bytes=2 * MIB)).run(b"")


def test_a_longer_input_may_cost_more_memory() -> None:
    Guard(make_target(cost_bytes=2 * MIB)).run(bytes(MIB))


def test_an_input_that_takes_too_long_fails() -> None:
    with pytest.raises(OverBudgetError, match="CPU"):
        Guard(make_target(rounds=10**12)).run(b"")


def test_what_the_search_prints_is_understood() -> None:
    log = "#7\tDONE   cov: 12 ft: 34 corp: 1/1b\nstat::number_of_executed_units: 56\nstat::average_exec_per_sec: 78\n"
    outcome = read_outcome("wire", code=0, log=log)
    assert (outcome.executions, outcome.rate, outcome.edges, outcome.features) == (56, 78, 12, 34)
    assert outcome.failure is None


def test_a_failure_names_the_command_that_repeats_it() -> None:
    log = "INFO: noise\nOops\nartifact_prefix='/f/'; Test unit written to /f/wire-x\n"
    outcome = read_outcome("wire", code=77, log=log)
    assert outcome.failure is not None
    assert outcome.failure.command == "python -m tests.fuzz --target wire --input /f/wire-x"
    assert "noise" not in outcome.failure.log


def test_a_search_that_prints_nothing_and_dies_is_a_failure() -> None:
    outcome = read_outcome("wire", code=-9, log="")
    assert outcome.failure is not None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("guidance", [[], ["--blind"]], ids=["guided", "blind"])
def test_the_search_finds_a_fault(tmp_path: Path, guidance: list[str]) -> None:
    """`python -m tests.fuzz.faults` tries them all."""
    fault = next(fault for fault in FAULTS if fault.target == "chunks")
    outcome, _ = try_fault(fault, limits=[*guidance, "--runs", "20000"], folder=tmp_path)
    assert outcome.failure is not None
    assert str(tmp_path) in outcome.failure.command


def test_every_target_has_a_fault_that_it_must_find() -> None:
    assert {fault.target for fault in FAULTS} == TARGETS.keys()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.target}: {fault.what}")
def test_a_fault_is_still_one_of_the_code(fault: Fault) -> None:
    """Whoever changes the line changes the table, or nothing would show that the target can fail."""
    ast.parse(spoil(fault))


def test_an_input_that_is_too_large_is_not_kept() -> None:
    with pytest.raises(ValueError, match="make the input smaller first"):
        save_regression("wire", "huge", bytes(HEX_BYTES_MAX))
