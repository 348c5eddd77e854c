"""Where a node's time goes: cheap counters that the status and the benchmark read."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum


class Activity(StrEnum):
    """What the shell spends time on."""

    CORE = "core"
    """The engine's handling of inputs: consensus and ledger, signatures included."""
    ADMISSION = "admission"
    """Judging gossip before it is forwarded."""
    DISK = "disk"
    """Waiting for the store to be durable."""
    FETCH = "fetch"
    """Waiting for other members' blocks, and decoding them."""
    PUBLISH = "publish"
    """Handing messages to the transport."""
    KEYS = "keys"
    """The beacon's long computations, in a thread of their own."""
    TRAIN = "train"
    AGGREGATE = "aggregate"
    EVALUATE = "evaluate"
    SCREEN = "screen"


@dataclass(slots=True)
class Spent:
    """Time spent on one activity."""

    count: int = 0
    wall_ms: float = 0.0
    worst_ms: float = 0.0


@dataclass(slots=True)
class Timings:
    """Time spent on each activity since the start."""

    spent: dict[Activity, Spent] = field(default_factory=lambda: {activity: Spent() for activity in Activity})

    @contextmanager
    def measure(self, activity: Activity) -> Iterator[None]:
        """Add the time that the block takes, waiting included."""
        started = time.perf_counter()
        try:
            yield
        finally:
            taken_ms = (time.perf_counter() - started) * 1_000
            spent = self.spent[activity]
            spent.count += 1
            spent.wall_ms += taken_ms
            spent.worst_ms = max(spent.worst_ms, taken_ms)
