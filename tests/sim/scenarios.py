"""The executions that tier A repeats with many seeds: who takes part, what goes wrong, and what must come of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from protocol.ledger.state import compute_genesis_state
from protocol.parameters import Parameters
from protocol.units import MICRO_TOKENS_PER_TOKEN, Millis, Round
from tests.sim.byzantine import equivocator, forger, silent, twin
from tests.sim.cluster import Cluster, MakeAdversary, Setting
from tests.sim.keys import make_genesis, make_keys
from tests.sim.memo import remember_signatures
from tests.sim.network import Faults
from tests.sim.replay import check_end

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


def do_nothing(_cluster: Cluster) -> None:
    """Add nothing to a scenario's faults."""


def restart_often(cluster: Cluster) -> None:
    """Restart somebody every now and then, so that votes must survive for a quorum ever to come together (C10)."""
    for delay_ms in range(300, cluster.setting.heal_ms, 700):
        node = cluster.random.choice(cluster.honest)
        pause_ms = cluster.random.randint(50, 500)
        cluster.loop.at(delay_ms, partial(cluster.restart, node, after_ms=pause_ms))


def black_out(cluster: Cluster) -> None:
    """Take everybody down at once, twice."""
    for begin_ms in (1_000, 5_000):
        for node in cluster.honest:
            delay_ms, pause_ms = begin_ms + cluster.random.randint(0, 400), cluster.random.randint(100, 3_000)
            cluster.loop.at(delay_ms, partial(cluster.restart, node, after_ms=pause_ms))


def stay_away(cluster: Cluster) -> None:
    """Take one node down until the others have gone on for long."""
    node = cluster.random.choice(cluster.honest)
    cluster.loop.at(cluster.random.randint(500, 2_000), partial(cluster.restart, node, after_ms=60_000))


def forget_votes(cluster: Cluster) -> None:
    """Take one node down and let it lose its journal, or its whole database (C10)."""
    node = cluster.random.choice(cluster.honest)
    loses_all = cluster.random.random() < 0.5

    def lose() -> None:
        if loses_all:
            node.disk.lose_database(compute_genesis_state(cluster.genesis))
        else:
            node.disk.lose_journal()

    down_ms = cluster.random.randint(500, 6_000)
    cluster.loop.at(down_ms, lambda: cluster.crash(node))
    cluster.loop.at(down_ms + 50, lose)
    cluster.loop.at(down_ms + cluster.random.randint(100, 2_000), lambda: cluster.boot(node))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of execution."""

    node_count: int = 4
    rounds: int = 3
    weights: tuple[int, ...] | None = None
    """Stakes in the order of the members, in micro-tokens; equal if there are none."""
    epoch_blocks: int = PARAMETERS.epoch_blocks
    """Few, so that a run has several epochs; many where the first epoch's weights are the point (C13)."""
    faults: Faults = field(default_factory=Faults)
    heal_ms: int = 8_000
    """Faults end here; until then only safety is asked for."""
    deadline_ms: int = 120_000
    """By this virtual time everything must be done."""
    adversary: MakeAdversary | None = None
    adversary_count: int = 0
    convicts: bool = False
    """True if every adversary must be jailed on every honest ledger in the end (L7); the job goes on until they are."""
    absent_count: int = 0
    script: Callable[[Cluster], None] = do_nothing
    """What happens besides the faults."""


