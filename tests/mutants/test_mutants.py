"""The catalogue fits the program, and a share of the mutants is hunted; ``make mutants`` hunts all."""

import re
from pathlib import Path

import pytest

from tests.mutants.campaign import Verdict, hunt_all, open_ground
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, Node, Seeds, find_line
from tests.mutants.report import describe_catch
from tests.mutants.scratch import ROOT
from tests.sim.scenarios import SCENARIOS

SPEC = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/spec").glob("*.md")))
QUICK = ("quorum-at-two-thirds", "own-votes-not-tallied", "votes-before-witnesses", "mix-not-folded", "convicted-twice")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_fits_the_program_and_names_a_rule(mutant: Mutant) -> None:
    source = (ROOT / mutant.path).read_text(encoding="utf-8")
    find_line(mutant, source)
    assert mutant.new != mutant.old
    assert f"**{mutant.rule}.**" in SPEC
    for hunter in mutant.hunters:
        re.compile(hunter.shows)
        match hunter:
            case Seeds(scenario=scenario):
                assert scenario in SCENARIOS
            case Node(path=path):
                assert (ROOT / Path(path.split("::")[0])).is_file()


def test_the_names_are_distinct_and_the_list_is_long() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) > 15


@pytest.mark.timeout(600)
def test_a_share_of_the_mutants_is_caught() -> None:
    chosen = [mutant for mutant in MUTANTS if mutant.name in QUICK]
    assert len(chosen) == len(QUICK)
    with open_ground() as ground:
        outcomes = hunt_all(ground, chosen, 2, lambda _outcome: None)
    assert {outcome.mutant.name: outcome.verdict for outcome in outcomes} == dict.fromkeys(QUICK, Verdict.CAUGHT)
    for outcome in outcomes:
        match outcome.hunter:
            case Seeds(scenario=scenario):
                assert describe_catch(outcome) == f"scenario {scenario}, seed {outcome.seed}"
            case Node(path=path):
                assert f"tests/{describe_catch(outcome)}".startswith(f"{path}::test_")
            case None:
                pytest.fail(f"{outcome.mutant.name} was caught by nobody")
