"""Where the pages look: the parts of a running node that its status does not describe."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Readings that cost little and may be taken at any moment."""

    get_inbox_length: Callable[[], int]
    """Inputs that wait for the core."""
    get_inbox_refused: Callable[[], int]
    """Gossip that found the inbox full, since the start."""
    get_gossip_dropped: Callable[[], int]
    """Gossip that a peer was too slow to take, since the start."""
    get_worker_bytes: Callable[[], int]
    """Memory of the worker's process; 0 while none runs."""
    get_disk_free_bytes: Callable[[], int]
    """Room on the disk of the home."""
