"""What every Store promises of its writes and of a restart, on the real one and on the simulated one."""

from dataclasses import replace

import pytest
import trio

from node.errors import StoreCorrupt
from node.ports import StoreContents
from node.store.sqlite import SNAPSHOT_INTERVAL_BLOCKS
from protocol.errors import InvariantViolation
from protocol.interface import Persist
from protocol.journal import (
    BlockRecord,
    CertificateRecord,
    OwnBallotRecord,
    OwnOperationRecord,
    OwnProposalRecord,
    Record,
    ScoreRecord,
    VotingFloorRecord,
)
from protocol.messages import Proposal
from protocol.operations import Ballot, Bond, Unbond
from protocol.refusals import Refusal
from protocol.units import ZERO_DIGEST, Ppm, Round, Stake, View
from protocol.votes import VoteKind
from tests.contracts.store_machine import Machine
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.values import make_digest


async def test_a_fresh_store_is_at_genesis_and_may_vote(machine: Machine) -> None:
    contents = machine.open_store().load()
    assert contents == StoreContents(state=machine.builder.state, tip=None, records=(), has_vote_log=True)


async def test_blocks_survive_a_restart_and_replay_to_the_same_state(machine: Machine) -> None:
    machine.builder.run_round()
    store = machine.open_store()
    store.load()
    await store.append([machine.persist(built) for built in machine.builder.blocks])
    _, contents = machine.restart(store)
    assert contents.state == machine.builder.state
    assert contents.tip == machine.persist(machine.builder.blocks[-1]).finalized


async def test_records_come_back_in_the_order_of_their_writing(machine: Machine) -> None:
    records = (
        machine.make_vote(3),
        machine.make_vote(1),
        VotingFloorRecord(is_suspended=False, after_view=View(7)),
        machine.make_vote(2, VoteKind.FINALIZE),
    )
    store = machine.open_store()
    store.load()
    await store.append([Persist(record=record) for record in records[:2]])
    await store.append([Persist(record=record) for record in records[2:]])
    _, contents = machine.restart(store)
    assert contents.records == records


async def test_a_final_block_prunes_what_lies_at_or_below_its_view(machine: Machine) -> None:
    builder = machine.builder
    builder.add_block(view=View(5))
    block = builder.blocks[0].block
    later = builder.build_block(view=View(6))
    low: list[Record] = [
        machine.make_vote(5),
        BlockRecord(block=block),
        OwnProposalRecord(proposal=Proposal(block=block, parent_certificate=None, nullifications=())),
        CertificateRecord(certificate=builder.certify(block)),
    ]
    high: list[Record] = [
        machine.make_vote(6),
        BlockRecord(block=later),
        OwnProposalRecord(proposal=Proposal(block=later, parent_certificate=None, nullifications=())),
        CertificateRecord(certificate=builder.certify(later)),
        VotingFloorRecord(is_suspended=True, after_view=View(0)),
    ]
    store = machine.open_store()
    store.load()
    await store.append([Persist(record=record) for record in (*low, *high)])
    await store.append([machine.persist(builder.blocks[0])])
    _, contents = machine.restart(store)
    assert contents.records == tuple(high)


async def test_an_executed_operation_leaves_the_journal_and_a_later_one_stays(machine: Machine) -> None:
    builder = machine.builder
    member = builder.founders[0].member
    executed = builder.sign(member, Unbond(amount=Stake(1)))
    later = builder.sign(member, Unbond(amount=Stake(2)), offset=1)
    store = machine.open_store()
    store.load()
    await store.append([Persist(record=OwnOperationRecord(operation=operation)) for operation in (executed, later)])
    builder.add_block((executed,))
    await store.append([machine.persist(builder.blocks[0])])
    _, contents = machine.restart(store)
    assert contents.records == (OwnOperationRecord(operation=later),)


async def test_a_refused_operation_and_those_of_others_prune_nothing(machine: Machine) -> None:
    builder = machine.builder
    own, other = builder.founders[0].member, builder.founders[1].member
    waiting = builder.sign(own, Bond(amount=Stake(1)))
    too_early = builder.sign(own, Unbond(amount=Stake(1)), offset=5)
    foreign = builder.sign(other, Unbond(amount=Stake(1)))
    store = machine.open_store()
    store.load()
    await store.append([Persist(record=OwnOperationRecord(operation=waiting))])
    outcome = builder.add_block((too_early, foreign))
    assert [result.refusal for result in outcome.results] == [Refusal.WRONG_SEQUENCE, Refusal.NONE]
    await store.append([machine.persist(builder.blocks[0])])
    _, contents = machine.restart(store)
    assert contents.records == (OwnOperationRecord(operation=waiting),)


async def test_a_snapshot_drops_operations_whose_numbers_are_used_up(machine: Machine) -> None:
    """A refused operation uses its number too, which only the ledger's state shows."""
    builder = machine.builder
    member = builder.founders[0].member
    refused = builder.sign(member, Bond(amount=Stake(10**12)))
    later = builder.sign(member, Unbond(amount=Stake(1)), offset=1)
    store = machine.open_store()
    store.load()
    await store.append([Persist(record=OwnOperationRecord(operation=operation)) for operation in (refused, later)])
    outcome = builder.add_block((refused,))
    assert outcome.results[0].refusal is Refusal.BOND_EXCEEDS_FREE
    await store.append([machine.persist(builder.blocks[0])])
    await store.save_snapshot(builder.state)
    _, contents = machine.restart(store)
    assert contents.records == (OwnOperationRecord(operation=later),)


