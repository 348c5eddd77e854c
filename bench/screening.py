"""Which test of a single update tells poison from data that differ (decisions 0025, 0029): python -m bench.screening

Ten members train; nobody is slashed, so that all stay. Every update of every round is judged by all honest members, by
several tests at once. Printed is the percentage of updates that more than half of all members would condemn, and what
an update brings or costs its proposer on average, in tokens: of several attackers the one that fares best, of honest
members the one that fares worst. Half an update and one vote a round bring who starts with 64 tokens below 8 within 60
rounds if an update costs 2.4 or more; who loses less than half a token by an update stays where it is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from node.attacks import BallotKind
from node.simulate.plan import SimulationPlan
from node.simulate.run import make_keys, run_simulation
from node.worker.laboratory import Laboratory
from protocol.learning.screening import Screening, compute_effect
from protocol.ledger.money import compute_by_margin
from protocol.outcomes import RoundRecord
from protocol.parameters import AggregationRule, Parameters
from protocol.units import MICRO_TOKENS_PER_TOKEN, Bps, MemberId, Ppm

Scores: TypeAlias = NDArray[np.float64]
"""What each update of a round does to each voter's score, in basis points of the base's, float64 [updates, voters]."""

PLAN: Final = SimulationPlan(
    node_count=10,
    round_count=40,
    proposer_count=5,
    aggregation=AggregationRule.MEDIAN,
    settings=("slash_vote=0", "slash_update=0"),
)
SEEDS: Final = (1, 2)
ATTACKS: Final = ("sign_flip", "label_flip", "ratchet", "inner_product", "scaling", "alie", "min_max")
SPLITS: Final = ("iid", "dirichlet:0.5", "dirichlet:0.1")
STEPS: Final = {"half": 1 / 2, "quarter": 1 / 4, "sixteenth": 1 / 16, "back": -1 / 16}
CUSUM_SLACK_BPS: Final = 10.0
CUSUM_LIMIT_BPS: Final = 40.0


@dataclass(slots=True, kw_only=True)
class Round:
    """What the honest voters measure in a round."""

    record: RoundRecord
    members: list[int]
    """Who made each update."""
    base: list[Ppm]
    """Each voter's score of the base."""
    steps: dict[str, Scores]
    """By how much of an update the base is moved."""
    eighths: list[list[Ppm]]
    """Each voter's score of the base moved by an eighth of each update, [updates, voters]."""
    without: Scores
    """What leaving the update out does to the candidate."""


Test: TypeAlias = Callable[[Round], NDArray[np.bool_]]
"""Says which updates each voter flags, bool [updates, voters]; may remember earlier rounds."""


def make_tests(plan: SimulationPlan) -> dict[str, Test]:
    """Return all tests without memory of any round."""
    sums = np.zeros((plan.node_count, plan.node_count - plan.malicious_count))
    means = np.zeros_like(sums)
    counts = np.zeros(plan.node_count)

    def add_up(seen: Round) -> NDArray[np.bool_]:
        for member, effect in zip(seen.members, seen.steps["eighth"], strict=True):
            sums[member] = np.maximum(0.0, sums[member] - effect - CUSUM_SLACK_BPS)
        return sums[seen.members] > CUSUM_LIMIT_BPS

    def average(seen: Round) -> NDArray[np.bool_]:
        for member, effect in zip(seen.members, seen.steps["eighth"], strict=True):
            counts[member] += 1
            means[member] += (effect.clip(-100.0, 20.0) - means[member]) / min(counts[member], 10)
        return means[seen.members] < np.minimum(0.0, np.median(means, axis=0)) - 20.0

    def below(step: str, limit_bps: float) -> Test:
        return lambda seen: seen.steps[step] < -limit_bps

    return {
        "half, 0.2 %": below("half", 20.0),
        "quarter, 0.2 %": below("quarter", 20.0),
        "eighth, 0.2 % (0025)": below("eighth", 20.0),
        "eighth, 0.1 %": below("eighth", 10.0),
        "sixteenth, 0.1 %": below("sixteenth", 10.0),
        "sixteenth forth and back, 0.05 %": lambda seen: (seen.steps["sixteenth"] - seen.steps["back"]) / 2 < -5.0,
        "eighth of the median length, 0.2 %": below("even", 20.0),
        "eighth, 0.2 % below the round's median": lambda seen: (
            seen.steps["eighth"] - np.median(seen.steps["eighth"], axis=0) < -20.0
        ),
        "candidate without it better by 0.1 %": lambda seen: seen.without > 10.0,
        "sum of eighths": add_up,
        "mean of eighths, 0.2 % below the median member's": average,
        "mean of eighths, 0.2 % (0029)": make_screening(plan, Bps(20)),
        "the same, 0.1 %": make_screening(plan, Bps(10)),
    }


def make_screening(plan: SimulationPlan, limit_bps: Bps) -> Test:
    """Return what nodes do."""
    keys = [entry.signing.member for entry in make_keys(plan)]
    voters = [Screening(limit_bps) for _ in range(plan.node_count - plan.malicious_count)]

    def screen(seen: Round) -> NDArray[np.bool_]:
        members = [keys[member] for member in seen.members]
        columns = [
            voter.judge(seen.record.round, base, tuple(zip(members, scores, strict=True)))
            for voter, base, scores in zip(voters, seen.base, zip(*seen.eighths, strict=True), strict=True)
        ]
        return np.array(columns, dtype=np.bool_).T

    return screen


