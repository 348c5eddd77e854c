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
    late: float = 0.0
    """The share of messages that come very late, long after others that were sent after them."""
    late_ms_max: int = 6_000
    loses_blocks: bool = False
    """True loses every proposal and nothing else, as if all leaders' links were too slow for blocks."""
    partitions: int = 0
    """Times at which the network falls into two halves for a while."""
    one_way_partitions: int = 0
    """Times at which one half is not heard by the other for a while, and hears it still."""
    crashes: int = 0
    """Crashes spread over the faulty time; each node restarts after a while."""
    clock_skew_ms_max: int = 0
    clock_steps: int = 0
    """Times at which a node's clock is set forward or back; in the end it is set right."""
    clock_step_ms_max: int = 0


class Network:
    """Who hears whom, when."""

    def __init__(self, loop: EventLoop, faults: Faults, *, seed: int, heal_ms: int) -> None:
        self._loop = loop
        self._faults = faults
        self._heal_ms = loop.start_ms + heal_ms
        self._groups: dict[int, int] = {}
        self._mutes: list[frozenset[int]] = []
        self.bridges: frozenset[int] = frozenset()
        """Nodes that everybody hears whatever falls apart: adversaries have friends."""
        self.random = random.Random(f"network-{seed}")
        self._late = random.Random(f"late-{seed}")

    def send(self, sender: int, receiver: int, deliver: Callable[[], None], *, is_block: bool) -> None:
        """Carry one message, or lose it."""
        faults, is_faulty = self._faults, self._loop.now_ms < self._heal_ms
        copies = 1
        if is_faulty and self.random.random() < faults.loss:
            copies = 0
        elif is_faulty and self.random.random() < faults.duplication:
            copies = 2
        if is_faulty and faults.loses_blocks and is_block:
            copies = 0
        for _ in range(copies):
            delay = self.random.randint(1, faults.delay_ms_max if is_faulty else HEALTHY_DELAY_MS_MAX)
            if is_faulty and faults.late and self._late.random() < faults.late:
                delay += self._late.randint(1, faults.late_ms_max)
            if self.is_heard(sender, receiver):
                self._loop.at(delay, deliver)

    def is_heard(self, sender: int, receiver: int) -> bool:
        """Return whether what one node sends now reaches another."""
        if sender in self.bridges or receiver in self.bridges:
            return True
        if any(sender in side and receiver not in side for side in self._mutes):
            return False
        return self._groups.get(sender, 0) == self._groups.get(receiver, 0)

    def is_connected(self, one: int, other: int) -> bool:
        """Return whether two nodes hear each other now, so that one can ask and the other answer."""
        return self.is_heard(one, other) and self.is_heard(other, one)

    def split(self, side: Iterable[int]) -> None:
        """Cut these nodes off from the others."""
        self._groups.update(dict.fromkeys(side, 1))

    def mute(self, side: Iterable[int]) -> None:
        """Let nobody else hear these nodes, which still hear everybody."""
        self._mutes.append(frozenset(side))

    def heal(self) -> None:
        """Let everybody hear everybody."""
        self._groups.clear()
        self._mutes.clear()
