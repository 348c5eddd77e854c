"""Runs one seed of a scenario of tier A to its end, and checks what must come of it."""

import random
from dataclasses import replace
from typing import Final

from protocol.units import MemberId, Round
from tests.sim.byzantine.twin import Conspiracy
from tests.sim.catalogue import SCENARIOS
from tests.sim.cluster import Cluster, Setting
from tests.sim.keys import make_genesis, make_keys
from tests.sim.memo import remember_signatures
from tests.sim.opinion import check_opinion
from tests.sim.replay import check_audit, check_minted, check_replays
from tests.sim.scenario import PARAMETERS, TOKEN, Scenario
from tests.sim.steps import replay
from tests.sim.surroundings import Manner

__all__ = [
    "PARAMETERS",
    "SCENARIOS",
    "TOKEN",
    "Scenario",
    "build_cluster",
    "check_end",
    "describe",
    "has_convicted",
    "is_done",
    "run_scenario",
    "run_to_end",
]

AFTERMATH_MS: Final = 20_000
"""How long a run of which no progress is asked goes on after the faults are over."""


def build_cluster(scenario: Scenario, seed: int) -> Cluster:
    """Return the network of a scenario with its faults scheduled, not yet started."""
    keys = make_keys(scenario.node_count)
    parameters = replace(
        scenario.parameters,
        rounds_max=Round(0 if scenario.convicts or scenario.newcomer_count else scenario.rounds),
        epoch_blocks=scenario.epoch_blocks or PARAMETERS.epoch_blocks,
    )
    choice = random.Random(f"choice-{seed}")
    founder_count = scenario.node_count - scenario.newcomer_count
    drawn = choice.sample(range(founder_count), scenario.adversary_count)
    adversaries = scenario.adversary_indexes or drawn
    if scenario.epoch_blocks is None:
        parameters = replace(parameters, epoch_blocks=choice.randint(2, 8))
    make = Conspiracy().make if scenario.conspires else scenario.adversary
    # Whoever is absent is the first: the stakes of a scenario say who that is.
    absent = frozenset(range(scenario.absent_count))
    cluster = Cluster(
        Setting(
            genesis=make_genesis(keys[:founder_count], parameters, weights=scenario.weights, seed=seed),
            keys=keys,
            seed=seed,
            faults=scenario.faults,
            heal_ms=scenario.heal_ms,
            adversaries={} if make is None else dict.fromkeys(adversaries, make),
            may_fork=scenario.may_fork,
            absent=absent,
            late_ms=scenario.late_ms,
            manners=draw_manners(scenario, seed),
        )
    )
    scenario.script(cluster)
    return cluster


def draw_manners(scenario: Scenario, seed: int) -> dict[int, Manner]:
    """Return which members' workers are idle, and which poison."""
    count = scenario.idle_count + scenario.poisoning_count
    drawn = random.Random(f"manners-{seed}").sample(range(scenario.node_count - scenario.newcomer_count), count)
    kinds = [Manner.IDLE] * scenario.idle_count + [Manner.POISONING] * scenario.poisoning_count
    return dict(zip(drawn, kinds, strict=True))


def has_convicted(cluster: Cluster) -> bool:
    """Return whether every adversary is jailed on every honest ledger (L7)."""
    return has_jailed(cluster, {node.member for node in cluster.nodes if not node.is_honest})


def has_jailed(cluster: Cluster, guilty: set[MemberId]) -> bool:
    """Return whether exactly these members are jailed on every honest ledger (L7)."""
    return all(
        {account.member for account in node.disk.state.accounts if account.is_jailed} == guilty
        for node in cluster.honest
    )


def is_done(scenario: Scenario, cluster: Cluster) -> bool:
    """Return whether a run has come to what its scenario asks for."""
    is_over = cluster.loop.elapsed_ms >= scenario.heal_ms and cluster.is_settled(scenario.rounds)
    return is_over and (not scenario.convicts or has_convicted(cluster))


def run_to_end(scenario: Scenario, cluster: Cluster) -> None:
    """Run until a scenario has come to what it asks for; where that is nothing, until its faults are long over."""
    if scenario.is_live:
        is_in_time = cluster.loop.run_until(lambda: is_done(scenario, cluster), deadline_ms=scenario.deadline_ms)
        if not is_in_time and scenario.convicts:
            # A twin may never happen to contradict itself; then there is nothing to convict it of.
            liars, deadline_ms = cluster.checkers.book.liars, scenario.deadline_ms + AFTERMATH_MS
            is_in_time = cluster.loop.run_until(
                lambda: cluster.is_settled(scenario.rounds) and has_jailed(cluster, liars), deadline_ms=deadline_ms
            )
        assert is_in_time, f"not done by {scenario.deadline_ms} ms: {describe(cluster)}"
    else:
        cluster.loop.run_for(scenario.heal_ms + AFTERMATH_MS)


def check_end(cluster: Cluster, seed: int) -> None:
    """Check every honest node's ledger; of one that the seed draws the export, and its rules a second time."""
    disks = [node.disk for node in cluster.honest]
    drawn = random.Random(f"audit-{seed}").choice(disks)
    cluster.checkers.check_forks_convict()
    for node in cluster.honest:
        cluster.checkers.check_slashed(node)
        check_minted(cluster.genesis, node.disk)
    check_replays(cluster.genesis, disks)
    check_audit(cluster.genesis, drawn)
    check_opinion(cluster.genesis, replay(cluster.genesis, drawn), frozenset(node.member for node in cluster.honest))


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
            run_to_end(scenario, cluster)
            check_end(cluster, seed)
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
