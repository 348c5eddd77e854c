"""The executions that tier A repeats with many seeds: who takes part, what goes wrong, and what must come of it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from protocol.parameters import Parameters
from protocol.units import Millis, Round
from tests.sim.byzantine import equivocator, forger, silent, twin
from tests.sim.cluster import Cluster, MakeAdversary, Setting
from tests.sim.keys import make_genesis, make_keys
from tests.sim.network import Faults

PARAMETERS: Final = Parameters(
    proposer_count=1,
    timeout_view_ms=Millis(500),
    timeout_view_max_ms=Millis(4_000),
    train_deadline_ms=Millis(5_000),
    seal_deadline_ms=Millis(5_000),
    reveal_deadline_ms=Millis(5_000),
)


def do_nothing(_cluster: Cluster) -> None:
    """The script of a scenario without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of execution."""

    node_count: int = 4
    rounds: int = 3
    weights: tuple[int, ...] | None = None
    faults: Faults = field(default_factory=Faults)
    heal_ms: int = 8_000
    """Faults end here; until then only safety is asked for."""
    deadline_ms: int = 90_000
    """By then everything must be done."""
    adversary: MakeAdversary | None = None
    adversary_count: int = 0
    convicts: bool = False
    """True if every adversary must be jailed on every honest ledger in the end."""
    script: Callable[[Cluster], None] = do_nothing
    """What happens besides."""


def build_cluster(scenario: Scenario, seed: int) -> Cluster:
    """Return the network of a scenario, not yet started."""
    keys = make_keys(scenario.node_count)
    parameters = Parameters.__replace__(PARAMETERS) if False else PARAMETERS
    del parameters
    raise NotImplementedError
