"""Whole simulations, small ones: what they print, that they repeat, and what attackers do on the ledger."""

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from node.attacks import SCENARIOS, BallotKind
from node.errors import ConfigError
from node.json_values import JsonObject
from node.simulate.plan import SimulationPlan, check_plan
from node.simulate.result import MemberKind, SimulationResult, build_summary
from node.simulate.run import make_keys, run_simulation
from protocol.ledger.state import LedgerState
from protocol.outcomes import RoundRecord, StakeReason, Verdict
from protocol.parameters import AggregationRule, Preset
from protocol.units import MemberId

ROOT = Path(__file__).parents[3]
PLAN = SimulationPlan(node_count=5, round_count=3, attack="sign_flip", fraction=0.4, proposer_count=2, seed=3)
FIELDS = [
    "seed",
    "task",
    "split",
    "attack",
    "fraction",
    "aggregation",
    "preset",
    "score_initial",
    "score_final",
    "rounds_rejected",
    "malicious",
    "honest",
    "evicted_malicious",
    "evicted_honest",
    "ledger_root",
    "elapsed_s",
    "scores",
    "verdicts",
]


@dataclass
class Watched:
    """A run, and the ledger's records of it."""

    result: SimulationResult
    plan: SimulationPlan
    records: list[RoundRecord] = field(default_factory=list)

    @property
    def malicious(self) -> set[MemberId]:
        keys = make_keys(self.plan)
        return {keys[index].signing.member for index in self.plan.malicious}


def watch(plan: SimulationPlan) -> Watched:
    records: list[RoundRecord] = []

    def note(record: RoundRecord, _state: LedgerState) -> None:
        records.append(record)

    return Watched(result=run_simulation(plan, on_round=note), plan=plan, records=records)


def strip(result: SimulationResult) -> JsonObject:
    return {name: value for name, value in build_summary(result).items() if name != "elapsed_s"}


