"""What one kind of execution is made of: how many nodes, what goes wrong with them, and what they must achieve."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from protocol.genesis import Genesis
from protocol.learning.artifact_format import ModelSchema, TensorDtype, TensorSpec
from protocol.parameters import Parameters
from protocol.units import Millis, Round
from tests.sim.cluster import MakeAdversary
from tests.sim.keys import make_genesis, make_keys
from tests.sim.memory_store import SNAPSHOT_INTERVAL_BLOCKS
from tests.sim.tier_b.learner import compute_artifact_name, make_first_model

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
WRITE_S: Final = 0.004


class Strike(StrEnum):
    """One thing that goes wrong at one moment."""

    POWER_CUT = "power cut"
    STOP = "stop"
    """As SIGTERM does it."""
    BLACK_OUT = "black-out"
    """Everybody loses power."""
    FULL_DISK = "full disk"
    BROKEN_DISK = "broken disk"
    """A write to the ledger fails, or cannot be flushed."""
    FILE_FAILURE = "file failure"
    """A call on some other file fails."""
    DAMAGE = "damage"
    """The database is not what was written any more."""
    LOST_DATABASE = "lost database"
    LOST_MARKER = "lost marker"
    """Of the vote log, as after restoring keys (C10)."""
    OLD_BACKUP = "old backup"
    """The whole disk is what it was a while ago."""
    CUT = "cut"
    """A node is disconnected from some others."""
    FREEZE = "freeze"
    """What a node sends or hears waits."""
    PARTITION = "partition"
    """Groups of nodes are disconnected from each other."""
    ONE_WAY_PARTITION = "one-way partition"
    """One group does not hear the other any more, and the other does not notice."""
    CLOCK_STEP = "clock step"
    """Somebody sets a clock."""


AMNESIA: Final = frozenset({Strike.DAMAGE, Strike.LOST_DATABASE, Strike.LOST_MARKER, Strike.OLD_BACKUP})
"""What makes a node silent for a while (C10). All of a run hit one node, since others must go on without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of execution."""

    node_count: int = 4
    rounds: int = 3
    weight_count: int = 8
    """Parameters of the model; 70,000 make it two chunks long."""
    sqlite_count: int = 0
    """So many nodes have the real store, the others the simulated one."""
    snapshot_interval_blocks: int = SNAPSHOT_INTERVAL_BLOCKS
    idle_block_ms: int = 0
    """Heartbeat blocks come as often as this at most (C12)."""
    faulty_s: float = 6.0
    """Faults end here; until then only safety is asked for."""
    virtual_s_max: float = 150.0
    """By this virtual time everything must be done."""
    strikes: Mapping[Strike, int] = field(default_factory=dict)
    """How often each thing goes wrong."""
    loss: float = 0.0
    duplication: float = 0.0
    delay_s_max: float = 0.03
    clock_skew_ms_max: int = 0
    write_s: float = WRITE_S
    """How long a disk takes for a batch."""
    slow_writes: float = 0.0
    """The share of batches for which it takes seconds."""
    small_inboxes: bool = False
    worker_failures: float = 0.0
    late_count: int = 0
    """Nodes without the initial model that start when the faults are over."""
    absent_count: int = 0
    """Nodes that never start and that nobody waits for."""
    liar_count: int = 0
    """Members that lie about blocks, progress and artifacts."""
    adversary: MakeAdversary | None = None
    """Stands in the place of one node, and breaks the rules of consensus."""
    convicts: bool = False
    """Whether the adversary must be jailed on every ledger in the end (L7); the job goes on until it is."""
    changes_members: bool = False
    """Whether one node is no founder and joins, and a founder leaves (L9)."""
    has_pest: bool = False
    """Whether one member floods the others beside its work."""
    has_operators: bool = False
    """Whether people bond and unbond stake meanwhile."""


def build_genesis(scenario: Scenario, seed: int) -> Genesis:
    """Return the genesis document of a scenario, with an initial model that exists."""
    parameters = replace(
        PARAMETERS,
        rounds_max=Round(0 if scenario.convicts else scenario.rounds),
        idle_block_ms=Millis(scenario.idle_block_ms),
    )
    keys = make_keys(scenario.node_count)
    # Whoever joins is the last.
    genesis = make_genesis(keys[:-1] if scenario.changes_members else keys, parameters, seed=seed)
    weight = TensorSpec(name="weight", shape=(scenario.weight_count,), dtype=TensorDtype.F32, is_trainable=True)
    schema = ModelSchema(tensors=(weight,))
    model = make_first_model(schema)
    return replace(genesis, schema=schema, model_digest=compute_artifact_name(model), model_bytes=len(model))
