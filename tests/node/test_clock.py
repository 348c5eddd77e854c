"""The real clock and the real randomness."""

import time

from node.clock import OsEntropy, WallClock


def test_the_clock_counts_milliseconds_since_1970() -> None:
    before, now, after = time.time(), WallClock().get_now_ms(), time.time()
    assert int(before * 1_000) <= now <= int(after * 1_000) + 1


def test_random_bytes_are_as_many_as_asked_and_never_the_same() -> None:
    entropy = OsEntropy()
    assert len(entropy.get_bytes(32)) == 32
    assert entropy.get_bytes(0) == b""
    assert len({entropy.get_bytes(16) for _ in range(100)}) == 100
