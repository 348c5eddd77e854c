"""Plots of a matrix's results, as PNG and SVG; needs the optional extra ``plots``.

- for each attack and fraction: the score over rounds, one line for each defence;
- for each defence under an attack: the stakes over rounds by kind of member, and how many were evicted;
- for all: the final score as a heat map of attack and defence.
"""

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.errors import ConfigError
from node.simulate.archive import FiledRun
from node.simulate.report import Group, Groups, describe_group, format_heat_map, group_runs
from node.simulate.result import MemberKind
from protocol.units import MICRO_TOKENS_PER_TOKEN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_INCHES: Final = (7.0, 4.0)
_COLOURS: Final = {MemberKind.HONEST: "tab:blue", MemberKind.MALICIOUS: "tab:red"}


def check_plotting() -> None:
    """Check that plots can be drawn.

    Raises:
        ConfigError: The extra is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("plots are drawn by matplotlib: pip install 'pnyx[plots]'")


def draw_plots(runs: Sequence[FiledRun], directory: Path) -> list[Path]:
    """Draw all plots of some runs and return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    groups = group_runs(runs)
    files: list[Path] = []
    for attack, fraction in dict.fromkeys((group.attack, group.fraction) for group in groups):
        chosen = {
            group: members for group, members in groups.items() if (group.attack, group.fraction) == (attack, fraction)
        }
        files += _save(_draw_scores(chosen), directory, f"score-{attack}-{fraction:g}")
    for group, members in groups.items():
        if group.attack != "none":
            data = f"{group.task}-{group.split}-{group.nodes}"
            name = f"stake-{group.attack}-{group.fraction:g}-{describe_group(group)}-{data}"
            files += _save(_draw_stakes(group, members), directory, name)
    return files + _save(_draw_heat_map(runs), directory, "final-scores")


def _make_figure() -> tuple["Figure", "Axes"]:
    # Not pyplot, which would look for a screen and keep every figure.
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    return figure, figure.add_subplot()


def _draw_scores(groups: Groups) -> "Figure":
    figure, axes = _make_figure()
    for group, runs in groups.items():
        curves = [run.scores for run in runs]
        means = _average(curves)
        name = f"{describe_group(group)}, {group.task} {group.split}, {group.nodes} members"
        (line,) = axes.plot(range(len(means)), means, label=name)
        shortest = min(map(len, curves))
        lows, highs = ([pick(curve[i] for curve in curves) for i in range(shortest)] for pick in (min, max))
        axes.fill_between(range(shortest), lows, highs, color=line.get_color(), alpha=0.15, linewidth=0)
    first = next(iter(groups))
    axes.set_title(f"{first.attack}, {first.fraction:.0%} malicious")
    axes.set_xlabel("round")
    axes.set_ylabel("score on honest members' held-out data")
    axes.legend(fontsize="small")
    return figure


def _draw_stakes(group: Group, runs: Sequence[FiledRun]) -> "Figure":
    figure, axes = _make_figure()
    counts = axes.twinx()
    for kind in MemberKind:
        own = [index for index, other in enumerate(runs[0].kinds) if other is kind]
        if not own:
            continue
        tokens = [[sum(row[i] for i in own) / len(own) / MICRO_TOKENS_PER_TOKEN for row in run.stakes] for run in runs]
        gone = [[sum(index in own for index in row) for row in run.evicted] for run in runs]
        means, out = _average(tokens), _average([[float(count) for count in row] for row in gone])
        axes.plot(range(1, len(means) + 1), means, color=_COLOURS[kind], label=f"{kind.value}: mean stake")
        counts.plot(range(1, len(out) + 1), out, color=_COLOURS[kind], linestyle=":", label=f"{kind.value}: evicted")
    axes.set_title(f"{group.attack}, {group.fraction:.0%} malicious: {describe_group(group)}, {group.task}")
    axes.set_xlabel("round")
    axes.set_ylabel("bonded stake in tokens, mean of the kind")
    counts.set_ylabel("members evicted (dotted)")
    counts.set_ylim(bottom=0.0)
    axes.set_ylim(bottom=0.0)
    axes.legend(fontsize="small", loc="upper left")
    return figure


def _draw_heat_map(runs: Sequence[FiledRun]) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    attacks, defences, table = format_heat_map(runs, lambda run: run.get_number("score_final"))
    figure = Figure(figsize=(3.0 + 1.3 * len(defences), 1.5 + 0.35 * len(attacks)), layout="constrained")
    axes = figure.add_subplot()
    values = [[float("nan") if value is None else value for value in row] for row in table]
    image = axes.imshow(values, aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(defences)), defences, rotation=30, ha="right", fontsize="small")
    axes.set_yticks(range(len(attacks)), attacks, fontsize="small")
    known = [value for row in table for value in row if value is not None]
    middle = (min(known) + max(known)) / 2.0
    for y, row in enumerate(table):
        for x, value in enumerate(row):
            if value is not None:
                # The colours of high values are light.
                ink = "white" if value < middle else "black"
                axes.text(x, y, f"{value:.3f}", ha="center", va="center", color=ink, fontsize="x-small")
    figure.colorbar(image, label="final score, mean over runs")
    return figure


def _average(curves: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of several curves, as far as all of them go."""
    return [sum(values) / len(values) for values in zip(*curves, strict=False)]


def _save(figure: "Figure", directory: Path, name: str) -> list[Path]:
    from matplotlib import rc_context  # noqa: PLC0415 - an extra

    stem = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
    files = [directory / f"{stem}.{kind}" for kind in ("png", "svg")]
    # Without a date and with fixed identifiers, so that the same results give the same files.
    with rc_context({"svg.hashsalt": "pnyx"}):
        figure.savefig(files[0], dpi=120, metadata={"Software": None})
        figure.savefig(files[1], metadata={"Date": None})
    return files
