"""The rows of docs/guides/troubleshooting.md, and whether something that was said is what a row says."""

import re
from pathlib import Path
from typing import Final

from tests.tidiness import ROOT

GUIDE: Final = ROOT / "docs/guides/troubleshooting.md"

_PLACEHOLDERS: Final = {
    "N": r"[0-9.]+",
    "NAME": r"[\w-]+(?:, [\w-]+)*",
    "ADDRESS": r"/[^\s,;)]+",
    "TASK": r"[\w.]+(?::\w+)?",
    "CHAIN": r"[0-9a-f]{8}",
    "…": r".+",
}


def load_rows(section: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of a section's table by their first cell, without the header."""
    text = GUIDE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    rows = [tuple(_strip(cell) for cell in line.strip("|").split("|")) for line in lines]
    assert rows
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1:] for row in rows}


def _strip(cell: str) -> str:
    text = cell.strip()
    if text.startswith("``"):
        return text.removeprefix("``").removesuffix("``").strip()
    return text.removeprefix("`").removesuffix("`") if text.count("`") == 2 and text.endswith("`") else text


def is_said(row: str, said: str, *, home: Path) -> bool:
    """Return whether a text is exactly what a row says, its placeholders filled in."""
    words = "|".join(map(re.escape, ("HOME", *sorted(_PLACEHOLDERS, key=len, reverse=True))))
    parts = re.split(rf"(?<![A-Za-z])({words})(?![A-Za-z])", row)
    fillings = {"HOME": re.escape(str(home)), **_PLACEHOLDERS}
    pattern = "".join(fillings[part] if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.fullmatch(pattern, said) is not None
