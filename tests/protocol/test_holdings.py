"""Which artifacts a node looks for, and for how long (F3)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.codec import encode
from protocol.holdings import AHEAD_PER_MEMBER_MAX, Holdings
from protocol.operations import Operation, SubmitUpdate, decode_operation
from protocol.outcomes import Phase
from protocol.parameters import Parameters, Preset
from protocol.units import Digest, MemberId
from tests.founders import make_founders
from tests.helpers import SCHEMA, LedgerBuilder, make_digest, make_manifest

PARAMETERS = replace(Parameters(), voter_count_max=1)


def make_holdings(builder: LedgerBuilder) -> Holdings:
    return Holdings(builder.parameters, SCHEMA, frozenset())


def submit(builder: LedgerBuilder, member: MemberId, number: int) -> Operation:
    """Return a member's operation that names an artifact of its own."""
    manifest = make_manifest(builder.round, artifact=make_digest("update", member, number))
    return decode_operation(builder.sign(member, manifest, offset=number))


def fetch_ahead(holdings: Holdings, builder: LedgerBuilder, member: MemberId, number: int) -> list[Digest]:
    return [effect.digest for effect in holdings.fetch_ahead(submit(builder, member, number), builder.state)]


def open_training(parameters: Parameters = PARAMETERS) -> LedgerBuilder:
    """Of the four members two propose, one votes and one stands by."""
    builder = LedgerBuilder(make_founders(4), parameters)
    builder.run_draw()
    return builder


def test_what_a_proposer_names_is_fetched_ahead_once() -> None:
    builder = open_training()
    holdings, proposer = make_holdings(builder), builder.round.proposers[0]
    assert fetch_ahead(holdings, builder, proposer, 0) == [make_digest("update", proposer, 0)]
    assert fetch_ahead(holdings, builder, proposer, 0) == []


def test_who_is_no_proposer_gets_nothing_fetched_ahead() -> None:
    builder = open_training()
    stranger = next(keys.member for keys in builder.founders if keys.member not in builder.round.proposers)
    assert fetch_ahead(make_holdings(builder), builder, stranger, 0) == []


def test_only_a_few_are_fetched_ahead_for_one_member_in_a_round() -> None:
    builder = open_training()
    holdings, proposer = make_holdings(builder), builder.round.proposers[0]
    fetched = [number for number in range(10) if fetch_ahead(holdings, builder, proposer, number)]
    assert fetched == list(range(AHEAD_PER_MEMBER_MAX))
    # What is in a block is fetched all the same, or nobody could vote for it.
    assert len(holdings.fetch(submit(builder, proposer, 9))) == 1
    holdings.forget_requests(())
    assert fetch_ahead(holdings, builder, proposer, 0) == [make_digest("update", proposer, 0)]


def list_missing(builder: LedgerBuilder, *operations: Operation, holdings: Holdings | None = None) -> list[Operation]:
    """Return what a block of these operations misses, as a node sees it that holds no artifact."""
    block = builder.build_block(tuple(encode(operation) for operation in operations))
    return list((holdings or make_holdings(builder)).find_missing(block, builder.state))


def test_of_a_block_each_proposers_first_missing_update_is_fetched_and_nobody_elses() -> None:
    """F3: a leader cannot make others look for more than that."""
    builder = open_training()
    holdings, (proposer, other) = make_holdings(builder), builder.round.proposers
    standby = builder.round.standbys[0]
    made_up = [*[submit(builder, proposer, number) for number in range(5)], submit(builder, other, 0)]
    missing = tuple(list_missing(builder, *made_up, submit(builder, standby, 0)))
    assert len(missing) == 7
    wanted = [make_digest("update", member, 0) for member in (proposer, other)]
    assert [request.digest for request in holdings.fetch_missing(missing, builder.state)] == wanted
    assert holdings.fetch_missing(missing, builder.state) == []
    holdings.digests.update(wanted)
    rest = tuple(list_missing(builder, *made_up, holdings=holdings))
    assert [request.digest for request in holdings.fetch_missing(rest, builder.state)] == [
        make_digest("update", proposer, 1)
    ]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda manifest: replace(manifest, base_digest=make_digest("x")), id="base"),
        pytest.param(lambda manifest: replace(manifest, scale_exponents=()), id="scales"),
        pytest.param(lambda manifest: replace(manifest, artifact_bytes=1), id="size"),
    ],
)
def test_what_is_refused_whatever_it_names_needs_no_artifact(change: Callable[[SubmitUpdate], SubmitUpdate]) -> None:
    """F3, L8."""
    builder = open_training()
    proposer = builder.round.proposers[0]
    manifest = make_manifest(builder.round, artifact=make_digest("update"))
    good, wrong = (decode_operation(builder.sign(proposer, content)) for content in (manifest, change(manifest)))
    assert list_missing(builder, good) == [good]
    assert list_missing(builder, wrong) == []


def test_whose_update_can_not_be_taken_needs_no_artifact() -> None:
    """F3: of who cannot become a proposer, or has submitted, and any once the round trains no longer."""
    builder = open_training(replace(PARAMETERS, preset=Preset.PAPER))
    assert list_missing(builder, submit(builder, builder.round.voters[0], 0)) == []
    builder = open_training()
    proposer, other = builder.round.proposers
    (voter,) = builder.round.voters
    assert list_missing(builder, submit(builder, voter, 0)), "it may be called as a standby"
    builder.add_payloads((proposer, make_manifest(builder.round, artifact=make_digest("own"))))
    assert list_missing(builder, submit(builder, proposer, 0)) == []
    late = submit(builder, other, 0)
    assert list_missing(builder, late) == [late]
    builder.pass_deadline()
    assert builder.round.phase is Phase.SEAL
    assert list_missing(builder, late) == []


def test_of_a_round_that_is_not_drawn_yet_nothing_is_fetched_and_nothing_is_voted_for() -> None:
    """F3: a node that is behind waits for the blocks that say who proposes."""
    builder = LedgerBuilder(make_founders(4))
    early = tuple(submit(builder, keys.member, 0) for keys in builder.founders)
    assert tuple(list_missing(builder, *early)) == early
    assert make_holdings(builder).fetch_missing(early, builder.state) == []


def test_after_a_round_nothing_is_looked_for_but_what_is_named() -> None:
    builder = open_training()
    holdings, proposer = make_holdings(builder), builder.round.proposers[0]
    digests = [make_digest("update", proposer, number) for number in range(3)]
    for number in range(3):
        holdings.fetch(submit(builder, proposer, number))
    holdings.digests.add(digests[0])
    assert holdings.forget_requests((digests[1],)) == {digests[2]}
    assert holdings.forget_requests(()) == set()


def test_a_manifest_whose_round_is_over_needs_no_artifact() -> None:
    """F3, L8: it is refused whatever it names, and what its member says next would wait for it for ever."""
    builder = open_training()
    holdings, proposer = make_holdings(builder), builder.round.proposers[0]
    late = submit(builder, proposer, 0)
    assert isinstance(late.content.payload, SubmitUpdate)
    block = builder.build_block((encode(late),))
    assert not holdings.is_ready(late.content.payload, builder.state)
    assert holdings.find_missing(block, builder.state) == (late,)
    builder.pass_deadlines()
    assert builder.round.round > late.content.payload.round
    assert holdings.is_ready(late.content.payload, builder.state)
    assert holdings.find_missing(block, builder.state) == ()
    done = replace(builder.state, round=None)
    assert holdings.is_ready(late.content.payload, done)