def test_one_plan_is_one_execution_in_every_process() -> None:
    here = strip(run_simulation(PLAN))
    command = "simulate --nodes 5 --rounds 3 --attack sign_flip --fraction 0.4 --proposers 2 --seed 3 --json"
    there = subprocess.run(
        [sys.executable, "cli.py", *command.split()], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = there.stdout.splitlines()
    assert len(lines) == 1
    printed = json.loads(lines[0])
    assert list(printed) == FIELDS
    del printed["elapsed_s"]
    assert printed == here


def test_another_seed_is_another_execution() -> None:
    assert strip(run_simulation(PLAN)) != strip(run_simulation(replace(PLAN, seed=4)))


def test_honest_members_learn_and_keep_their_stake() -> None:
    result = run_simulation(SimulationPlan(node_count=4, round_count=3, proposer_count=2))
    assert result.score_final > result.score_initial + 0.2
    assert [entry.verdict for entry in result.rounds] == ["accept"] * 3
    assert result.count_evicted(MemberKind.HONEST) == 0
    assert min(result.rounds[-1].stakes) >= 64_000_000


def test_time_is_accounted_for() -> None:
    spent = run_simulation(SimulationPlan(node_count=4, round_count=1, proposer_count=2)).time
    assert 0.0 < spent.engine_s < spent.elapsed_s
    assert spent.train_s > 0.0
    assert spent.evaluate_s > 0.0


def test_malicious_members_lose_stake_to_a_neutral_network() -> None:
    watched = watch(replace(PLAN, node_count=7, round_count=6, fraction=0.3))
    lost = [move.member for record in watched.records for move in record.moves if "SLASH" in move.reason.name]
    assert lost
    assert set(lost) <= watched.malicious


@pytest.mark.parametrize("attack", sorted(SCENARIOS.keys() - {"none"}))
def test_every_attack_runs_to_the_end(attack: str) -> None:
    result = run_simulation(replace(PLAN, attack=attack, round_count=2))
    assert len(result.rounds) == 2
    assert result.kinds.count(MemberKind.MALICIOUS) == 2


@pytest.mark.parametrize("rule", ["multi_krum", "trimmed_mean", "mean"])
def test_rules_are_the_networks(rule: str) -> None:
    plan = SimulationPlan(node_count=8, round_count=1, aggregation=AggregationRule[rule.upper()])
    assert build_summary(run_simulation(plan))["aggregation"] == rule


def test_a_copied_vote_opens_for_nobody_and_counts_as_silence() -> None:
    """F8, F14: the copier has sealed, so that everybody waits for its opening, and cannot open."""
    watched = watch(replace(PLAN, attack="vote_copiers", node_count=7, fraction=0.3, round_count=4))
    copied = [(record, member) for record in watched.records for member in record.voters if member in watched.malicious]
    assert copied
    for record, member in copied:
        assert member in record.silent
        assert all(ballot.voter != member for ballot in record.ballots)
        assert any(
            move.member == member and move.reason is StakeReason.SLASH_ABSENT and move.amount for move in record.moves
        )


def test_silent_members_pay_and_hold_nobody_up() -> None:
    watched = watch(replace(PLAN, attack="silent", node_count=7, fraction=0.3, round_count=3))
    drawn = [(record, member) for record in watched.records for member in (*record.proposers, *record.voters)]
    silent = {(record.round, member) for record, member in drawn if member in record.silent}
    assert silent == {(record.round, member) for record, member in drawn if member in watched.malicious}
    assert silent


def test_lazy_voters_accept_everything() -> None:
    watched = watch(replace(PLAN, ballots=BallotKind.LAZY, node_count=7, fraction=0.4, round_count=4))
    cast = [ballot for record in watched.records for ballot in record.ballots if ballot.voter in watched.malicious]
    assert cast
    assert all(entry.ballot.is_accept for entry in cast)


def test_colluding_voters_accept_what_holds_a_friends_update_and_flag_the_rest() -> None:
    watched = watch(replace(PLAN, attack="colluding_voters", node_count=9, fraction=0.4, round_count=9))
    answers = set()
    for record in watched.records:
        by_friend = [member in watched.malicious for member in record.update_members]
        # A retrial judges what is left of the updates.
        for entry in record.attempts[0].ballots:
            if entry.voter in watched.malicious:
                answers.add(entry.ballot.is_accept)
                assert entry.ballot.is_accept == any(by_friend)
                assert not entry.ballot.is_base_flagged
                if not entry.ballot.is_accept:
                    assert all(entry.ballot.update_flags)
    assert answers == {True, False}


def test_inverted_voters_contradict_honest_ones() -> None:
    watched = watch(replace(PLAN, attack="inverted_voters", node_count=7, fraction=0.3, round_count=3))
    cast = [entry for record in watched.records for entry in record.ballots]
    assert {entry.ballot.is_accept for entry in cast if entry.voter in watched.malicious} == {False}
    assert {record.verdict for record in watched.records} == {Verdict.ACCEPT}


def test_copied_updates_are_no_copies_for_the_ledger() -> None:
    """F3: the ledger refuses an update that somebody else has submitted, so the free rider disguises it."""
    watched = watch(replace(PLAN, attack="free_copy", node_count=6, fraction=0.5, proposer_count=4, round_count=3))
    for record in watched.records:
        assert len(set(record.update_digests)) == len(record.proposers)


def test_uneven_data_and_the_paper_preset_run() -> None:
    plan = replace(PLAN, preset=Preset.PAPER, split="dirichlet:0.5", node_count=6, proposer_count=None, round_count=2)
    summary = build_summary(run_simulation(plan))
    assert (summary["preset"], summary["aggregation"], summary["split"]) == ("paper", "mean", "dirichlet:0.5")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"node_count": 2}, "--nodes 2: give 3 to 200"),
        ({"round_count": 0}, "--rounds 0"),
        ({"attack": "sign_flp"}, "did you mean 'sign_flip'"),
        ({"fraction": 0.95}, "--fraction 0.95"),
        ({"attack": "none"}, "say how with --attack"),
        ({"fraction": 0.01}, "is nobody"),
        ({"node_count": 4, "fraction": 0.9}, "--fraction 0.9 of 4 members is everybody"),
        ({"attack": "label_flip", "strength": 2.0}, "--strength: label_flip has none"),
        ({"strength": -1.0}, "--strength -1.0"),
        ({"proposer_count": 5}, "leave somebody to vote"),
        ({"voter_count_max": 4}, "voter_count_max is even"),
        ({"task_params": ("wrong",)}, "'wrong' is not key=value"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_one_line(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_plan(replace(PLAN, **changes))  # type: ignore[arg-type]
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unusable_task_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="the task nowhere cannot be used"):
        run_simulation(replace(PLAN, task="nowhere"))
