"""Tier A: members whose engine is honest and whose worker is not, so that rounds need another chance (F11, F13).

Every run ends with the second opinion on its ledger (:mod:`tests.sim.opinion`); here it is asked whether retrials and
standbys came about at all, and what for.
"""

from collections.abc import Iterator
from functools import cache

import pytest

from protocol.outcomes import Phase, RoundRecord, StakeReason, Verdict
from protocol.units import MemberId
from tests.sim.cluster import Cluster
from tests.sim.scenarios import run_scenario
from tests.sim.surroundings import Manner

SEEDS = range(2)


@cache
def run(name: str, seed: int) -> Cluster:
    return run_scenario(name, seed)


def list_records(cluster: Cluster) -> list[RoundRecord]:
    return [outcome.settled for outcome in cluster.honest[0].disk.outcomes if outcome.settled is not None]


def get_members(cluster: Cluster, manner: Manner) -> set[MemberId]:
    return {cluster.nodes[index].member for index, other in cluster.setting.manners.items() if other is manner}


def iterate_records(*names: str) -> Iterator[tuple[Cluster, RoundRecord]]:
    for name in names:
        for seed in SEEDS:
            cluster = run(name, seed)
            for record in list_records(cluster):
                yield cluster, record


@pytest.mark.parametrize("name", ["poisoners-7", "poisoners-9"])
def test_a_poisoned_round_is_judged_once_more_without_the_poison(name: str) -> None:
    """F11: the rest becomes the model, nobody but the poisoners pays for an update, and no bad one is rewarded."""
    retried = [(cluster, record) for cluster, record in iterate_records(name) if len(record.attempts) == 2]
    assert any(record.verdict is Verdict.ACCEPT for _, record in retried)
    for cluster, record in iterate_records(name):
        slashed = {move.member for move in record.moves if move.reason is StakeReason.SLASH_UPDATE}
        rewarded = {move.member for move in record.moves if move.reason is StakeReason.REWARD_UPDATE}
        poisoning = get_members(cluster, Manner.POISONING)
        assert slashed <= poisoning
        assert not rewarded & poisoning
        if len(record.attempts) == 2:
            assert slashed


def test_who_accepts_poison_pays_even_if_it_says_the_right_thing_afterwards() -> None:
    """F14: in the retrial poisoners, too, find the rest good."""
    paid = 0
    for cluster, record in iterate_records("poisoners-9"):
        if len(record.attempts) == 2 and record.verdict is Verdict.ACCEPT:
            wrong = {entry.voter for entry in record.attempts[0].ballots if entry.ballot.is_accept}
            assert wrong <= get_members(cluster, Manner.POISONING)
            slashed = {move.member for move in record.moves if move.reason is StakeReason.SLASH_VOTE}
            assert slashed == wrong
            paid += len(slashed)
    assert paid > 0


@pytest.mark.parametrize("name", ["idle-7", "idle-9"])
def test_standbys_keep_rounds_from_being_void(name: str) -> None:
    """F13: as proposers and as voters; once the network is well nobody is replaced that was not idle."""
    phases = set()
    saved = 0
    for cluster, record in iterate_records(name):
        replaced = {entry.silent for entry in record.replacements}
        is_well = record.opened_ms >= cluster.genesis.created_ms + cluster.setting.heal_ms
        assert not is_well or replaced <= get_members(cluster, Manner.IDLE)
        assert replaced <= set(record.silent)
        phases |= {entry.phase for entry in record.replacements}
        saved += bool(replaced) and record.verdict is Verdict.ACCEPT
    assert phases == {Phase.TRAIN, Phase.SEAL}
    assert saved > 0


def test_a_round_can_have_both() -> None:
    chances = [
        (bool(record.replacements), len(record.attempts)) for _, record in iterate_records("poisoners-and-idle-9")
    ]
    assert {(True, 1), (False, 2)} <= set(chances) or (True, 2) in chances
