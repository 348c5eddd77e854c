"""The simulated network: it loses, repeats, delays and reorders messages and falls apart, until it heals."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.sim.events import EventLoop

HEALTHY_DELAY_MS_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What the network and the machines do to the nodes until the heal time."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_ms_max: int = 60
    """Delays are uniform up to this, so that messages overtake each other."""
    crashes: int = 0
    """Crashes spread over the faulty time; each node restarts after a while."""
    partitions: int = 0
    """Times at which the network falls into two halves for a while."""
    clock_skew_ms_max: int = 0


class Network:
    """Who hears whom, when."""

    def __init__(self, loop: EventLoop, faults: Faults, *, seed: int, heal_ms: int) -> None:
        self._loop = loop
        self._faults = faults
        self._heal_ms = loop.start_ms + heal_ms
        self._groups: dict[int, int] = {}
        self.bridges: frozenset[int] = frozenset()
        """Nodes that everybody hears whatever falls apart: adversaries have friends."""
        self.random = random.Random(f"network-{seed}")

    def send(self, sender: int, receiver: int, deliver: Callable[[], None]) -> None:
        """Carry one message, or lose it."""
        is_faulty = self._loop.now_ms < self._heal_ms
        copies = 1
        if is_faulty and self.random.random() < self._faults.loss:
            copies = 0
        elif is_faulty and self.random.random() < self._faults.duplication:
            copies = 2
        for _ in range(copies):
            delay = self.random.randint(1, self._faults.delay_ms_max if is_faulty else HEALTHY_DELAY_MS_MAX)
            if self.is_connected(sender, receiver):
                self._loop.at(delay, deliver)

    def is_connected(self, one: int, other: int) -> bool:
        """Return whether two nodes hear each other now."""
        if one in self.bridges or other in self.bridges:
            return True
        return self._groups.get(one, 0) == self._groups.get(other, 0)

    def split(self, side: Iterable[int]) -> None:
        """Cut these nodes off from the others."""
        self._groups.update(dict.fromkeys(side, 1))

    def heal(self) -> None:
        """Let everybody hear everybody."""
        self._groups.clear()
