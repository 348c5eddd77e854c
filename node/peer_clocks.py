"""What this node can tell of its own clock: how it compares with the times of the blocks that others propose.

A leader dates its block with its own clock, or just after the block before (C1, C8), so what arrives bounds the
leader's clock: a late arrival makes it look too late, and a block from the future before it too early. So of each
the last few are kept, each direction is judged by the one that speaks most against it, and of all members the median
counts. They are kept relative to a clock that nobody sets, so they tell at once when this machine's is set. What comes
at once, such as all that waited while this process was stopped, is one sample.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median_high, median_low
from typing import Final

import trio

from protocol.units import MemberId, Millis

SAMPLES: Final = 3
"""Proposals of one member before it counts: one alone may have waited behind a cable that was cut."""
SAMPLE_GAP_S: Final = 2.0
"""Proposals of one member within this time count as one, the last of them: the others waited for longer."""
FORGOTTEN_AFTER_S: Final = 3_600.0
"""A member that has proposed nothing for so long does not count any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """How this machine's clock compares with those of the others."""

    behind_ms: Millis
    """It is late by at least so much; 0 if that is not certain."""
    ahead_ms: Millis
    """It is early by at least so much; 0 if that is not certain."""
    member_count: int
    """How many others this is the median of."""

    def is_off(self, drift_max_ms: Millis) -> bool:
        """Return whether the difference is worth a word: more than half of what the network bears (C8)."""
        return max(self.behind_ms, self.ahead_ms) > drift_max_ms // 2


class PeerClocks:
    """Remembers how others dated their latest blocks."""

    def __init__(self) -> None:
        """Start with nothing heard."""
        self._samples: dict[MemberId, deque[float]] = {}
        self._heard_at: dict[MemberId, float] = {}
        self._counted_at: dict[MemberId, float] = {}
        """When the first proposal came of those that the last sample stands for."""

    def note(self, member: MemberId, time_ms: Millis) -> None:
        """Note the time of a block that its leader has just proposed."""
        now = self._heard_at[member] = trio.current_time()
        samples = self._samples.setdefault(member, deque(maxlen=SAMPLES))
        if samples and now - self._counted_at[member] < SAMPLE_GAP_S:
            samples.pop()
        else:
            self._counted_at[member] = now
        samples.append(time_ms - now * 1_000)

    def read(self, now_ms: Millis) -> ClockReading:
        """Compare this machine's clock, which shows ``now_ms``, with those of the others."""
        now = trio.current_time()
        for member in [member for member, heard_at in self._heard_at.items() if now - heard_at > FORGOTTEN_AFTER_S]:
            del self._heard_at[member], self._samples[member], self._counted_at[member]
        full = [samples for samples in self._samples.values() if len(samples) == SAMPLES]
        if not full:
            return ClockReading(behind_ms=Millis(0), ahead_ms=Millis(0), member_count=0)
        own = now_ms - now * 1_000
        behind = median_low(min(samples) for samples in full) - own
        ahead = own - median_high(max(samples) for samples in full)
        return ClockReading(
            behind_ms=Millis(max(round(behind), 0)), ahead_ms=Millis(max(round(ahead), 0)), member_count=len(full)
        )
