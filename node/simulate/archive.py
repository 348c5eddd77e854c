"""Results on disk: one JSON document for each run, so that a matrix that was stopped goes on where it was.

A document is named after the run and the digest of its whole plan, and says what code computed it; it appears when it
is whole.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from node.durable import save_file
from node.errors import ConfigError
from node.json_values import JsonObject, JsonValue, get_int, get_list, get_object, get_text
from node.simulate.matrix import Cell
from node.simulate.plan import SimulationPlan
from node.simulate.result import MemberKind, SimulationResult, build_summary

FORMAT_VERSION: Final = 1
RUNS_FOLDER: Final = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledRun:
    """What reports need of a run."""

    label: str
    code: str
    """What computed it (:mod:`node.simulate.provenance`); empty in files that do not say."""
    plan: JsonObject
    """The plan's fields."""
    summary: JsonObject
    """What ``--json`` prints."""
    proposer_count: int
    voter_count_max: int
    kinds: tuple[MemberKind, ...]
    stakes: tuple[tuple[int, ...], ...]
    """After each round, in micro-tokens, by member."""
    evicted: tuple[tuple[int, ...], ...]
    """After each round."""
    backdoor: float | None
    engine_s: float

    def get_number(self, name: str) -> float:
        """Return a number of the summary."""
        value = self.summary[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{name} of a run is no number")
        return float(value)

    def get_text(self, name: str) -> str:
        """Return a text of the summary."""
        return get_text(self.summary[name])

    @property
    def scores(self) -> tuple[float, ...]:
        """The model's score before the first round and after each."""
        later = [float(value) for value in get_list(self.summary["scores"]) if isinstance(value, int | float)]
        return (self.get_number("score_initial"), *later)


def get_path(directory: Path, cell: Cell) -> Path:
    """Return where a cell's result is filed."""
    plan = cell.plan
    defence = (plan.build_parameters().aggregation.name, plan.preset.name)
    words = (cell.label, plan.task, plan.attack, f"{plan.fraction:g}", *defence, str(plan.seed))
    name = re.sub(r"[^a-z0-9.]+", "-", "-".join(words).lower()).strip("-")
    digest = hashlib.sha256(json.dumps([cell.label, _describe(plan)], sort_keys=True).encode()).hexdigest()[:8]
    return directory / RUNS_FOLDER / f"{name}-{digest}.json"


def file_result(path: Path, cell: Cell, result: SimulationResult, *, code: str) -> None:
    """Write a result, and what computed it."""
    parameters = cell.plan.build_parameters()
    document: JsonObject = {
        "version": FORMAT_VERSION,
        "label": cell.label,
        "code": code,
        "plan": _describe(cell.plan),
        "summary": build_summary(result),
        "proposer_count": parameters.proposer_count,
        "voter_count_max": parameters.voter_count_max,
        "kinds": [kind.value for kind in result.kinds],
        "stakes": [list(entry.stakes) for entry in result.rounds],
        "evicted": [list(entry.evicted) for entry in result.rounds],
        "backdoor": result.backdoor,
        "engine_s": round(result.time.engine_s, 3),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(path, (json.dumps(document, separators=(",", ":")) + "\n").encode())


def load_run(path: Path) -> FiledRun | None:
    """Return a filed result, or None if there is none.

    Raises:
        ConfigError: The file is damaged.
    """
    try:
        document = get_object(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}): remove it, and the run is repeated") from error
    try:
        if document["version"] != FORMAT_VERSION:
            raise ValueError(f"version {document['version']}")
        backdoor, engine_s = document["backdoor"], document["engine_s"]
        return FiledRun(
            label=get_text(document["label"]),
            code=get_text(document.get("code", "")),
            plan=get_object(document["plan"]),
            summary=get_object(document["summary"]),
            proposer_count=get_int(document["proposer_count"]),
            voter_count_max=get_int(document["voter_count_max"]),
            kinds=tuple(MemberKind(get_text(kind)) for kind in get_list(document["kinds"])),
            stakes=_read_rows(document["stakes"]),
            evicted=_read_rows(document["evicted"]),
            backdoor=float(backdoor) if isinstance(backdoor, int | float) else None,
            engine_s=float(engine_s) if isinstance(engine_s, int | float) else 0.0,
        )
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path} is of another version ({error}): remove it, and the run is repeated") from error


def _read_rows(value: JsonValue) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(get_int(number) for number in get_list(row)) for row in get_list(value))


def _describe(plan: SimulationPlan) -> JsonObject:
    fields = asdict(plan)
    fields["preset"] = plan.preset.name.lower()
    fields["aggregation"] = None if plan.aggregation is None else plan.aggregation.name.lower()
    fields["ballots"] = None if plan.ballots is None else plan.ballots.value
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
