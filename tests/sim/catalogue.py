"""The executions that tier A repeats with many seeds: who takes part, what goes wrong, and what must come of it."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from protocol.parameters import Parameters
from protocol.units import MICRO_TOKENS_PER_TOKEN, Millis
from tests.sim import membership, scripts
from tests.sim.byzantine import (
    bitmap_forger,
    equivocator,
    forger,
    forking_leader,
    nullifier,
    replayer,
    silent,
    spammer,
    twin,
    withholder,
)
from tests.sim.cluster import AdversaryHome, Cluster, MakeAdversary
from tests.sim.network import Faults
from tests.sim.node import Adversary

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
    late_ms: Mapping[int, int] = field(default_factory=dict)
    """Members that start only then."""
    parameters: Parameters = PARAMETERS
    script: Callable[[Cluster], None] = scripts.do_nothing
    """What happens besides the faults."""


def make_any(home: AdversaryHome) -> Adversary:
    """Return one of all kinds of adversaries, drawn for each of them."""
    return random.Random(f"any-{home.index}-{home.seed}").choice(ADVERSARIES)(home)


ADVERSARIES: Final[tuple[MakeAdversary, ...]] = (
    bitmap_forger.make,
    equivocator.make,
    forger.make,
    forking_leader.make,
    nullifier.make,
    nullifier.make_contradicting,
    replayer.make,
    silent.make,
    spammer.make,
    twin.make,
    withholder.make,
)

ROUGH: Final = Faults(loss=0.1, duplication=0.1, delay_ms_max=120, clock_skew_ms_max=200)
MIXED: Final = replace(ROUGH, late=0.01, crashes=3, partitions=1, one_way_partitions=1)
VOTES_ONLY: Final = Faults(loss=0.02, loses_blocks=True)

THIRD: Final = tuple(TOKEN * share for share in (30, 20, 20, 20))
BELOW_THIRD: Final = (30 * TOKEN, 20 * TOKEN, 20 * TOKEN, 20 * TOKEN + 1)
"""The first has the least bit less than a third, so that the others are just a quorum."""


def meet(name: str, make: MakeAdversary, **changes: object) -> dict[str, Scenario]:
    """Return the scenarios of one kind of adversary among 4, 5 and 7 members, with all kinds of faults."""
    scenario = Scenario(adversary=make, rounds=4, epoch_blocks=None, faults=MIXED)
    scenario = replace(scenario, **changes)  # type: ignore[arg-type]
    return {
        f"{name}-{node_count}": replace(scenario, node_count=node_count, adversary_count=(node_count - 1) // 3)
        for node_count in (4, 5, 7)
    }


SCENARIOS: Final[dict[str, Scenario]] = {
    "calm-4": Scenario(faults=Faults(), heal_ms=0),
    "lossy-4": Scenario(faults=Faults(loss=0.25, duplication=0.2, delay_ms_max=200, clock_skew_ms_max=300)),
    "crashes-4": Scenario(faults=Faults(loss=0.05, crashes=8)),
    "partitions-5": Scenario(node_count=5, faults=Faults(loss=0.05, partitions=4, delay_ms_max=200)),
    "everything-4": Scenario(faults=replace(ROUGH, crashes=6, partitions=2)),
    "everything-7": Scenario(node_count=7, faults=replace(ROUGH, crashes=8, partitions=3)),
    "weights-4": Scenario(weights=tuple(TOKEN * share for share in (40, 25, 20, 15)), faults=replace(ROUGH, crashes=4)),
    "weights-5": Scenario(
        node_count=5, weights=tuple(TOKEN * share for share in (60, 9, 10, 11, 12)), faults=replace(ROUGH, crashes=4)
    ),
    "bare-quorum-4": Scenario(absent_count=1, faults=Faults(loss=0.05), script=scripts.restart_often),
    "bare-quorum-7": Scenario(node_count=7, absent_count=2, faults=Faults(loss=0.05), script=scripts.restart_often),
    "two-thirds-and-one-4": Scenario(
        weights=(30 * TOKEN - 1, 20 * TOKEN, 20 * TOKEN, 20 * TOKEN + 1),
        epoch_blocks=10_000,
        absent_count=1,
        script=scripts.restart_often,
    ),
    "long-absence-4": Scenario(
        rounds=12, faults=Faults(loss=0.02), heal_ms=4_000, deadline_ms=142_000, script=scripts.stay_away
    ),
    "black-out-4": Scenario(faults=Faults(loss=0.05), script=scripts.black_out),
    "black-out-5": Scenario(node_count=5, faults=ROUGH, script=scripts.black_out),
    "lost-votes-4": Scenario(rounds=6, faults=ROUGH, script=scripts.forget_votes),
    "lost-votes-7": Scenario(node_count=7, rounds=6, faults=replace(ROUGH, crashes=3), script=scripts.forget_votes),
    "old-backup-4": Scenario(rounds=6, faults=ROUGH, script=scripts.restore_old_backup),
    "old-backup-5": Scenario(node_count=5, rounds=6, faults=MIXED, script=scripts.restore_old_backup),
    "old-backup-7": Scenario(
        node_count=7, rounds=6, faults=replace(ROUGH, crashes=3), script=scripts.restore_old_backup
    ),
    "one-way-4": Scenario(faults=Faults(loss=0.05, one_way_partitions=6, delay_ms_max=150)),
    "one-way-7": Scenario(node_count=7, faults=replace(ROUGH, one_way_partitions=4, partitions=2, crashes=4)),
    "late-4": Scenario(faults=Faults(loss=0.05, duplication=0.3, late=0.08)),
    "late-7": Scenario(node_count=7, faults=replace(ROUGH, late=0.05, crashes=4)),
    "power-cuts-4": Scenario(faults=Faults(loss=0.05, crashes=24)),
    "power-cuts-7": Scenario(node_count=7, faults=Faults(loss=0.05, crashes=40)),
    "clock-steps-4": Scenario(faults=replace(ROUGH, clock_steps=10, clock_step_ms_max=1_500, crashes=2)),
    "clock-leaps-4": Scenario(faults=replace(ROUGH, clock_steps=8, clock_step_ms_max=30_000, crashes=2)),
    "clock-leaps-7": Scenario(
        node_count=7, faults=replace(ROUGH, clock_steps=10, clock_step_ms_max=30_000, partitions=1)
    ),
    "wrong-clock-4": Scenario(faults=ROUGH, script=scripts.set_one_clock_wrong),
    "wrong-clock-5": Scenario(
        node_count=5, faults=replace(ROUGH, crashes=3, partitions=1), script=scripts.set_one_clock_wrong
    ),
    "standstill-4": Scenario(
        faults=VOTES_ONLY,
        heal_ms=60_000,
        deadline_ms=180_000,
        parameters=replace(PARAMETERS, timeout_view_max_ms=Millis(600)),
        script=scripts.depend_on_the_straggler,
    ),
    "long-standstill-4": Scenario(
        faults=VOTES_ONLY,
        heal_ms=120_000,
        deadline_ms=240_000,
        parameters=replace(PARAMETERS, timeout_view_max_ms=Millis(500)),
        script=scripts.depend_on_the_straggler,
    ),
    "exactly-two-thirds-4": Scenario(
        weights=THIRD,
        epoch_blocks=10_000,
        late_ms={0: 20_000},
        heal_ms=20_000,
        faults=ROUGH,
        script=scripts.wait_for_the_last_third,
    ),
    "exactly-two-thirds-7": Scenario(
        node_count=7,
        weights=tuple(TOKEN * share for share in (30, 10, 10, 10, 10, 10, 10)),
        epoch_blocks=10_000,
        late_ms={0: 20_000},
        heal_ms=20_000,
        faults=replace(ROUGH, crashes=6),
        script=scripts.wait_for_the_last_third,
    ),
    "silent-4": Scenario(adversary=silent.make, adversary_count=1, faults=ROUGH),
    "silent-7": Scenario(node_count=7, adversary=silent.make, adversary_count=2, faults=ROUGH),
    "equivocator-4": Scenario(rounds=5, adversary=equivocator.make, adversary_count=1, convicts=True, faults=ROUGH),
    "equivocator-7": Scenario(
        node_count=7, rounds=5, adversary=equivocator.make, adversary_count=2, convicts=True, faults=ROUGH
    ),
    "twin-4": Scenario(rounds=5, adversary=twin.make, adversary_count=1, convicts=True, faults=ROUGH),
    "twin-7": Scenario(node_count=7, rounds=5, adversary=twin.make, adversary_count=2, convicts=True, faults=ROUGH),
    "forger-4": Scenario(rounds=4, adversary=forger.make, adversary_count=1, faults=replace(ROUGH, crashes=3)),
    "forger-7": Scenario(
        node_count=7, rounds=4, adversary=forger.make, adversary_count=2, faults=replace(ROUGH, crashes=3)
    ),
    "silent-5": Scenario(node_count=5, adversary=silent.make, adversary_count=1, faults=MIXED),
    "equivocator-5": Scenario(
        node_count=5, rounds=5, adversary=equivocator.make, adversary_count=1, convicts=True, faults=MIXED
    ),
    "twin-5": Scenario(node_count=5, rounds=5, adversary=twin.make, adversary_count=1, convicts=True, faults=MIXED),
    "forger-5": Scenario(node_count=5, rounds=4, adversary=forger.make, adversary_count=1, faults=MIXED),
    **meet("nullifier", nullifier.make),
    **meet("contradictor", nullifier.make_contradicting, convicts=True),
    **meet("forking-leader", forking_leader.make, convicts=True),
    **meet("replayer", replayer.make),
    **meet("spammer", spammer.make, convicts=True),
    **meet("withholder", withholder.make),
    **meet("bitmap-forger", bitmap_forger.make),
    **meet("split-twin", twin.make, conspires=True),
    **meet("any-adversary", make_any, rounds=5),
    "below-a-third-twin-4": Scenario(
        rounds=4,
        weights=BELOW_THIRD,
        epoch_blocks=10_000,
        adversary=twin.make,
        adversary_indexes=(0,),
        faults=MIXED,
    ),
    "below-a-third-split-twin-4": Scenario(
        rounds=4,
        weights=BELOW_THIRD,
        epoch_blocks=10_000,
        adversary=twin.make,
        adversary_indexes=(0,),
        conspires=True,
        faults=MIXED,
    ),
    "below-a-third-nullifier-4": Scenario(
        weights=BELOW_THIRD,
        epoch_blocks=10_000,
        adversary=nullifier.make,
        adversary_indexes=(0,),
        faults=MIXED,
    ),
    "a-third-silent-4": Scenario(
        weights=THIRD,
        epoch_blocks=10_000,
        adversary=silent.make,
        adversary_indexes=(0,),
        is_live=False,
        faults=MIXED,
    ),
    "a-third-split-twin-4": Scenario(
        weights=THIRD,
        epoch_blocks=10_000,
        adversary=twin.make,
        adversary_indexes=(0,),
        conspires=True,
        is_live=False,
        faults=MIXED,
    ),
    "beyond-the-bound-4": Scenario(
        adversary=twin.make,
        adversary_indexes=(2, 3),
        conspires=True,
        may_fork=True,
        is_live=False,
        heal_ms=20_000,
        script=scripts.stay_split,
    ),
    "beyond-the-bound-7": Scenario(
        node_count=7,
        adversary=twin.make,
        adversary_indexes=(4, 5, 6),
        conspires=True,
        may_fork=True,
        is_live=False,
        heal_ms=20_000,
        script=scripts.stay_split,
    ),
    "newcomer-5": Scenario(
        node_count=5, newcomer_count=1, epoch_blocks=None, faults=ROUGH, script=membership.change_members
    ),
    "late-newcomer-5": Scenario(
        node_count=5,
        newcomer_count=1,
        epoch_blocks=None,
        late_ms={4: 25_000},
        faults=ROUGH,
        script=membership.change_members,
    ),
    "newcomers-7": Scenario(
        node_count=7, newcomer_count=2, epoch_blocks=None, faults=MIXED, script=membership.change_members
    ),
    "newcomer-and-adversary-6": Scenario(
        node_count=6,
        newcomer_count=1,
        epoch_blocks=None,
        adversary=make_any,
        adversary_count=1,
        faults=MIXED,
        script=membership.change_members,
    ),
    "left-behind-5": Scenario(
        node_count=5, newcomer_count=1, epoch_blocks=2, faults=ROUGH, script=membership.leave_one_behind
    ),
    "epoch-ends-4": Scenario(
        rounds=5, epoch_blocks=None, faults=ROUGH, heal_ms=12_000, script=scripts.strike_at_epoch_ends
    ),
    "epoch-ends-7": Scenario(
        node_count=7,
        rounds=5,
        epoch_blocks=None,
        faults=ROUGH,
        heal_ms=12_000,
        adversary=make_any,
        adversary_count=2,
        script=scripts.strike_at_epoch_ends,
    ),
}
