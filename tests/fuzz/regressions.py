"""Inputs that once found a fault: small files of hex digits, regressions/TARGET/WHAT-WENT-WRONG.hex."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "regressions"
LINE_DIGITS: Final = 120
HEX_BYTES_MAX: Final = 16_384
"""A larger input is to be made smaller before it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """One input and the target that it is for."""

    target: str
    what: str
    data: bytes


def iterate_regressions() -> Iterator[Regression]:
    """Yield every input that is kept."""
    for path in sorted(FOLDER.glob("*/*.hex")):
        data = bytes.fromhex(path.read_text(encoding="ascii"))
        yield Regression(target=path.parent.name, what=path.stem, data=data)


def save_regression(target: str, what: str, data: bytes) -> Path:
    """Keep an input and return its file.

    Raises:
        ValueError: It is too large to be kept.
    """
    if 2 * len(data) > HEX_BYTES_MAX:
        raise ValueError(f"{len(data)} bytes are too many for a file of hex digits: make the input smaller first")
    path = FOLDER / target / f"{what}.hex"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(textwrap.wrap(data.hex(), LINE_DIGITS)) + "\n", encoding="ascii")
    return path
