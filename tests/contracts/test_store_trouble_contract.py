"""What every Store promises when the disk is full, broken, damaged or gone, on the real one and the simulated one."""

import pytest
import trio

from node.errors import DiskFull, NodeError, StoreCorrupt
from node.ports import Store
from protocol.errors import InvariantViolation
from protocol.interface import Persist
from protocol.journal import CertificateRecord, OwnVoteRecord, ScoreRecord, VotingFloorRecord
from protocol.units import Height, Ppm, Round, View
from tests.contracts.store_machine import Machine
from tests.values import make_digest

MANY = 400
"""More votes than the space that is left in a database's last pages."""


def make_large_batch(machine: Machine) -> list[Persist]:
    return [Persist(record=machine.make_vote(1_000 + number)) for number in range(MANY)]


async def expect_fenced(store: Store, machine: Machine) -> None:
    """Check that a store takes no more writes of any kind, and still answers."""
    with pytest.raises(StoreCorrupt, match="no more writes"):
        await store.append([Persist(record=machine.make_vote(5_000))])
    with pytest.raises(StoreCorrupt, match="no more writes"):
        await store.save_snapshot(machine.builder.state)
    assert store.get_tip() == machine.persist_all()[-1].finalized
    assert len(list(store.iterate_blocks(Height(1)))) == len(machine.builder.blocks)


async def test_a_full_disk_refuses_the_batch_as_a_whole_and_takes_it_when_there_is_space(machine: Machine) -> None:
    machine.builder.run_round()
    store = machine.open_and_load()
    await store.append([*machine.persist_all(), Persist(record=machine.make_vote(900))])
    machine.disk.fill()
    with pytest.raises(DiskFull):
        await store.append(make_large_batch(machine))
    await expect_fenced(store, machine)
    machine.disk.make_space()
    store, contents = machine.restart(store)
    assert contents.records == (machine.make_vote(900),)
    assert contents.has_vote_log
    await store.append(make_large_batch(machine))
    _, contents = machine.restart(store)
    assert len(contents.records) == 1 + MANY


async def test_a_broken_disk_refuses_the_batch_as_a_whole_and_ends_the_writing(machine: Machine) -> None:
    machine.builder.run_round()
    store = machine.open_and_load()
    await store.append([*machine.persist_all(), Persist(record=machine.make_vote(900))])
    machine.disk.break_next_write()
    with pytest.raises(StoreCorrupt):
        await store.append(make_large_batch(machine))
    await expect_fenced(store, machine)
    store, contents = machine.restart(store)
    assert contents.state == machine.builder.state
    assert contents.records == (machine.make_vote(900),)
    await store.append([Persist(record=machine.make_vote(901))])


async def test_a_snapshot_that_fails_costs_nothing_but_the_snapshot(machine: Machine) -> None:
    machine.builder.run_round()
    store = machine.open_and_load()
    await store.append(machine.persist_all())
    machine.disk.break_next_write()
    with pytest.raises(NodeError):
        await store.save_snapshot(machine.builder.state)
    await expect_fenced(store, machine)
    store, contents = machine.restart(store)
    assert contents.state == machine.builder.state
    await store.save_snapshot(machine.builder.state)
    _, contents = machine.restart(store)
    assert contents.state == machine.builder.state


async def test_a_snapshot_of_what_was_not_appended_is_a_mistake(machine: Machine) -> None:
    machine.builder.add_block()
    store = machine.open_and_load()
    with pytest.raises(InvariantViolation):
        await store.save_snapshot(machine.builder.state)


