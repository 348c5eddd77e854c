"""Virtual time: actions on one heap, in whole milliseconds; those of one instant run in the order of asking."""

import heapq
import itertools
from collections.abc import Callable


class VirtualTime:
    """The one clock of a simulated network, and everything that is still to happen."""

    def __init__(self, start_ms: int) -> None:
        """Start at a ledger time."""
        self.now_ms = start_ms
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._heap, (self.now_ms + delay_ms, next(self._order), action))

    def advance(self) -> bool:
        """Let the next thing happen; return whether there was one."""
        if not self._heap:
            return False
        self.now_ms, _, action = heapq.heappop(self._heap)
        action()
        return True
