"""Submitting updates (F3): who may, when, and with what."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.operations import SubmitUpdate
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import MemberId, Round
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_ballot, make_digest, make_manifest


@pytest.fixture
def builder() -> LedgerBuilder:
    builder = LedgerBuilder(make_founders(7))
    builder.run_draw()
    return builder


def submit(builder: LedgerBuilder, member: MemberId, manifest: SubmitUpdate) -> Refusal:
    return builder.add_payloads((member, manifest)).results[0].refusal


def test_a_proposers_update_is_recorded(builder: LedgerBuilder) -> None:
    proposer = builder.round.proposers[0]
    manifest = make_manifest(builder.round, artifact=make_digest("update"))
    assert submit(builder, proposer, manifest) is Refusal.NONE
    assert [(entry.member, entry.manifest) for entry in builder.round.updates] == [(proposer, manifest)]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        pytest.param(lambda m: replace(m, round=Round(2)), Refusal.WRONG_ROUND, id="round"),
        pytest.param(lambda m: replace(m, base_digest=make_digest("x")), Refusal.WRONG_BASE, id="base"),
        pytest.param(lambda m: replace(m, scale_exponents=(-20,)), Refusal.MANIFEST_WRONG, id="scale count"),
        pytest.param(lambda m: replace(m, scale_exponents=(-20, -7)), Refusal.MANIFEST_WRONG, id="scale"),
        pytest.param(lambda m: replace(m, artifact_bytes=m.artifact_bytes - 1), Refusal.MANIFEST_WRONG, id="size"),
        pytest.param(lambda m: replace(m, example_count=-1), Refusal.MANIFEST_WRONG, id="examples"),
    ],
)
def test_a_manifest_that_does_not_fit_the_round_is_refused(
    builder: LedgerBuilder, change: Callable[[SubmitUpdate], SubmitUpdate], refusal: Refusal
) -> None:
    manifest = change(make_manifest(builder.round, artifact=make_digest("update")))
    assert submit(builder, builder.round.proposers[0], manifest) is refusal
    assert builder.round.updates == ()


def test_who_was_not_drawn_to_propose_may_not_submit(builder: LedgerBuilder) -> None:
    manifest = make_manifest(builder.round, artifact=make_digest("update"))
    assert submit(builder, builder.round.voters[0], manifest) is Refusal.NOT_A_PROPOSER


def test_a_proposer_submits_once(builder: LedgerBuilder) -> None:
    proposer = builder.round.proposers[0]
    submit(builder, proposer, make_manifest(builder.round, artifact=make_digest("update")))
    second = submit(builder, proposer, make_manifest(builder.round, artifact=make_digest("another")))
    assert second is Refusal.UPDATE_REPEATED
    assert len(builder.round.updates) == 1


def test_a_copy_that_is_ordered_first_takes_nothing_from_the_original(builder: LedgerBuilder) -> None:
    """F3: neither its place in the candidate, nor its reward; its proposer is not silent."""
    manifest = make_manifest(builder.round, artifact=make_digest("update"))
    copycat, original = builder.round.proposers
    assert submit(builder, copycat, manifest) is Refusal.NONE
    assert submit(builder, original, manifest) is Refusal.NONE
    assert builder.round.phase is Phase.SEAL
    assert {entry.member for entry in builder.round.updates} == {copycat, original}
    record = builder.run_voting(lambda _: make_ballot(builder.round))
    assert record.silent == ()


def test_no_update_is_taken_after_training(builder: LedgerBuilder) -> None:
    late = make_manifest(builder.round, artifact=make_digest("late"))
    builder.run_training()
    assert submit(builder, builder.round.proposers[0], late) is Refusal.WRONG_PHASE


def test_no_update_is_taken_while_no_round_is_open() -> None:
    builder = LedgerBuilder(make_founders(7), replace(Parameters(), rounds_max=Round(1)))
    late = make_manifest(builder.round, artifact=make_digest("late"))
    builder.run_round()
    assert submit(builder, builder.founders[0].member, late) is Refusal.NO_ROUND_OPEN


def test_the_order_of_arrival_does_not_show_in_the_round() -> None:
    """Canonical order is by digest, so that every node aggregates the same (F4, F6)."""
    rounds = []
    for step in (1, -1):
        builder = LedgerBuilder(make_founders(7))
        builder.run_draw()
        pairs = [
            (member, make_manifest(builder.round, artifact=make_digest("update", member)))
            for member in builder.round.proposers
        ]
        builder.add_payloads(*pairs[::step])
        rounds.append(builder.round)
    assert rounds[0].updates == rounds[1].updates
    assert len(rounds[0].updates) == 2