@pytest.mark.parametrize("table", ["blocks", "outcomes", "journal", "scores"])
async def test_damage_is_found_at_the_start_and_costs_the_vote_log_only(machine: Machine, table: str) -> None:
    """C10: the node refuses to start from less than was written, and knows after a new start that it forgot."""
    machine.builder.run_round()
    store = machine.open_and_load()
    score = ScoreRecord(model_digest=make_digest("model"), score=Ppm(1))
    await store.append(
        [*machine.persist_all(), Persist(record=machine.make_vote(900)), Persist(record=score)],
    )
    store.close()
    machine.disk.damage(table)
    damaged = machine.open_store()
    with pytest.raises(StoreCorrupt):
        damaged.load()
    damaged.close()
    machine.disk.lose_database()
    store, contents = machine.restart(machine.open_store())
    assert contents.tip is None
    assert not contents.has_vote_log
    await store.append(machine.persist_all())
    _, contents = machine.restart(store)
    assert contents.state == machine.builder.state
    assert not contents.has_vote_log, "blocks are no votes"


async def test_a_damaged_snapshot_is_replaced_by_replay(machine: Machine) -> None:
    machine.builder.run_round()
    store = machine.open_and_load()
    await store.append(machine.persist_all())
    await store.save_snapshot(machine.builder.state)
    store.close()
    machine.disk.damage("snapshots")
    assert machine.open_store().load().state == machine.builder.state


async def test_a_lost_marker_means_forgotten_votes_until_the_engine_has_noted_it(machine: Machine) -> None:
    """C10: the keys came from a backup, so others may have signed by them since."""
    machine.builder.add_block()
    store = machine.open_and_load()
    await store.append([*machine.persist_all(), Persist(record=machine.make_vote(900))])
    machine.disk.lose_marker()
    certificate = CertificateRecord(certificate=machine.builder.certify(machine.builder.build_block(view=View(901))))
    for records in ((), (certificate,)):
        store, contents = machine.restart(store)
        assert not contents.has_vote_log
        assert contents.state == machine.builder.state
        assert contents.records == (machine.make_vote(900), *records)
        await store.append([Persist(record=certificate)])
    assert not machine.restart(store)[1].has_vote_log, "a certificate of others is no vote"
    store = machine.open_and_load()
    await store.append([Persist(record=VotingFloorRecord(is_suspended=True, after_view=View(0)))])
    _, contents = machine.restart(store)
    assert contents.has_vote_log


async def test_nothing_is_written_after_the_end(machine: Machine) -> None:
    store = machine.open_and_load()
    store.close()
    with pytest.raises(StoreCorrupt, match="no more writes"):
        await store.append([Persist(record=machine.make_vote(1))])
    assert machine.open_store().load().records == ()


async def test_an_empty_batch_is_no_write(machine: Machine) -> None:
    store = machine.open_store()
    await store.append([])
    assert store.load().records == ()


async def test_batches_of_several_tasks_are_written_one_after_the_other(machine: Machine) -> None:
    store = machine.open_and_load()

    async def write(first: int) -> None:
        await store.append([Persist(record=machine.make_vote(first + number)) for number in range(3)])

    async with trio.open_nursery() as nursery:
        for task in range(5):
            nursery.start_soon(write, 100 * task)
    _, contents = machine.restart(store)
    views = [record.vote.view for record in contents.records if isinstance(record, OwnVoteRecord)]
    batches = [views[start : start + 3] for start in range(0, 15, 3)]
    assert sorted(batches) == [[100 * task, 100 * task + 1, 100 * task + 2] for task in range(5)]


async def test_questions_beyond_the_ledger_have_empty_answers(machine: Machine) -> None:
    store = machine.open_and_load()
    assert store.get_blocks(Height(0), bytes_max=1_000_000) == ()
    assert list(store.iterate_blocks(Height(1))) == []
    machine.builder.run_round()
    await store.append(machine.persist_all())
    tip = machine.builder.state.height
    assert [found.block.header.height for found in store.get_blocks(Height(0), bytes_max=0)] == [1]
    assert store.get_blocks(Height(tip + 1), bytes_max=1_000_000) == ()
    assert list(store.iterate_blocks(Height(tip + 1))) == []
    assert [final.block.header.height for final, _ in store.iterate_blocks(Height(0))] == list(range(1, tip + 1))
    assert store.get_rounds(Round(1), limit=0) == ()
    assert store.get_rounds(Round(2), limit=10) == ()
