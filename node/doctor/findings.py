"""What a check found: one line that says how it is and, unless all is well, what to do."""

from dataclasses import dataclass
from enum import StrEnum

from node.json_values import JsonObject


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Worth a look, or could not be looked at."""
    FAILURE = "failure"
    """The node cannot run so, or not take part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    """What was looked at: one word."""
    level: Level
    text: str

    def describe(self) -> JsonObject:
        """Return the finding as JSON."""
        return {"check": self.check, "level": self.level.value, "text": self.text}


def ok(check: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(check=check, level=Level.OK, text=text)


def warn(check: str, text: str) -> Finding:
    """Return something to look at."""
    return Finding(check=check, level=Level.WARNING, text=text)


def fail(check: str, text: str) -> Finding:
    """Return what has to be mended."""
    return Finding(check=check, level=Level.FAILURE, text=text)
