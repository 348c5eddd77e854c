"""Tier A: the threshold beacon among members that cheat in one way each (B1 to B5).

In every run, checkers see to it that no honest partial leaves before its round's opening block is final, that no honest
member pays for a deal or a complaint, opens what an honest dealer dealt to it, or is blamed for a partial.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocol.outcomes import StakeReason
from protocol.refusals import Refusal
from protocol.units import Epoch, MemberId, Millis
from tests.sim import membership
from tests.sim.byzantine import silent
from tests.sim.byzantine.beacon_cheat import SPEAKS_FROM, Cheat, make
from tests.sim.catalogue import MIXED
from tests.sim.cluster import Cluster, MakeAdversary
from tests.sim.memo import remember_signatures
from tests.sim.network import Faults
from tests.sim.scenario import PARAMETERS, Scenario
from tests.sim.scenarios import build_cluster, check_end, run_to_end
from tests.sim.steps import Step, replay

MILD = Faults(loss=0.02)
SHORT_WAIT = replace(PARAMETERS, beacon_wait_ms=Millis(1_500), beacon_wait_blocks=3)
PAYING = (Cheat.WRONG_SHARE, Cheat.NO_SCALAR, Cheat.FALSE_COMPLAINT)
REFUSED = {
    Cheat.WITHHELD_SHARE: Refusal.DEAL_DOES_NOT_HOLD,
    Cheat.REPOSTED_KEY: Refusal.DEAL_DOES_NOT_HOLD,
    Cheat.INFINITY: Refusal.DEAL_DOES_NOT_HOLD,
    Cheat.NOT_CANONICAL: Refusal.DEAL_DOES_NOT_HOLD,
    Cheat.COPIED_DEAL: Refusal.DEAL_DOES_NOT_HOLD,
    Cheat.LATE: Refusal.DEALING_IS_OVER,
}
PARTIALS = (
    Cheat.WRONG_PARTIAL,
    Cheat.COPIED_PARTIAL,
    Cheat.REPLAYED_PARTIAL,
    Cheat.EARLY_PARTIAL,
    Cheat.OTHER_KEY,
    Cheat.SILENT_HOLDER,
)


def make_scenario(adversary: MakeAdversary, node_count: int, *, count: int | None = None, rounds: int = 6) -> Scenario:
    return Scenario(
        node_count=node_count,
        adversary=adversary,
        adversary_count=(node_count - 1) // 3 if count is None else count,
        rounds=rounds,
        faults=MILD,
        heal_ms=3_000,
        parameters=SHORT_WAIT,
    )


def run(scenario: Scenario, seed: int) -> tuple[Cluster, list[Step]]:
    """Run a scenario with all that is checked in every run, and return its ledger block by block."""
    with remember_signatures():
        cluster = build_cluster(scenario, seed)
        cluster.start()
        run_to_end(scenario, cluster)
        check_end(cluster, seed)
    return cluster, replay(cluster.genesis, cluster.honest[0].disk)


def get_cheats(cluster: Cluster) -> set[MemberId]:
    return {node.member for node in cluster.nodes if not node.is_honest}


def get_draws(steps: Sequence[Step]) -> dict[int, bool]:
    """Return of every round that opened with a key whether it was drawn from the threshold beacon."""
    with_key = {
        step.after.round.round
        for step in steps
        if step.after.round is not None and step.after.round.key_epoch is not None
    }
    records = [step.outcome.settled for step in steps if step.outcome.settled is not None]
    return {record.round: record.beacon is not None for record in records if record.round in with_key}


def get_payers(steps: Sequence[Step]) -> set[MemberId]:
    return {
        move.member for step in steps for move in step.outcome.moves if move.reason is StakeReason.SLASH_CEREMONY
    }


def count_refusals(steps: Sequence[Step], members: set[MemberId]) -> Counter[Refusal]:
    return Counter(
        result.refusal
        for step in steps
        for operation, result in zip(step.operations, step.outcome.results, strict=True)
        if operation.content.member in members
    )


@pytest.mark.parametrize(("cheat", "node_count"), [*((cheat, 4) for cheat in PAYING), (Cheat.FALSE_COMPLAINT, 7)])
def test_whoever_deals_a_wrong_share_or_complains_of_a_right_one_pays(cheat: Cheat, node_count: int) -> None:
    cluster, steps = run(make_scenario(make(cheat), node_count), seed=1)
    assert get_payers(steps)
    assert get_payers(steps) <= get_cheats(cluster)
    draws = get_draws(steps)
    assert draws and all(draws.values())


@pytest.mark.parametrize(("cheat", "refusal"), REFUSED.items())
def test_a_deal_that_does_not_hold_or_comes_late_is_refused_and_the_key_comes_all_the_same(
    cheat: Cheat, refusal: Refusal
) -> None:
    cluster, steps = run(make_scenario(make(cheat), 4), seed=2)
    assert count_refusals(steps, get_cheats(cluster))[refusal] > 0
    assert get_payers(steps) == set()
    dealers = {deal.dealer for step in steps for key in step.after.beacon_keys for deal in key.deals}
    assert dealers and not dealers & get_cheats(cluster)
    draws = get_draws(steps)
    assert draws and all(draws.values())


@pytest.mark.parametrize(("cheat", "node_count"), [*((cheat, 4) for cheat in PARTIALS), (Cheat.WRONG_PARTIAL, 7)])
def test_partials_that_lie_do_not_keep_an_output_back(cheat: Cheat, node_count: int) -> None:
    _, steps = run(make_scenario(make(cheat), node_count), seed=3)
    draws = get_draws(steps)
    assert draws and all(draws.values())


@pytest.mark.parametrize("cheat", [Cheat.WRONG_PARTIAL, Cheat.COPIED_PARTIAL])
def test_whoever_lies_in_a_partial_is_found_out(cheat: Cheat) -> None:
    """Its partial is looked at only if it is among those that are combined, so not on every node, nor in every run."""
    runs = [run(make_scenario(make(cheat), 4), seed)[0] for seed in range(4)]
    assert any(cluster.checkers.blamed == get_cheats(cluster) for cluster in runs)
    assert all(cluster.checkers.blamed <= get_cheats(cluster) for cluster in runs)


def test_with_a_third_silent_rounds_go_on_from_the_threshold_beacon() -> None:
    _, steps = run(make_scenario(silent.make, 7), seed=4)
    draws = get_draws(steps)
    assert draws and all(draws.values())


def test_too_few_deals_make_no_key_and_rounds_go_on_degraded() -> None:
    """Half of four deal never: two deals, three are needed."""
    _, steps = run(make_scenario(make(Cheat.NEVER), 4, count=2), seed=5)
    assert all(step.after.beacon_keys == () for step in steps)
    assert steps[-1].after.epoch >= 2
    records = [step.outcome.settled for step in steps if step.outcome.settled is not None]
    assert len(records) == 6 and all(record.is_degraded for record in records)


def test_a_ceremony_that_failed_is_repeated_in_the_next_epoch() -> None:
    _, steps = run(make_scenario(make(Cheat.NEVER_AT_FIRST), 4, count=2, rounds=8), seed=6)
    epochs = [key.epoch for key in steps[-1].after.beacon_keys]
    assert epochs and min(epochs) >= 3
    draws = get_draws(steps)
    assert draws and all(draws.values())


@pytest.mark.parametrize("seed", [7])
def test_without_enough_partials_a_round_falls_back_and_a_later_one_recovers(seed: int) -> None:
    """Five of seven holders keep their partials back at first; they take part in everything else.

    Of four, each would have enough with its own and those of the three honest ones, and put the output into its blocks.
    """
    _, steps = run(make_scenario(make(Cheat.SILENT_HOLDER), 7, count=5, rounds=8), seed)
    draws = get_draws(steps)
    assert min(draws) < SPEAKS_FROM <= max(draws)
    assert draws == {number: number >= SPEAKS_FROM for number in draws}


@pytest.mark.parametrize("seed", range(2))
def test_members_join_and_leave_and_the_key_follows(seed: int) -> None:
    scenario = Scenario(
        node_count=6,
        newcomer_count=1,
        epoch_blocks=8,
        adversary=make(Cheat.WRONG_SHARE),
        adversary_count=1,
        faults=MIXED,
        parameters=SHORT_WAIT,
        script=membership.change_members,
    )
    _, steps = run(scenario, seed)
    keys = {key.epoch: key for step in steps for key in step.after.beacon_keys}
    validators = {step.before.epoch: tuple(entry.member for entry in step.before.validators) for step in steps}
    assert all(key.holders == validators[Epoch(epoch - 1)] for epoch, key in keys.items())
    assert len({key.holders for key in keys.values()}) > 1
