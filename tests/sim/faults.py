"""When nodes crash, sides lose each other and clocks are set: scheduled before a run, from its seed."""

import random
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from protocol.interface import Persist, PersistBlock
from tests.sim.disk import encode_batch, tear
from tests.sim.events import EventLoop
from tests.sim.node import SimNode

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

RESTART_MS_MIN, RESTART_MS_MAX = 100, 3_000


class Doom(Enum):
    """How far a node comes with what it was about to do when it crashes."""

    NONE = auto()
    """It does not crash."""
    UNWRITTEN = auto()
    """Nothing of the batch is on the disk."""
    TORN = auto()
    """Power goes while the batch is written."""
    UNSENT = auto()
    """The batch is durable, and nothing has left."""
    HALF_SENT = auto()
    """Some of what follows the batch was done, and the rest was not."""


DOOMS = (Doom.UNWRITTEN, Doom.TORN, Doom.UNSENT, Doom.HALF_SENT)


class Dooms:
    """The crashes that are to come: a doomed node crashes in the middle of the next thing that it does."""

    def __init__(self, loop: EventLoop, chance: random.Random, boot: Callable[[SimNode], None]) -> None:
        self._loop = loop
        self._random = chance
        self._boot = boot
        self._doomed: set[int] = set()

    def add(self, index: int) -> None:
        """Let a node crash soon."""
        self._doomed.add(index)

    def draw(self, node: SimNode) -> Doom:
        """Return whether, and how far with its work, this node crashes right here; it comes up again later."""
        if node.index not in self._doomed:
            return Doom.NONE
        self._doomed.discard(node.index)
        self._loop.at(self._random.randint(RESTART_MS_MIN, RESTART_MS_MAX), lambda: self._boot(node))
        return self._random.choice(DOOMS)

    def tear(self, batch: Sequence[Persist | PersistBlock]) -> bytes:
        """Return what is on the disk of a batch during which power went."""
        return tear(encode_batch(batch), self._random)


def schedule_faults(cluster: "Cluster") -> None:
    """Spread the faults of a run over the time until it heals."""
    span, faults = max(1, cluster.setting.heal_ms), cluster.setting.faults
    loop, chance = cluster.loop, cluster.random
    for _ in range(faults.crashes):
        index = chance.choice(cluster.honest).index
        loop.at(chance.randrange(span), partial(cluster.dooms.add, index))
    for number in range(faults.partitions + faults.one_way_partitions):
        begin = chance.randrange(span)
        side = [index for index in range(len(cluster.nodes)) if chance.random() < 0.5]
        cut = cluster.network.split if number < faults.partitions else cluster.network.mute
        loop.at(begin, partial(cut, side))
        loop.at(min(begin + chance.randint(200, 4_000), span), cluster.network.heal)
    for _ in range(faults.clock_steps):
        node = cluster.clock_random.choice(cluster.honest)
        skew_ms = cluster.clock_random.randint(-faults.clock_step_ms_max, faults.clock_step_ms_max)
        loop.at(cluster.clock_random.randrange(span), partial(cluster.set_clock, node, skew_ms))
    loop.at(cluster.setting.heal_ms, partial(heal, cluster))


def heal(cluster: "Cluster") -> None:
    """Let everybody hear everybody, and set the clocks right that were set wrong."""
    cluster.network.heal()
    if cluster.setting.faults.clock_steps:
        for node in cluster.honest:
            cluster.set_clock(node, 0)
