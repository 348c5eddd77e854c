"""The audit of an honest export, and of one in which one thing was changed by somebody who can re-encode it.

The first wrong thing is named with its height.
"""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pytest

from protocol.audit import verify_export
from protocol.ledger.state import compute_state_root
from protocol.outcomes import BlockOutcome, OperationResult, RoundRecord, StakeMove, StakeReason, Verdict
from protocol.refusals import Refusal
from protocol.units import Height, Millis, Round, Stake
from tests.helpers import make_digest
from tests.protocol.audit.chains import (
    SETTLED,
    build_chain,
    build_tiny_chain,
    expect_failure,
    find_height_with_refusal,
    rewrite_outcome,
    rewrite_record,
    verify,
    write,
)


def change_attempt(**changes: object) -> Callable[[RoundRecord], RoundRecord]:
    """Return what changes the last judgement of a record."""

    def change(record: RoundRecord) -> RoundRecord:
        *first, last = record.attempts
        return replace(record, attempts=(*first, replace(last, **changes)))  # type: ignore[arg-type]

    return change


def test_an_honest_export_is_good_and_reported_in_full() -> None:
    builder = build_chain()
    report = verify(write(builder.genesis, builder.export(certified=lambda height: height % 3 == 0)))
    assert (report.chain_id, report.network_name, report.height) == (builder.chain_id, "test", builder.state.height)
    assert (report.state_root, report.tip_hash) == (compute_state_root(builder.state), builder.state.block_hash)
    assert (report.rounds, dict(report.verdicts)) == (3, {Verdict.VOID: 1, Verdict.ACCEPT: 1, Verdict.REJECT: 1})
    assert (report.supply, report.treasury) == (builder.state.supply, builder.state.treasury)
    assert report.accounts == builder.state.accounts
    assert report.model_digest == builder.state.model_digest
    assert (report.degraded_count, report.refused_count) == (3, 1)
    assert report.refusals == ((Refusal.BOND_EXCEEDS_FREE, 1),)
    assert report.operation_count == sum(len(built.outcome.results) for built in builder.blocks)
    assert report.certificate_count == len(builder.blocks) // 3 + 1
    assert report.signature_count == (2 * len(builder.blocks) + report.operation_count + 4 * report.certificate_count)


def test_progress_names_every_height_that_was_good() -> None:
    builder = build_tiny_chain()
    seen: list[Height] = []
    verify_export(BytesIO(write(builder.genesis, builder.export())), on_progress=seen.append)
    assert seen == [1, 2]


def test_an_export_of_the_genesis_document_alone_is_good() -> None:
    report = verify(write(build_tiny_chain().genesis, ()))
    assert (report.height, report.rounds, report.certificate_count) == (0, 0, 0)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(change_attempt(verdict=Verdict.REJECT), "verdict: recorded REJECT", id="verdict"),
        pytest.param(lambda r: replace(r, round=Round(9)), "round: recorded 9, recomputed 1", id="round"),
        pytest.param(lambda r: replace(r, proposers=r.proposers[::-1]), "draw: proposers", id="proposers"),
        pytest.param(lambda r: replace(r, voters=r.standbys), "draw: voters", id="voters"),
        pytest.param(lambda r: replace(r, standbys=r.voters), "draw: standbys", id="standbys"),
        pytest.param(lambda r: replace(r, beacon_output=make_digest("x")), "draw: beacon output", id="beacon"),
        pytest.param(lambda r: replace(r, is_degraded=False), "draw: degraded mark", id="degraded"),
        pytest.param(lambda r: replace(r, base_digest=make_digest("x")), "model lineage: base", id="base"),
        pytest.param(change_attempt(candidate_digest=None), "model lineage: candidate", id="candidate"),
        pytest.param(lambda r: replace(r, model_digest=make_digest("x")), "model lineage: model", id="model"),
        pytest.param(lambda r: replace(r, update_digests=r.update_digests[::-1]), "updates: digests", id="updates"),
        pytest.param(lambda r: replace(r, update_members=()), "updates: members", id="update members"),
        pytest.param(change_attempt(condemned=(True, False)), "condemned updates", id="condemned"),
        pytest.param(change_attempt(is_base_condemned=True), "condemned base", id="condemned base"),
        pytest.param(change_attempt(accept_count=0), "tally: accepts", id="accepts"),
        pytest.param(change_attempt(reject_count=1), "tally: rejects", id="rejects"),
        pytest.param(lambda r: replace(r, silent=r.voters), "silent members", id="silent"),
        pytest.param(lambda r: replace(r, settled_ms=Millis(0)), "settled_ms", id="time"),
        pytest.param(lambda r: replace(r, moves=r.moves[:-1]), "recorded none, recomputed REWARD", id="lost reward"),
        pytest.param(lambda r: replace(r, moves=(*r.moves, r.moves[0])), "recomputed none", id="extra reward"),
        pytest.param(change_attempt(ballots=()), "ballot of voter", id="lost ballot"),
        pytest.param(lambda r: replace(r, attempts=r.attempts * 2), "judgements: recorded 2", id="judgements"),
    ],
)
def test_a_changed_record_of_a_round_is_named(change: Callable[[RoundRecord], RoundRecord], what: str) -> None:
    failure = expect_failure(rewrite_record(change))
    assert failure.height == SETTLED
    assert failure.what.startswith("round 1: ")
    assert what in failure.what


