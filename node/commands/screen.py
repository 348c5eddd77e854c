"""A running node on a terminal, drawn over and over: roles in the round, stake, verdicts, and the last events."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.clock import WallClock
from node.commands.common import format_tokens
from node.commands.watching import format_event
from node.control import call, open_request
from node.json_values import JsonObject, get_int, get_list, get_object

ROUNDS_SHOWN: Final = 8
EVENTS_SHOWN: Final = 6
BAR_CELLS: Final = 20
REDRAW_S: Final = 1.0
"""Drawn again at least this often, since some changes are no event, such as a peer that goes."""
PAUSE_S: Final = 0.2
"""And at most this often."""

_VERDICTS: Final = {"ACCEPT": ("✓ accept", "blue"), "REJECT": ("✗ reject", "yellow"), "VOID": ("○ void", "dim")}


@dataclass(slots=True)
class Picture:
    """What the screen shows."""

    status: JsonObject
    stakes: JsonObject
    rounds: list[JsonObject]
    peers: list[JsonObject]
    scores: JsonObject
    """This node's own scores by model, in parts per million."""
    now_ms: int
    """The clock of this machine, which is the node's."""
    events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS_SHOWN))


async def watch_on_screen(home: Path) -> None:
    """Draw until cancelled.

    Raises:
        DaemonUnreachable: No daemon runs on the home, or it stopped.
    """
    events: deque[str] = deque(maxlen=EVENTS_SHOWN)
    happened = _Bell()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_collect_events, home, events, happened)
        with Live(console=Console(), screen=True, auto_refresh=False) as live:
            while True:
                picture = await read_picture(home)
                picture.events = events
                live.update(draw(picture), refresh=True)
                await trio.sleep(PAUSE_S)
                with trio.move_on_after(REDRAW_S):
                    await happened.wait()


class _Bell:
    """Wakes whoever waits, however often it is rung meanwhile."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event = trio.Event()


async def _collect_events(home: Path, events: deque[str], happened: _Bell) -> None:
    names: dict[str, str] = {}
    async with open_request(home, {"command": "watch"}) as client:
        while True:
            line = format_event(get_object(await client.read_result()), names)
            if line:
                events.append(line)
            happened.ring()


async def read_picture(home: Path) -> Picture:
    """Return how a node is now."""
    status = get_object(await call(home, {"command": "status"}))
    rounds = await call(home, {"command": "rounds", "limit": ROUNDS_SHOWN})
    model = get_object(await call(home, {"command": "model"}))
    return Picture(
        status=status,
        stakes=get_object(await call(home, {"command": "stakes"})),
        rounds=[get_object(record) for record in get_list(rounds)],
        peers=[get_object(peer) for peer in get_list(await call(home, {"command": "peers"}))],
        scores=get_object(model["scores"]),
        now_ms=WallClock().get_now_ms(),
    )


def draw(picture: Picture) -> RenderableType:
    """Return the screen."""
    return Group(
        *_draw_head(picture.status, picture.now_ms),
        Text(),
        _draw_members(picture),
        Text(),
        _draw_rounds(picture),
        Text(),
        *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in picture.events),
        Text("Ctrl-C ends this, not the node", style="dim italic"),
    )


def _draw_head(status: JsonObject, now_ms: int) -> list[Text]:
    weights = get_object(status["weights"])
    share = get_int(weights["connected"]) * 100 // max(get_int(weights["total"]), 1)
    online = f"{get_int(status['members_connected']) + 1} of {get_int(status['members_other']) + 1} online"
    lines = [
        Text(f"{status['name']} of {status['network']}", style="bold"),
        Text(f"height {status['height']}  epoch {status['epoch']}  view {status['view']}"),
        Text(_describe_round(status, now_ms)),
    ]
    if weights["has_quorum"] is True:
        lines.append(Text(f"✓ quorum: {online}, {share}% of the weight", style="blue"))
    else:
        needed = "more than 67% are needed"
        lines.append(Text(f"✗ no quorum: {online}, {share}% of the weight, {needed}", style="bold yellow"))
    if status["not_voting_reason"] is not None:
        lines.append(Text(f"✗ casts no votes: {status['not_voting_reason']}", style="bold yellow"))
    return lines


def _describe_round(status: JsonObject, now_ms: int) -> str:
    if status["round"] is None:
        return f"no round is open, {status['rounds_settled']} settled"
    current = get_object(status["round"])
    deadline_ms = get_int(current["deadline_ms"])
    left = "" if deadline_ms == 0 else f", {max(deadline_ms - now_ms, 0) / 1_000:.0f} s left"
    return f"round {current['round']}: {str(current['phase']).lower()}{left}"


def _draw_members(picture: Picture) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("member", "connected", "role", "done", "bonded", ""):
        table.add_column(column, justify="right" if column == "bonded" else "left", no_wrap=True)
    connected = {str(peer["member"]): peer["is_connected"] is True for peer in picture.peers}
    accounts = [get_object(account) for account in get_list(picture.stakes["members"])]
    highest = max([1, *(get_int(account["bonded"]) for account in accounts)])
    for account in accounts:
        name, bonded = str(account["name"]), get_int(account["bonded"])
        is_there = connected.get(str(account["member"]), True)
        cells = round(BAR_CELLS * bonded / highest)
        role, done = _describe_part(picture.status, name)
        table.add_row(
            Text(name, style="bold" if name == picture.status["name"] else ""),
            Text("✓" if is_there else "✗ away", style="" if is_there else "yellow"),
            role,
            done,
            format_tokens(bonded),
            Text("█" * cells + "░" * (BAR_CELLS - cells), style="blue"),
        )
    return table


def _describe_part(status: JsonObject, name: str) -> tuple[str, str]:
    """Return somebody's role in the open round, and how far it is."""
    if status["round"] is None:
        return "", ""
    current = get_object(status["round"])
    roles = [role for role in ("proposer", "voter") if name in get_list(current[f"{role}s"])]
    steps = [word for word in ("submitted", "sealed", "revealed") if name in get_list(current[word])]
    return ", ".join(roles), steps[-1] if steps else ""


def _draw_rounds(picture: Picture) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("round", "verdict", "for", "against", "score", "seconds", "model", "proposers"):
        is_number = column in {"round", "for", "against", "score", "seconds"}
        table.add_column(column, justify="right" if is_number else "left", no_wrap=True)
    for record in reversed(picture.rounds):
        sign, style = _VERDICTS[str(record["verdict"])]
        score = picture.scores.get(str(record["model"]))
        table.add_row(
            str(record["round"]),
            Text(sign, style=style),
            str(record["accept_count"]),
            str(record["reject_count"]),
            "-" if score is None else f"{get_int(score) / 10_000:.1f}%",
            f"{(get_int(record['settled_ms']) - get_int(record['opened_ms'])) / 1_000:.1f}",
            str(record["model"])[:8],
            " ".join(map(str, get_list(record["proposer_names"]))),
        )
    return table
