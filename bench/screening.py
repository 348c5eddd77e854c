"""Which test of a single update tells poison from data that differ (decision 0025): python -m bench.screening

Ten members train; nobody is slashed, so that all stay. Every update of every round is judged by all honest members, by
several tests at once. Printed is the percentage of updates that more than half of all members would condemn.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from node.attacks import BallotKind
from node.simulate.plan import SimulationPlan
from node.simulate.run import make_keys, run_simulation
from node.worker.laboratory import Laboratory
from protocol.outcomes import RoundRecord
from protocol.parameters import AggregationRule
from protocol.units import BPS_WHOLE

PLAN = SimulationPlan(
    node_count=10,
    round_count=40,
    proposer_count=5,
    aggregation=AggregationRule.MEDIAN,
    settings=("slash_vote=0", "slash_update=0"),
)
ATTACKS = ("sign_flip", "label_flip", "ratchet", "inner_product")
SPLITS = ("iid", "dirichlet:0.5", "dirichlet:0.1")
WHOLE = (1, 500)
TESTS = (WHOLE, (2, 20), (4, 20), (8, 20), (8, 10), (8, 50), (16, 20))
"""By what an update is divided, and how many basis points its base may lose by it. A whole one is held against the
best model so far instead, as it was before.
"""


@dataclass(slots=True)
class Jury:
    """All honest members, and what they say of every update."""

    plan: SimulationPlan
    best: dict[int, int] = field(default_factory=dict)
    judged: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    condemned: dict[tuple[tuple[int, int], bool], int] = field(default_factory=dict)

    def inspect(self, laboratory: Laboratory, record: RoundRecord) -> None:
        """Judge the updates of a round."""
        numbers = {entry.signing.member: number for number, entry in enumerate(make_keys(self.plan))}
        honest = range(self.plan.node_count - self.plan.malicious_count)
        base = laboratory.get_weights(record.base_digest)
        scores = {voter: int(laboratory.evaluate(voter, record.base_digest)) for voter in honest}
        self.best = {voter: max(score, self.best.get(voter, 0)) for voter, score in scores.items()}
        for member, digest in zip(record.update_members, record.update_digests, strict=True):
            is_poison = numbers[member] in self.plan.malicious
            self.judged[is_poison] += 1
            change = laboratory.get_change(digest)
            for test in TESTS:
                divisor, limit_bps = test
                moved = laboratory.add_change(base, np.asarray(change / divisor))
                reference = self.best if test == WHOLE else scores
                flags = [
                    laboratory.evaluate_weights(voter, moved) * BPS_WHOLE < reference[voter] * (BPS_WHOLE - limit_bps)
                    for voter in honest
                ]
                if 2 * sum(flags) > self.plan.node_count:
                    self.condemned[test, is_poison] = self.condemned.get((test, is_poison), 0) + 1


def judge(plan: SimulationPlan) -> Jury:
    """Run a plan and return what was said."""
    jury = Jury(plan)
    run_simulation(plan, inspect=jury.inspect)
    return jury


def print_table(columns: Iterable[tuple[str, Jury, bool]]) -> None:
    """Print a row for each test and a column for each run."""
    table = list(columns)
    print("| test of an update |", " | ".join(name for name, _, _ in table), "|")
    for test in TESTS:
        divisor, limit_bps = test
        against = "best model" if test == WHOLE else "base"
        cells = [
            f"{100 * jury.condemned.get((test, is_poison), 0) / jury.judged[is_poison]:.1f}"
            for _, jury, is_poison in table
        ]
        print(f"| 1/{divisor}, {limit_bps / 100:.1f} % below the {against} |", " | ".join(cells), "|")


def main() -> None:
    """Judge attackers that vote honestly, then honest members whose data differ."""
    plans = [
        *[(name, replace(PLAN, attack=name, fraction=0.3, ballots=BallotKind.HONEST), True) for name in ATTACKS],
        *[(f"honest, {split}", replace(PLAN, split=split), False) for split in SPLITS],
    ]
    print_table((name, judge(plan), is_poison) for name, plan, is_poison in plans)


if __name__ == "__main__":
    main()