ROUGH: Final = Faults(loss=0.1, duplication=0.1, delay_ms_max=120, clock_skew_ms_max=200)

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
    "bare-quorum-4": Scenario(absent_count=1, faults=Faults(loss=0.05), script=restart_often),
    "bare-quorum-7": Scenario(node_count=7, absent_count=2, faults=Faults(loss=0.05), script=restart_often),
    "two-thirds-and-one-4": Scenario(
        weights=(30 * TOKEN - 1, 20 * TOKEN, 20 * TOKEN, 20 * TOKEN + 1),
        epoch_blocks=10_000,
        absent_count=1,
        script=restart_often,
    ),
    "long-absence-4": Scenario(
        rounds=12, faults=Faults(loss=0.02), heal_ms=4_000, deadline_ms=300_000, script=stay_away
    ),
    "black-out-4": Scenario(faults=Faults(loss=0.05), script=black_out),
    "black-out-5": Scenario(node_count=5, faults=ROUGH, script=black_out),
    "lost-votes-4": Scenario(rounds=6, faults=ROUGH, script=forget_votes),
    "lost-votes-7": Scenario(node_count=7, rounds=6, faults=replace(ROUGH, crashes=3), script=forget_votes),
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
}


def build_cluster(scenario: Scenario, seed: int, *, may_fork: bool = False) -> Cluster:
    """Return the network of a scenario with its faults scheduled, not yet started."""
    keys = make_keys(scenario.node_count)
    parameters = replace(
        PARAMETERS,
        rounds_max=Round(0 if scenario.convicts else scenario.rounds),
        epoch_blocks=scenario.epoch_blocks,
    )
    choice = random.Random(f"choice-{seed}")
    adversaries = choice.sample(range(scenario.node_count), scenario.adversary_count)
    # Whoever is absent is the first: the stakes of a scenario say who that is.
    absent = frozenset(range(scenario.absent_count))
    cluster = Cluster(
        Setting(
            genesis=make_genesis(keys, parameters, weights=scenario.weights, seed=seed),
            keys=keys,
            seed=seed,
            faults=scenario.faults,
            heal_ms=scenario.heal_ms,
            adversaries={} if scenario.adversary is None else dict.fromkeys(adversaries, scenario.adversary),
            may_fork=may_fork,
            absent=absent,
        )
    )
    scenario.script(cluster)
    return cluster


def has_convicted(cluster: Cluster) -> bool:
    """Return whether every adversary is jailed on every honest ledger (L7)."""
    guilty = {node.member for node in cluster.nodes if not node.is_honest}
    return all(
        {account.member for account in node.disk.state.accounts if account.is_jailed} == guilty
        for node in cluster.honest
    )


def is_done(scenario: Scenario, cluster: Cluster) -> bool:
    """Return whether a run has come to what its scenario asks for."""
    is_over = cluster.loop.elapsed_ms >= scenario.heal_ms and cluster.is_settled(scenario.rounds)
    return is_over and (not scenario.convicts or has_convicted(cluster))


def run_scenario(name: str, seed: int) -> Cluster:
    """Run one seed of a scenario to its end.

    Raises:
        AssertionError: Something happened that must not, or what must happen did not in time. A note says how to
            repeat it.
    """
    scenario = SCENARIOS[name]
    try:
        with remember_signatures():
            cluster = build_cluster(scenario, seed)
            cluster.start()
            is_in_time = cluster.loop.run_until(lambda: is_done(scenario, cluster), deadline_ms=scenario.deadline_ms)
            assert is_in_time, f"not done by {scenario.deadline_ms} ms: {describe(cluster)}"
            for node in cluster.honest:
                cluster.checkers.check_slashed(node)
            check_end(cluster.genesis, [node.disk for node in cluster.honest], seed=seed)
    except BaseException as error:
        error.add_note(f"repeat it: python -m tests.sim.run --scenario {name} --seed {seed}")
        raise
    return cluster


def describe(cluster: Cluster) -> str:
    """Return in one line how far every node is."""
    parts = []
    for node in cluster.nodes:
        state = node.disk.state
        view = node.engine.consensus.view if node.engine is not None else "-"
        kind = "" if node.is_honest else " adversary"
        parts.append(f"node {node.index}{kind}: height {state.height}, view {view}, rounds {state.rounds_settled}")
    return f"{'; '.join(parts)}; {cluster.sent} messages, {cluster.loop.elapsed_ms} ms"
