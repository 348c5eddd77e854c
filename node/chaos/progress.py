"""Watches the heights of all ledgers: how long nodes take to recover, and how long the network stands still."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from node.chaos.findings import Recovery

NOTHING: Final = -1


@dataclass(slots=True, kw_only=True)
class _Waiting:
    what: str
    names: set[str]
    """Those that have no new block yet."""
    height: int
    """The highest of all ledgers when the trouble ended."""
    since_s: float


class Progress:
    """What is known of all heights so far. Times are seconds of one clock that only runs forward."""

    def __init__(self, *, now_s: float) -> None:
        """Start to watch."""
        self.heights: dict[str, int] = {}
        self.rounds: dict[str, int] = {}
        self.slowest: Recovery | None = None
        self.longest_standstill_s = 0.0
        self._moved_s = now_s
        self._is_storm = False
        self._waiting: list[_Waiting] = []

    @property
    def height(self) -> int:
        """The highest of all ledgers."""
        return max(self.heights.values(), default=0)

    @property
    def settled(self) -> int:
        """The highest number of settled rounds."""
        return max(self.rounds.values(), default=0)

    def note_trouble(self, names: tuple[str, ...]) -> None:
        """Note that nodes are in trouble: whatever they were to recover from before is not measured any more."""
        for waiting in self._waiting:
            waiting.names -= set(names)
        self._waiting = [waiting for waiting in self._waiting if waiting.names]

    def note_end(self, what: str, names: tuple[str, ...], *, now_s: float) -> None:
        """Note that a trouble has ended; from now on its nodes recover."""
        if names:
            self._waiting.append(_Waiting(what=what, names=set(names), height=self.height, since_s=now_s))

    def set_storm(self, *, is_storm: bool, now_s: float) -> None:
        """Say whether more nodes are hampered than are tolerated; nothing needs to move or to recover then."""
        self._is_storm = is_storm
        if is_storm:
            self._waiting.clear()
        self._moved_s = now_s

    def note_heights(self, heights: Mapping[str, int], rounds: Mapping[str, int], *, now_s: float) -> list[str]:
        """Note what nodes say of themselves; return a line for each trouble whose nodes have all recovered."""
        before = self.height
        self.heights.update(heights)
        self.rounds.update(rounds)
        if self.height > before:
            self._moved_s = now_s
        elif not self._is_storm:
            self.longest_standstill_s = max(self.longest_standstill_s, now_s - self._moved_s)
        return [line for waiting in tuple(self._waiting) if (line := self._look_at(waiting, heights, now_s=now_s))]

    def get_standstill_s(self, now_s: float) -> float:
        """Return for how long no ledger has grown, outside storms."""
        return 0.0 if self._is_storm else now_s - self._moved_s

    def _look_at(self, waiting: _Waiting, heights: Mapping[str, int], *, now_s: float) -> str:
        waiting.names -= {name for name in waiting.names if heights.get(name, NOTHING) > waiting.height}
        if waiting.names:
            return ""
        self._waiting.remove(waiting)
        recovery = Recovery(what=waiting.what, seconds=now_s - waiting.since_s)
        if self.slowest is None or recovery.seconds > self.slowest.seconds:
            self.slowest = recovery
        return f"recovered in {recovery.seconds:.1f} s from: {recovery.what}"
