"""What a mutant is: one line of the program, changed so that a rule breaks, and who must notice.

A mutant names the line that it replaces by its text. The text must occur exactly once in its file, so that a mutant
that a refactoring has made meaningless is an error, and not a mutant that nobody hunts any more.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


class MutantDoesNotFit(Exception):
    """The line that a mutant replaces is not there exactly once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """A hunter: a scenario of the simulator's tier A, with one seed after the other."""

    scenario: str
    count: int
    """The seeds are 0 to this number less one, in this order."""
    shows: str
    """A regular expression for what the failure must say: any other failure is no catch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A hunter: one test, or one module of tests, by its pytest node id."""

    path: str
    shows: str
    """As above; the text of an assertion is the one that pytest makes of it."""


Hunter: TypeAlias = Seeds | Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One line, changed."""

    name: str
    rule: str
    """The rule of docs/spec that it breaks."""
    path: str
    """Of the file, from the project's root."""
    old: str
    """The line as it is, without its indentation."""
    new: str
    """What stands there instead."""
    hunters: tuple[Hunter, ...]
    """In the order in which they hunt; the first that notices has caught it."""


def describe_hunter(hunter: Hunter) -> str:
    """Return how a table names a hunter."""
    match hunter:
        case Seeds(scenario=scenario):
            return f"scenario {scenario}"
        case Node(path=path):
            return path.removeprefix("tests/")


def is_simulator(hunter: Hunter) -> bool:
    """Return whether a hunter runs whole networks, and not a part of the core by itself."""
    return isinstance(hunter, Seeds) or hunter.path.startswith("tests/sim/")


def find_line(mutant: Mutant, source: str) -> int:
    """Return the index of the line that a mutant replaces.

    Raises:
        MutantDoesNotFit: It is not there, or more than once.
    """
    places = [index for index, line in enumerate(source.splitlines()) if line.strip() == mutant.old]
    if len(places) != 1:
        raise MutantDoesNotFit(f"{mutant.name}: {mutant.path} has {len(places)} lines {mutant.old!r}, not one")
    return places[0]


def mutate_source(mutant: Mutant, source: str) -> str:
    """Return a source with one line changed; errors as :func:`find_line`."""
    place = find_line(mutant, source)
    lines = source.splitlines(keepends=True)
    lines[place] = lines[place].replace(mutant.old, mutant.new)
    return "".join(lines)


def mutate_file(root: Path, mutant: Mutant) -> None:
    """Change one line of a copy of the program; errors as :func:`find_line`."""
    path = root / mutant.path
    path.write_text(mutate_source(mutant, path.read_text(encoding="utf-8")), encoding="utf-8")
