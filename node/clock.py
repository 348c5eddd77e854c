"""The real clock and the real source of randomness."""

import os
import time

from protocol.units import Millis


class WallClock:
    """Wall time of this machine; implements the Clock port."""

    def get_now_ms(self) -> Millis:
        """Return the time since the Unix epoch."""
        return Millis(time.time_ns() // 1_000_000)


class OsEntropy:
    """The operating system's randomness; implements the Entropy port."""

    def get_bytes(self, count: int) -> bytes:
        """Return ``count`` random bytes."""
        return os.urandom(count)
