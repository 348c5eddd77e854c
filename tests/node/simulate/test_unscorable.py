"""A poisoner whose huge update leaves honest voters' metrics without a score (F7, F8)."""

from node.simulate.plan import SimulationPlan
from node.simulate.run import make_keys, run_simulation
from protocol.ledger.state import LedgerState
from protocol.outcomes import RoundRecord, Verdict
from protocol.parameters import AggregationRule

PLAN = SimulationPlan(
    task="tests.node.brittle_task:AucTask",
    node_count=7,
    round_count=3,
    proposer_count=3,
    attack="noise",
    strength=60.0,
    fraction=0.14,
    aggregation=AggregationRule.MEAN,
    seed=5,
)


def test_an_update_that_ruins_the_mean_silences_no_voter_and_costs_nobody_but_its_member() -> None:
    records: list[RoundRecord] = []

    def note(record: RoundRecord, _state: LedgerState) -> None:
        records.append(record)

    result = run_simulation(PLAN, on_round=note)
    (attacker,) = [make_keys(PLAN)[index].signing.member for index in PLAN.malicious]
    first = records[0]
    condemned = [member for member, is_bad in zip(first.update_members, first.condemned, strict=True) if is_bad]
    assert (first.attempts[0].verdict, condemned) == (Verdict.REJECT, [attacker])
    assert [record.silent for record in records] == [()] * PLAN.round_count
    lost = {move.member for record in records for move in record.moves if "SLASH" in move.reason.name}
    assert lost == {attacker}
    assert result.score_final > result.score_initial + 0.1
