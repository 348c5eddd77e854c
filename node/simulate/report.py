"""Tables of a matrix's results, in Markdown: means over seeds, with the spread."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeAlias

from node.json_values import JsonValue
from node.simulate.archive import FiledRun


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Group:
    """What runs that differ in nothing but the seed have in common."""

    label: str
    task: str
    split: str
    attack: str
    fraction: float
    preset: str
    rule: str
    nodes: int
    variant: str = ""
    """What else tells it from others of the same label, in the words of a matrix; nothing where nothing else does."""


_VARIED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "strength": "strength",
        "ballots": "ballots",
        "proposer_count": "proposers",
        "voter_count_max": "voters",
        "round_count": "rounds",
        "task_params": "param",
        "settings": "set",
    }
)
"""The plan's fields that a variant may name, and their words."""

_LAST_ROUNDS: Final = 10
"""Where updates are joined without a gate, one round more or less can mean a good or a bad model."""

Groups: TypeAlias = dict[Group, list[FiledRun]]


def get_group(run: FiledRun) -> Group:
    """Return the group of a run."""
    return Group(
        label=run.label,
        task=run.get_text("task"),
        split=run.get_text("split"),
        attack=run.get_text("attack"),
        fraction=run.get_number("fraction"),
        preset=run.get_text("preset"),
        rule=run.get_text("aggregation"),
        nodes=len(run.kinds),
    )


def group_runs(runs: Sequence[FiledRun]) -> Groups:
    """Return the runs by group, sorted."""
    alike: Groups = {}
    for run in sorted(runs, key=lambda run: (get_group(run), run.get_number("seed"))):
        alike.setdefault(get_group(run), []).append(run)
    groups: Groups = {}
    for group, members in alike.items():
        varied = [name for name in _VARIED if any(run.plan.get(name) != members[0].plan.get(name) for run in members)]
        for run in members:
            words = (_describe_choice(_VARIED[name], run.plan.get(name)) for name in varied)
            groups.setdefault(replace(group, variant=", ".join(filter(None, words))), []).append(run)
    return dict(sorted(groups.items()))


def format_report(title: str, runs: Sequence[FiledRun], *, stale_count: int = 0) -> str:
    """Return the whole report.

    Args:
        title: Of the matrix.
        runs: All of it.
        stale_count: How many of them other code computed.
    """
    stale = f"{stale_count} of them are of other code than the one that wrote this report (`--keep-filed`)."
    groups = group_runs(runs)
    seeds = sorted({int(run.get_number("seed")) for run in runs})
    lines = [
        f"# {title}",
        "",
        f"{len(runs)} runs of `pnyx simulate`, seeds {', '.join(map(str, seeds))}. Scores are the mean of the honest"
        " members' scores on their own held-out data; of several seeds the mean, and in brackets the lowest and the"
        " highest.",
        *(["", stale] if stale_count else []),
        "",
        *_format_table(groups),
    ]
    return "\n".join(lines) + "\n"


def format_spread(values: Sequence[float], digits: int) -> str:
    """Return the mean, and the lowest and highest value if they differ."""
    mean, low, high = (f"{value:.{digits}f}" for value in (sum(values) / len(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


def describe_group(group: Group) -> str:
    """Return the name of what defends: the label, or preset and rule; then the variant."""
    name = group.label or f"{group.preset}, {group.rule}"
    return f"{name}, {group.variant}" if group.variant else name


def _describe_choice(word: str, value: JsonValue) -> str:
    """Return a plan's value in the words of a matrix, or nothing where it leaves the choice to others."""
    values = value if isinstance(value, list) else [value]
    texts = [f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in values if entry is not None]
    return f"{word} {' '.join(texts)}" if texts else ""


def compute_exhaustion_round(run: FiledRun) -> int | None:
    """Return after which round no malicious member could be drawn any more; None if some still can."""
    malicious = {index for index, kind in enumerate(run.kinds) if kind.value == "malicious"}
    for number, evicted in enumerate(run.evicted, start=1):
        if malicious <= set(evicted):
            return number
    return None


def _format_table(groups: Groups) -> list[str]:
    header = (
        "members",
        "data",
        "attack",
        "fraction",
        "defence",
        "score before",
        "score after",
        "lowest of the last ten",
        "rounds rejected",
        "malicious evicted",
        "all out after round",
        "honest evicted",
        "back door",
    )
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for group, runs in groups.items():
        cells = (
            str(group.nodes),
            f"{group.task}, {group.split}",
            group.attack,
            f"{group.fraction:g}",
            describe_group(group),
            _format_of(runs, "score_initial", 3),
            _format_of(runs, "score_final", 3),
            format_spread([min(run.scores[-_LAST_ROUNDS:]) for run in runs], 3),
            _format_of(runs, "rounds_rejected", 1),
            f"{_format_of(runs, 'evicted_malicious', 1)} of {runs[0].get_number('malicious'):.0f}",
            _format_exhaustion(runs),
            f"{_format_of(runs, 'evicted_honest', 1)} of {runs[0].get_number('honest'):.0f}",
            _format_backdoor(runs),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _format_of(runs: Sequence[FiledRun], name: str, digits: int) -> str:
    return format_spread([run.get_number(name) for run in runs], digits)


def _format_exhaustion(runs: Sequence[FiledRun]) -> str:
    if not runs[0].get_number("malicious"):
        return "-"
    rounds = [number for run in runs if (number := compute_exhaustion_round(run)) is not None]
    if not rounds:
        return "never"
    suffix = "" if len(rounds) == len(runs) else f", {len(rounds)} of {len(runs)} runs"
    return format_spread([float(number) for number in rounds], 0) + suffix


def _format_backdoor(runs: Sequence[FiledRun]) -> str:
    shares = [run.backdoor for run in runs if run.backdoor is not None]
    is_asked = runs[0].get_text("attack") in {"backdoor", "scaling"}
    return format_spread(shares, 2) if is_asked and shares else "-"


def format_heat_map(
    runs: Sequence[FiledRun], get_value: Callable[[FiledRun], float]
) -> tuple[list[str], list[str], list[list[float | None]]]:
    """Return attacks, defences, and the mean value of each pair, None where nothing was run."""
    groups = group_runs(runs)
    attacks = list(dict.fromkeys(f"{group.attack} {group.fraction:g}" for group in groups))
    defences = list(dict.fromkeys(describe_group(group) for group in groups))
    table: list[list[float | None]] = []
    for attack in attacks:
        row: list[float | None] = []
        for defence in defences:
            values = [
                get_value(run)
                for group, members in groups.items()
                for run in members
                if f"{group.attack} {group.fraction:g}" == attack and describe_group(group) == defence
            ]
            row.append(sum(values) / len(values) if values else None)
        table.append(row)
    return attacks, defences, table
