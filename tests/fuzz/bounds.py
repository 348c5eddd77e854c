"""Runs a target on one input and holds it to its bounds: time by an alarm that counts CPU, memory by tracemalloc.

Tracing makes everything several times slower, so a search measures the memory of one input in eight, chosen by the
input itself. Whoever repeats an input measures it in any case.
"""

import signal
import tracemalloc
import zlib
from types import FrameType
from typing import Final

from tests.fuzz.target import Target

SAMPLED: Final = 8
SLOWER_BY_TRACING: Final = 5.0
AGAIN_CPU_S: Final = 5.0
"""After this much more the alarm rings again, in case something has swallowed what the first one raised."""


class OverBudgetError(BaseException):
    """An input cost more time or memory than its target allows; no handler of errors may catch it."""


class Guard:
    """Runs one target; there is one guard in a process, because it owns the process's alarm."""

    def __init__(self, target: Target, *, sampled: int = 1) -> None:
        """Take the target, and of how many inputs one is measured."""
        self._target = target
        self._sampled = sampled
        signal.signal(signal.SIGPROF, self._ring)

    def run(self, data: bytes) -> None:
        """Run the target on one input.

        Raises:
            OverBudgetError: It took too long, or too much memory.
        """
        if self._target.memory_bytes is not None and zlib.crc32(data) % self._sampled == 0:
            self._run_traced(data, self._target.memory_bytes + self._target.memory_bytes_per_byte * len(data))
        else:
            self._run_timed(data, self._target.cpu_s)

    def _run_timed(self, data: bytes, cpu_s: float) -> None:
        signal.setitimer(signal.ITIMER_PROF, cpu_s, AGAIN_CPU_S)
        try:
            self._target.run(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _run_traced(self, data: bytes, allowed: int) -> None:
        tracemalloc.start(1)
        try:
            self._run_timed(data, self._target.cpu_s * SLOWER_BY_TRACING)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if peak > allowed:
            raise OverBudgetError(f"{len(data)} bytes of input cost {peak} bytes of memory, {allowed} are allowed")

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        raise OverBudgetError(f"an input took more than {self._target.cpu_s} s of CPU")
