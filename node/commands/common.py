"""What the commands share: the options that many of them have, and how results and errors reach people.

Results go to stdout, everything else to stderr. Tables are drawn on a terminal only; a pipe gets plain lines, and
``--json`` gets exactly one document.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer

if TYPE_CHECKING:
    from node.json_values import JsonObject, JsonValue

DEFAULT_HOME: Final = Path("~/.pnyx")

HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar="PNYX_HOME", help="The node's home directory.", show_default=True, file_okay=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

LocalOption = Annotated[
    list[str] | None,
    typer.Option("--local", help="What the task is told on this node alone, key=value; may be repeated."),
]

AggregationName: TypeAlias = Literal[
    "mean",
    "median",
    "clipped_mean",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "bulyan",
    "geometric_median",
    "centered_clipping",
]
"""The rules that join updates (F5), by the names in :class:`protocol.parameters.AggregationRule`."""


def get_home(home: Path) -> Path:
    """Return a home as given on the command line, with ``~`` replaced."""
    return home.expanduser()


def ask_passphrase() -> str | None:
    """Return the passphrase of the keys: from the environment, or from whoever sits at the terminal."""
    from node.keys import PASSPHRASE_VARIABLE

    return ask_secret("passphrase", variable=PASSPHRASE_VARIABLE)


def ask_secret(prompt: str, *, variable: str, is_new: bool = False) -> str | None:
    """Return a passphrase from the environment, or from whoever sits at the terminal; None if there is neither.

    Args:
        prompt: What the terminal shows.
        variable: The environment variable that spares the question.
        is_new: It is asked for twice, since nothing else would notice a slip.
    """
    from node.keys import get_environment_passphrase

    passphrase = get_environment_passphrase(variable=variable)
    if passphrase is None and sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=is_new, err=True))
    return passphrase


def quiet_logs() -> None:
    """Let only errors through, to stderr: what a command prints is its result and nothing else."""
    from node.config_keys import LogFormat, LogLevel
    from node.logs import configure_logs

    configure_logs(LogFormat.CONSOLE, LogLevel.ERROR)


def print_json(value: "JsonValue") -> None:
    """Print a document for programs."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_line(line: str = "") -> None:
    """Print a line of a command's result."""
    sys.stdout.write(line + "\n")


def print_note(line: str) -> None:
    """Print a line that is not part of the result: progress and hints."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, tab-separated lines with a header otherwise."""
    if not sys.stdout.isatty():
        for row in (header, *rows):
            print_line("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for name in header:
        table.add_column(name)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def ask_daemon(home: Path, command: str, **arguments: "JsonValue") -> "JsonValue":
    """Return the answer of the daemon on a home.

    Raises:
        DaemonUnreachable: No daemon runs there.
        NodeError: The daemon refused.
    """
    import trio

    from node.control import call

    request: JsonObject = {"command": command, **arguments}
    return trio.run(call, get_home(home), request)


def format_tokens(micro_tokens: int) -> str:
    """Return an amount for people, in tokens."""
    whole, rest = divmod(abs(micro_tokens), 1_000_000)
    sign = "-" if micro_tokens < 0 else ""
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else f"{sign}{whole}"


def parse_tokens(text: str) -> int:
    """Return an amount above zero, given in tokens, in micro-tokens: exactly, or not at all.

    Raises:
        BadParameter: It is no such amount.
    """
    matched = re.fullmatch(r"([0-9]{1,13})(?:\.([0-9]{1,6}))?", text)
    amount = 0 if matched is None else int(matched[1]) * 1_000_000 + int((matched[2] or "").ljust(6, "0"))
    if amount == 0:
        raise typer.BadParameter(
            f"{text!r:.40} is no amount of tokens: give a number above 0 with at most six decimals, such as 1.5"
        )
    return amount


def format_weights(weights: "JsonObject") -> str:
    """Return how much of the consensus weight is connected, for people."""
    from node.json_values import get_int

    own, connected, total = (get_int(weights[name]) for name in ("own", "connected", "total"))
    shares = f"{connected * 100 // total}% of the validators', of which {own * 100 // total}% are this node's"
    if weights["has_quorum"] is True:
        return f"{shares}: a quorum"
    return f"{shares}: NO quorum, nothing becomes final before more than two thirds are connected"


def format_bytes(count: int) -> str:
    """Return a size for people."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1_000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} TB"


def format_score(score_ppm: int | None) -> str:
    """Return a score in parts per million for people, 0 to 1; a dash if there is none."""
    return "-" if score_ppm is None else f"{score_ppm / 1_000_000:.3f}"