def test_a_changed_reward_is_named_with_its_member_and_both_amounts() -> None:
    def change(record: RoundRecord) -> RoundRecord:
        first, *others = record.moves
        return replace(record, moves=(replace(first, amount=Stake(first.amount + 1)), *others))

    settled = build_chain().blocks[SETTLED - 1].outcome.settled
    assert settled is not None
    member = settled.moves[0].member.hex()[:8]
    assert expect_failure(rewrite_record(change)).what == (
        f"round 1: stake move 0: recorded REWARD_VOTE of 250001 for member {member}, "
        f"recomputed REWARD_VOTE of 250000 for member {member}"
    )


def test_a_swapped_ballot_is_named_with_its_voter() -> None:
    def change(record: RoundRecord) -> RoundRecord:
        first, *others = record.ballots
        ballots = (replace(first, ballot=replace(first.ballot, is_accept=False)), *others)
        return change_attempt(ballots=ballots)(record)

    settled = build_chain().blocks[SETTLED - 1].outcome.settled
    assert settled is not None
    assert f"ballot of voter {settled.ballots[0].voter.hex()[:8]}" in expect_failure(rewrite_record(change)).what


def change_record_of(verdict: Verdict, change: Callable[[RoundRecord], RoundRecord]) -> str:
    """Return what the audit says of a change in the record of the round that came to a verdict."""
    settled = [(index, built.outcome.settled) for index, built in enumerate(build_chain().blocks, start=1)]
    height, record = next((index, found) for index, found in settled if found is not None and found.verdict is verdict)
    failure = expect_failure(rewrite_outcome(height, lambda outcome: replace(outcome, settled=change(record))))
    assert failure.height == height
    return failure.what


def test_both_judgements_of_a_round_are_compared() -> None:
    """F11."""

    def change_first(record: RoundRecord) -> RoundRecord:
        first, second = record.attempts
        return replace(record, attempts=(replace(first, condemned=(False, False)), second))

    assert change_record_of(Verdict.REJECT, change_first) == (
        "round 2: condemned updates: recorded (False, False), recomputed (True, False)"
    )
    changed = change_record_of(Verdict.REJECT, change_attempt(condemned=(True,)))
    assert changed == "round 2: attempt 1: condemned updates: recorded (True), recomputed (False)"
    hidden = change_record_of(Verdict.REJECT, lambda record: replace(record, attempts=record.attempts[1:]))
    assert hidden == "round 2: judgements: recorded 1, recomputed 2"


def test_a_hidden_replacement_is_named() -> None:
    """F13."""
    hidden = change_record_of(Verdict.VOID, lambda record: replace(record, replacements=()))
    assert hidden.startswith("round 3: standbys that took a place: recorded ()")


def test_a_round_recorded_where_none_settled_or_hidden_where_one_did_is_named() -> None:
    settled = build_chain().blocks[SETTLED - 1].outcome.settled
    invented = expect_failure(rewrite_outcome(1, lambda outcome: replace(outcome, settled=settled)))
    hidden = expect_failure(rewrite_outcome(SETTLED, lambda outcome: replace(outcome, settled=None)))
    assert (invented.height, invented.what) == (1, "a round is recorded as settled that is not")
    assert (hidden.height, hidden.what) == (SETTLED, "a settled round is not recorded")


def change_first_result(outcome: BlockOutcome, result: OperationResult) -> BlockOutcome:
    return replace(outcome, results=(result, *outcome.results[1:]))


def test_what_an_operation_came_to_is_compared() -> None:
    height = find_height_with_refusal()
    results = build_chain().blocks[height - 1].outcome.results
    refused = replace(results[0], refusal=Refusal.OFFENCE_KNOWN)
    renamed = replace(results[0], operation_id=make_digest("other"))
    failures = [
        expect_failure(rewrite_outcome(height, lambda outcome: change_first_result(outcome, refused))),
        expect_failure(rewrite_outcome(height, lambda outcome: change_first_result(outcome, renamed))),
        expect_failure(rewrite_outcome(height, lambda outcome: replace(outcome, results=results[:1]))),
    ]
    assert [failure.what for failure in failures] == [
        "operation 0: recorded as refused (OFFENCE_KNOWN), it is executed",
        "operation 0: its recorded id is another operation's",
        "operation results: 1 recorded for 3 operations",
    ]
    assert {failure.height for failure in failures} == {height}


def test_a_move_outside_of_a_round_is_compared() -> None:
    height = find_height_with_refusal()
    member = build_chain().founders[0].member
    move = StakeMove(member=member, reason=StakeReason.BOND, amount=Stake(2))
    failure = expect_failure(rewrite_outcome(height, lambda outcome: replace(outcome, moves=(move,))))
    assert failure.what.startswith(f"stake move 0: recorded BOND of 2 for member {member.hex()[:8]}, recomputed UNBOND")


def test_a_changed_state_root_is_named() -> None:
    failure = expect_failure(rewrite_outcome(2, lambda outcome: replace(outcome, state_root=make_digest("x"))))
    assert (failure.height, failure.what) == (2, "state root: recorded another than recomputed")
