"""Virtual time: actions on one heap, in whole milliseconds; actions of one instant run in the order of asking."""

import heapq
import itertools
from collections.abc import Callable
from typing import Final

EVENTS_MAX: Final = 600_000
"""A run with more events than this is a livelock."""


class EventLoop:
    """The clock of a simulated network, and everything that is still to happen."""

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.now_ms = start_ms
        self.events = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    @property
    def elapsed_ms(self) -> int:
        """Virtual time since the start."""
        return self.now_ms - self.start_ms

    def at(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._heap, (self.now_ms + delay_ms, next(self._order), action))

    def run_until(self, is_done: Callable[[], bool], *, deadline_ms: int) -> bool:
        """Run until a condition holds; return whether it did by this virtual time since the start."""
        while self._heap and not is_done():
            if self._heap[0][0] > self.start_ms + deadline_ms:
                return False
            self.now_ms, _, action = heapq.heappop(self._heap)
            self.events += 1
            assert self.events < EVENTS_MAX, "livelock: time hardly moves"
            action()
        return is_done()

    def run_for(self, span_ms: int) -> None:
        """Run everything of the next ``span_ms``."""
        end_ms = self.now_ms + span_ms
        self.run_until(lambda: False, deadline_ms=end_ms - self.start_ms)
        self.now_ms = end_ms

    def is_empty(self) -> bool:
        """Return whether nothing is left to happen."""
        return not self._heap
