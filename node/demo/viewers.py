"""How a running demo is shown: drawn live on a terminal, or a line per round otherwise."""

import time
from typing import IO, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.demo.play import Scene
from node.demo.summary import format_round

BAR_CELLS: Final = 24
ROUNDS_SHOWN: Final = 12
REFRESH_PER_SECOND: Final = 5


class PlainViewer:
    """Writes a line per stage and per settled round."""

    def __init__(self, stream: IO[str]) -> None:
        """Take where to write."""
        self._stream = stream
        self._stage = ""
        self._shown_count = 0

    def show(self, scene: Scene) -> None:
        """Write what is new."""
        if scene.stage != self._stage:
            self._stage = scene.stage
            self._write(f"{scene.stage} ...")
        for played in scene.played[self._shown_count :]:
            self._write(format_round(played, scene.scores.get(played.model)))
        self._shown_count = len(scene.played)

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class LiveViewer:
    """Draws members, stakes and rounds, and keeps drawing over them."""

    def __init__(self, console: Console) -> None:
        """Take the terminal; drawing starts with :meth:`__enter__`."""
        self._live = Live(console=console, refresh_per_second=REFRESH_PER_SECOND, transient=False)
        self._started_s = time.monotonic()

    def __enter__(self) -> Self:
        """Start to draw."""
        self._live.__enter__()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Leave the last picture on the terminal."""
        self._live.__exit__(None, None, None)

    def show(self, scene: Scene) -> None:
        """Draw the scene."""
        elapsed_s = time.monotonic() - self._started_s
        where = f"round {scene.round} of {scene.plan.round_count}, {scene.phase}" if scene.phase else scene.stage
        headline = Text(f"pnyx demo  {scene.plan.node_count} daemons  {where}  {elapsed_s:.0f} s", style="bold")
        self._live.update(Group(headline, _draw_members(scene), _draw_rounds(scene), Text(scene.stage, style="dim")))


def _draw_members(scene: Scene) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("member", "role", "stake", ""):
        table.add_column(name)
    highest = max([*scene.stakes.values(), 1])
    for name in scene.plan.names:
        stake = scene.stakes.get(name, scene.plan.stake_initial)
        filled = round(BAR_CELLS * stake / max(highest, scene.plan.stake_initial))
        drawn = (("proposer", scene.proposers), ("voter", scene.voters))
        role = ", ".join(role for role, members in drawn if name in members)
        is_malicious = name in scene.plan.malicious_names
        style = "red" if is_malicious else ""
        label = f"{name} ({scene.plan.attack.value})" if is_malicious else name
        bar = Text("█" * filled + "░" * (BAR_CELLS - filled), style=style or "green")
        table.add_row(Text(label, style=style), role, f"{stake / 1_000_000:.2f}", bar)
    return table


def _draw_rounds(scene: Scene) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("round", "verdict", "votes", "score", "seconds", "proposers", "condemned"):
        table.add_column(name)
    for played in scene.played[-ROUNDS_SHOWN:]:
        score = scene.scores.get(played.model)
        table.add_row(
            str(played.round),
            Text(played.verdict, style={"ACCEPT": "green", "REJECT": "red"}.get(played.verdict, "yellow")),
            f"{played.accept_count}:{played.reject_count}",
            "-" if score is None else f"{score:.3f}",
            f"{played.seconds:.1f}",
            " ".join(played.proposers),
            " ".join(played.condemned),
        )
    return table
