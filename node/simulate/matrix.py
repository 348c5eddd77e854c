"""Many simulations from one TOML file: every combination of what it lists.

Each ``[[runs]]`` table names arguments of ``pnyx simulate`` without the dashes; a list stands for one run for each of
its values, and what ``[defaults]`` says holds where a table says nothing. ``label`` names the table in reports, and
``aggregation``, ``proposers`` and so on may be left out. An attack with ``fraction = 0`` is a run without attackers.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from node.attacks import BallotKind
from node.errors import ConfigError
from node.json_documents import suggest
from node.simulate.plan import SimulationPlan, check_plan
from node.toml_documents import parse_toml
from protocol.parameters import AggregationRule, Preset

RUNS_MAX: Final = 10_000
_MANY: Final = frozenset({"param", "set"})
"""Keys whose value is a list by itself; a list of lists stands for several values."""

_FIELDS: Final[Mapping[str, tuple[str, type]]] = {
    "nodes": ("node_count", int),
    "rounds": ("round_count", int),
    "task": ("task", str),
    "param": ("task_params", list),
    "split": ("split", str),
    "attack": ("attack", str),
    "ballots": ("ballots", str),
    "strength": ("strength", float),
    "fraction": ("fraction", float),
    "aggregation": ("aggregation", str),
    "preset": ("preset", str),
    "proposers": ("proposer_count", int),
    "voters": ("voter_count_max", int),
    "set": ("settings", list),
    "seed": ("seed", int),
}
"""Each key, the plan's field that it sets, and its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of a matrix."""

    label: str
    """The name of its table, for reports."""
    plan: SimulationPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """All runs of one file."""

    title: str
    cells: tuple[Cell, ...]


def load_matrix(path: Path) -> Matrix:
    """Read a matrix.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    document = parse_toml(text, where=str(path))
    unknown = sorted(document.keys() - {"title", "defaults", "runs"})
    if unknown:
        raise ConfigError(f"{path}: unknown key {unknown[0]!r}; there are title, [defaults] and [[runs]]")
    defaults, tables = document.get("defaults", {}), document.get("runs", [])
    if not isinstance(defaults, dict) or not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path}: [defaults] is a table and [[runs]] are tables, at least one")
    listed: list[_Combinations] = []
    for number, table in enumerate(tables, start=1):
        where = f"{path}, runs {number}"
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: a table is expected")
        listed.append(_read_table({**defaults, **table}, where=where))
    count = sum(math.prod(len(values) for values in table.choices) for table in listed)
    if count > RUNS_MAX:
        raise ConfigError(f"{path}: {count} combinations, at most {RUNS_MAX} are supported")
    distinct = dict.fromkeys(cell for table in listed for cell in _expand(table))
    return Matrix(title=str(document.get("title", path.stem)), cells=tuple(distinct))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Combinations:
    """What one table lists."""

    label: str
    choices: list[list[tuple[str, object]]]
    """For each key, each of its values."""
    where: str
    """For errors."""


def _expand(table: _Combinations) -> list[Cell]:
    plans = [_build_plan(dict(chosen), where=table.where) for chosen in itertools.product(*table.choices)]
    return [Cell(label=table.label, plan=plan) for plan in plans]


def _read_table(table: dict[str, object], *, where: str) -> _Combinations:
    label = table.pop("label", "")
    if not isinstance(label, str):
        raise ConfigError(f"{where}: label is text")
    choices: list[list[tuple[str, object]]] = []
    for key, value in table.items():
        if key not in _FIELDS:
            raise ConfigError(f"{where}: unknown key {key!r}{suggest(key, _FIELDS)}")
        is_several = isinstance(value, list) and (key not in _MANY or (value != [] and isinstance(value[0], list)))
        values = value if isinstance(value, list) and is_several else [value]
        choices.append([(key, entry) for entry in values])
    return _Combinations(label=label, choices=choices, where=where)


def _build_plan(chosen: dict[str, object], *, where: str) -> SimulationPlan:
    changes: dict[str, object] = {}
    for key, value in chosen.items():
        field, kind = _FIELDS[key]
        changes[field] = _read(key, value, kind, where=where)
    plan = replace(SimulationPlan(), **changes)  # type: ignore[arg-type]  # names and types are checked
    if plan.fraction == 0.0 and "fraction" in chosen:
        # One and the same run, whatever nobody does; that nobody does it must be said.
        plan = replace(plan, attack="none", strength=None, ballots=None)
    try:
        check_plan(plan)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return plan


def _read(key: str, value: object, kind: type, *, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where}: {key} = {value!r:.60}, {kind.__name__} is expected")
    if isinstance(value, list):
        if not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{where}: {key} is a list of texts, each key=value")
        return tuple(value)
    enums = {"aggregation": AggregationRule, "preset": Preset}
    if key in enums:
        names = [entry.name.lower() for entry in enums[key]]
        if value not in names:
            raise ConfigError(f"{where}: {key} = {value!r}{suggest(str(value), names)}, one of {', '.join(names)}")
        return enums[key][str(value).upper()]
    if key == "ballots":
        try:
            return BallotKind(str(value))
        except ValueError:
            raise ConfigError(f"{where}: ballots = {value!r}, one of {', '.join(BallotKind)}") from None
    return value