async def test_ballots_are_kept_until_their_round_has_settled(machine: Machine) -> None:
    ballot = Ballot(candidate_digest=ZERO_DIGEST, is_accept=True, update_flags=(), is_base_flagged=False)
    records = [OwnBallotRecord(round=Round(number), attempt=0, ballot=ballot) for number in (1, 2)]
    store = machine.open_store()
    store.load()
    await store.append([Persist(record=record) for record in records])
    settled = machine.builder.run_round()
    assert settled.round == 1
    await store.append([machine.persist(built) for built in machine.builder.blocks[:-1]])
    store, contents = machine.restart(store)
    assert contents.records == tuple(records)
    await store.append([machine.persist(machine.builder.blocks[-1])])
    _, contents = machine.restart(store)
    assert contents.records == (records[1],)


async def test_scores_outlive_their_round_and_the_last_one_of_a_model_holds(machine: Machine) -> None:
    first = ScoreRecord(model_digest=make_digest("first"), score=Ppm(1))
    second = ScoreRecord(model_digest=make_digest("second"), score=Ppm(2))
    again = replace(first, score=Ppm(3))
    store = machine.open_store()
    store.load()
    await store.append([Persist(record=record) for record in (first, second, again)])
    machine.builder.run_round()
    await store.append([machine.persist(built) for built in machine.builder.blocks])
    assert store.get_scores() == (second, again)
    _, contents = machine.restart(store)
    assert contents.records == (second, again)


async def test_a_batch_with_a_gap_writes_nothing(machine: Machine) -> None:
    machine.builder.add_block()
    machine.builder.add_block()
    store = machine.open_store()
    store.load()
    vote = Persist(record=machine.make_vote(9))
    with pytest.raises(InvariantViolation):
        await store.append([vote, machine.persist(machine.builder.blocks[1])])
    _, contents = machine.restart(store)
    assert contents.tip is None
    assert contents.records == ()


async def test_a_block_on_another_parent_is_refused(machine: Machine) -> None:
    machine.builder.add_block()
    stranger = LedgerBuilder(make_founders(5))
    stranger.add_block()
    stranger.add_block()
    store = machine.open_store()
    store.load()
    await store.append([machine.persist(machine.builder.blocks[0])])
    with pytest.raises(InvariantViolation):
        await store.append([machine.persist(stranger.blocks[1])])


async def test_a_store_takes_no_writes_after_a_failed_one(machine: Machine) -> None:
    machine.builder.add_block()
    machine.builder.add_block()
    store = machine.open_store()
    store.load()
    with pytest.raises(InvariantViolation):
        await store.append([machine.persist(machine.builder.blocks[1])])
    with pytest.raises(StoreCorrupt, match="no more writes"):
        await store.append([machine.persist(machine.builder.blocks[0])])


async def test_writing_before_loading_is_a_mistake(machine: Machine) -> None:
    with pytest.raises(InvariantViolation, match="load"):
        await machine.open_store().append([Persist(record=machine.make_vote(1))])


async def test_a_cancelled_append_is_written_all_the_same(machine: Machine) -> None:
    store = machine.open_store()
    store.load()
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.append([Persist(record=machine.make_vote(1))])
    _, contents = machine.restart(store)
    assert contents.records == (machine.make_vote(1),)


async def test_a_snapshot_is_due_now_and_then_and_replay_goes_on_from_it(machine: Machine) -> None:
    store = machine.open_store()
    store.load()
    for _ in range(SNAPSHOT_INTERVAL_BLOCKS):
        assert not store.is_snapshot_due()
        machine.builder.add_block()
        await store.append([machine.persist(machine.builder.blocks[-1])])
    assert store.is_snapshot_due()
    await store.save_snapshot(machine.builder.state)
    assert not store.is_snapshot_due()
    machine.builder.add_block()
    await store.append([machine.persist(machine.builder.blocks[-1])])
    _, contents = machine.restart(store)
    assert contents.state == machine.builder.state


async def test_losing_the_database_but_not_the_keys_is_noticed(machine: Machine) -> None:
    """Rule C10: without an intact vote log a node knows that it must not vote."""
    store = machine.open_store()
    store.load()
    await store.append([Persist(record=machine.make_vote(4))])
    store.close()
    machine.disk.lose_database()
    contents = machine.open_store().load()
    assert not contents.has_vote_log
    assert contents.records == ()


async def test_amnesia_lasts_over_restarts_until_the_engine_has_noted_it(machine: Machine) -> None:
    machine.open_store().close()
    machine.disk.lose_database()
    store, contents = machine.restart(machine.open_store())
    assert not contents.has_vote_log
    note = VotingFloorRecord(is_suspended=True, after_view=View(0))
    await store.append([Persist(record=note)])
    _, contents = machine.restart(store)
    assert contents.has_vote_log
    assert contents.records == (note,)
