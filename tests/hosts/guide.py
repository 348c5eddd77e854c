"""Reads a guide as the steps that it tells: what is run where, what it prints, and who sends which file to whom.

A block of shell begins with a comment that names its machines. A block of text after it is what it prints, line by
line: white space is one blank, `…` is anything, and `<name>` stands for one word, the same one throughout the guide.
Where the words before it say "after a while", it is what the block prints in the end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.tidiness import ROOT

INSTITUTIONS = ROOT / "docs/guides/institutions.md"
EVERYWHERE = "every machine"
"""What the guide calls machines in general; such a block is not a step of the story."""

PART = re.compile(
    r"^```(?P<kind>\w+)\n(?P<block>.*?)^```$"
    r"|(?P<sender>[\w-]+) sends\*\*\s+`(?P<file>[^`]+)`\s+\*\*to (?P<receiver>[\w-]+)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
LABEL = re.compile(r"# (?P<root>as root )?on (?P<hosts>.+)")
ADDRESS_ROW = re.compile(r"^\| ([\w-]+) \| ([\d.]+) \|", re.MULTILINE)
PLACEHOLDER = re.compile(r"<[a-z ]+>|…")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A block that is run on some machines."""

    hosts: tuple[str, ...]
    user: str
    script: str
    printed: tuple[str, ...] = ()
    """Lines that it prints, among others."""
    is_awaited: bool = False
    """Whether it prints them in the end, and not at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A file that somebody sends to somebody."""

    sender: str
    file: str
    receiver: str


class GuideError(Exception):
    """The guide is not written as this reads it."""


def read_addresses(guide: Path) -> dict[str, str]:
    """Return the address of each machine."""
    return dict(ADDRESS_ROW.findall(guide.read_text(encoding="utf-8")))


def read_steps(guide: Path) -> list[Run | Send]:
    """Return the steps of a guide, in order."""
    steps: list[Run | Send] = []
    for step in _iterate_parts(guide.read_text(encoding="utf-8")):
        if not isinstance(step, _Printed):
            steps.append(step)
            continue
        last = steps[-1]
        if not isinstance(last, Run) or last.printed:
            raise GuideError(f"no block prints {step.lines}")
        steps[-1] = replace(last, printed=step.lines, is_awaited=step.is_awaited)
    return steps


@dataclass(frozen=True, slots=True, kw_only=True)
class _Printed:
    lines: tuple[str, ...]
    is_awaited: bool


def _iterate_parts(text: str) -> "Iterator[Run | Send | _Printed]":
    end = 0
    for match in PART.finditer(text):
        words_before, end = text[end : match.start()], match.end()
        if match["file"]:
            yield Send(sender=match["sender"].lower(), file=match["file"], receiver=match["receiver"].lower())
        elif match["kind"] == "sh":
            first, _, script = match["block"].partition("\n")
            label = LABEL.match(first)
            if label is None:
                raise GuideError(f"no machine is named before {script!r}")
            if label["hosts"] != EVERYWHERE:
                user = "root" if label["root"] else "pnyx"
                yield Run(hosts=tuple(re.split(r", | and ", label["hosts"])), user=user, script=script)
        elif match["kind"] == "text":
            lines = tuple(" ".join(line.split()) for line in match["block"].splitlines())
            yield _Printed(lines=lines, is_awaited="after a while" in words_before)


def find_missing(printed: tuple[str, ...], output: str, meanings: dict[str, str]) -> str | None:
    """Return the first line that an output lacks, if any; a placeholder gets its meaning from the first match."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    for expected in printed:
        pattern = _build_pattern(expected, meanings)
        match = next(filter(None, (pattern.fullmatch(line) for line in lines)), None)
        if match is None:
            return expected
        meanings |= {name.replace("_", " "): word for name, word in match.groupdict().items()}
    return None


def _build_pattern(expected: str, meanings: dict[str, str]) -> re.Pattern[str]:
    parts, end = [], 0
    for placeholder in PLACEHOLDER.finditer(expected):
        parts.append(re.escape(expected[end : placeholder.start()]))
        end = placeholder.end()
        name = placeholder[0].strip("<>")
        if name == "…":
            parts.append(".*")
        elif name in meanings:
            parts.append(re.escape(meanings[name]))
        else:
            parts.append(rf"(?P<{name.replace(' ', '_')}>\S+)")
    return re.compile("".join([*parts, re.escape(expected[end:])]))
