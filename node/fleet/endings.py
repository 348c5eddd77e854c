"""How a daemon ended, and whether it was told to end so."""

import signal
from dataclasses import dataclass
from typing import Final

KILLED: Final = "killed"
STOPPED: Final = "stopped"
FELL: Final = "not told to end"

_RIGHT_CODES: Final = {KILLED: -signal.SIGKILL, STOPPED: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """One end of one daemon."""

    name: str
    what: str
    """What was done to it: ``KILLED``, ``STOPPED``, or nothing (``FELL``)."""
    exit_code: int | None

    @property
    def is_right(self) -> bool:
        """Whether it ended as it was told."""
        return self.what in _RIGHT_CODES and _RIGHT_CODES[self.what] == self.exit_code