@dataclass(slots=True)
class Jury:
    """All honest members, and what they say of every update."""

    plan: SimulationPlan
    tests: dict[str, Test]
    flags: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """By test: who made the update, and how many flag it."""
    numbers: dict[MemberId, int] = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = {entry.signing.member: number for number, entry in enumerate(make_keys(self.plan))}

    def inspect(self, laboratory: Laboratory, record: RoundRecord) -> None:
        """Judge the updates of a round."""
        if not record.update_digests:
            return
        seen = self._measure(laboratory, record)
        for name, test in self.tests.items():
            counts = test(seen).sum(axis=1)
            self.flags.setdefault(name, []).extend((who, int(n)) for who, n in zip(seen.members, counts, strict=True))

    def _measure(self, laboratory: Laboratory, record: RoundRecord) -> Round:
        voters = range(self.plan.node_count - self.plan.malicious_count)
        base = laboratory.get_weights(record.base_digest)
        changes = np.stack([laboratory.get_change(digest) for digest in record.update_digests])
        lengths = np.linalg.norm(changes, axis=1, keepdims=True)
        even = changes * (np.median(lengths) / np.maximum(lengths, np.finfo(np.float64).tiny))
        before = [Ppm(int(laboratory.evaluate(voter, record.base_digest))) for voter in voters]

        def score(moves: NDArray[np.float64]) -> list[list[Ppm]]:
            moved = [laboratory.add_change(base, move) for move in moves]
            return [[laboratory.evaluate_weights(voter, weights) for voter in voters] for weights in moved]

        def compare(scores: list[list[Ppm]]) -> Scores:
            pairs = [zip(row, before, strict=True) for row in scores]
            return np.array([[compute_effect(after, first) / 100 for after, first in row] for row in pairs])

        eighths = score(changes / 8.0)
        steps = {name: compare(score(share * changes)) for name, share in STEPS.items()}
        candidate = compare(score(np.median(changes, axis=0, keepdims=True)))
        places = range(len(changes))
        rest = [np.delete(changes, place, axis=0) if len(changes) > 1 else 0.0 * changes for place in places]
        without = score(np.stack([np.median(others, axis=0) for others in rest]))
        return Round(
            record=record,
            members=[self.numbers[member] for member in record.update_members],
            base=before,
            steps={**steps, "eighth": compare(eighths), "even": compare(score(even / 8.0))},
            eighths=eighths,
            without=compare(without) - candidate,
        )


def judge(plan: SimulationPlan) -> Jury:
    """Run a plan and return what was said."""
    jury = Jury(plan, make_tests(plan))
    run_simulation(plan, inspect=jury.inspect)
    return jury


def compute_cell(juries: list[Jury], test: str, *, is_poison: bool) -> str:
    """Return the percentage of updates condemned, and the tokens that one brings: the best attacker, the worst else."""
    parameters = Parameters()
    condemned: list[bool] = []
    brought: list[float] = []
    for jury in juries:
        total = jury.plan.node_count
        by_member: dict[int, list[float]] = {}
        for member, count in jury.flags[test]:
            if (member in jury.plan.malicious) is not is_poison:
                continue
            is_condemned = 2 * count > total
            condemned.append(is_condemned)
            slash = compute_by_margin(parameters.slash_update, count=count, total=total) if is_condemned else 0
            amount = -slash if is_condemned else int(parameters.reward_update)
            by_member.setdefault(member, []).append(amount / MICRO_TOKENS_PER_TOKEN)
        means = [sum(amounts) / len(amounts) for amounts in by_member.values()]
        brought.append(max(means) if is_poison else min(means))
    return f"{100 * sum(condemned) / len(condemned):.1f}, {max(brought) if is_poison else min(brought):+.1f}"


def print_table(columns: Iterable[tuple[str, list[Jury], bool]]) -> None:
    """Print a row for each test and a column for each plan."""
    table = list(columns)
    print("| test of an update |", " | ".join(name for name, _, _ in table), "|")
    print("|---|" + "---|" * len(table))
    for test in table[0][1][0].tests:
        cells = [compute_cell(juries, test, is_poison=is_poison) for _, juries, is_poison in table]
        print(f"| {test} |", " | ".join(cells), "|")


def main() -> None:
    """Judge attackers that vote honestly, then honest members whose data differ."""
    plans = [
        *[(name, replace(PLAN, attack=name, fraction=0.3, ballots=BallotKind.HONEST), True) for name in ATTACKS],
        *[(f"honest, {split}", replace(PLAN, split=split), False) for split in SPLITS],
        ("honest, loans by state", replace(PLAN, task="lending_club", split="site"), False),
    ]
    print_table(
        (name, [judge(replace(plan, seed=seed)) for seed in SEEDS], is_poison) for name, plan, is_poison in plans
    )


if __name__ == "__main__":
    main()
