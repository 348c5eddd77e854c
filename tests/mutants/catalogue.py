"""All mutants, read from ``catalogue.toml`` beside this module."""

import tomllib
from pathlib import Path
from typing import Any, Final

from tests.mutants.mutant import Hunter, Mutant, Node, Seeds

CATALOGUE: Final = Path(__file__).with_name("catalogue.toml")


def load_mutants() -> tuple[Mutant, ...]:
    """Return the mutants in the order of the catalogue."""
    with CATALOGUE.open("rb") as file:
        return tuple(_read_mutant(entry) for entry in tomllib.load(file)["mutant"])


def _read_mutant(entry: dict[str, Any]) -> Mutant:
    return Mutant(
        name=entry["name"],
        rule=entry["rule"],
        path=entry["path"],
        old=entry["old"],
        new=entry["new"],
        hunters=tuple(_read_hunter(hunter) for hunter in entry["hunters"]),
    )


def _read_hunter(entry: dict[str, Any]) -> Hunter:
    if "scenario" in entry:
        return Seeds(scenario=entry["scenario"], count=entry["seeds"], shows=entry["shows"])
    return Node(path=entry["test"], shows=entry["shows"])


MUTANTS: Final = load_mutants()
