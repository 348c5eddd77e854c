"""One kind of execution: who takes part, what goes wrong, what must come of it; :mod:`tests.sim.catalogue` has all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from protocol.parameters import Parameters
from protocol.units import MICRO_TOKENS_PER_TOKEN, Millis
from tests.sim import scripts
from tests.sim.cluster import Cluster, MakeAdversary
from tests.sim.network import Faults

PARAMETERS: Final = Parameters(
    proposer_count=1,
    epoch_blocks=8,
    timeout_view_ms=Millis(500),
    timeout_view_max_ms=Millis(4_000),
    train_deadline_ms=Millis(4_000),
    seal_deadline_ms=Millis(4_000),
    reveal_deadline_ms=Millis(4_000),
    clock_drift_max_ms=Millis(2_000),
)
TOKEN: Final = MICRO_TOKENS_PER_TOKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of execution."""

    node_count: int = 4
    rounds: int = 3
    weights: tuple[int, ...] | None = None
    """Stakes in the order of the members, in micro-tokens; equal if there are none."""
    epoch_blocks: int | None = PARAMETERS.epoch_blocks
    """Few, so that a run has several epochs; many where the first epoch's weights are the point (C13).

    None draws from 2 to 8 for each seed.
    """
    newcomer_count: int = 0
    """The last nodes, which are no founders; the job then goes on until they are validators (L9)."""
    faults: Faults = field(default_factory=Faults)
    heal_ms: int = 8_000
    """Faults end here; until then only safety is asked for."""
    deadline_ms: int = 88_000
    """By this virtual time everything must be done: 80 seconds after the usual time of healing.

    Of 8,800 runs the longest took 44 of them, most 5 to 20: bad luck with clocks, silent leaders and missed phases adds
    up, and a longest timeout is 4 seconds. Where somebody stays away by the script, the time for that comes on top.
    """
    adversary: MakeAdversary | None = None
    adversary_count: int = 0
    adversary_indexes: tuple[int, ...] = ()
    """Which members they are, where it matters; otherwise the seed draws ``adversary_count``."""
    conspires: bool = False
    """True for split twins, each of whose halves works with one half of the network."""
    convicts: bool = False
    """True if every adversary must be jailed on every honest ledger in the end (L7); the job goes on until they are."""
    may_fork: bool = False
    """True beyond the bound: a fork is no failure, but must convict a third of the weight and nobody honest (L7)."""
    is_live: bool = True
    """False where so much weight misbehaves that nothing but safety can be asked for."""
    absent_count: int = 0
    idle_count: int = 0
    """Members whose worker never answers: silent proposers and voters with an honest engine (F13)."""
    poisoning_count: int = 0
    """Members whose worker makes bad updates, and finds every model good (F11)."""
    late_ms: Mapping[int, int] = field(default_factory=dict)
    """Members that start only then."""
    parameters: Parameters = PARAMETERS
    script: Callable[[Cluster], None] = scripts.do_nothing
    """What happens besides the faults."""
