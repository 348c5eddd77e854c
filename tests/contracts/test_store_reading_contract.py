"""What every Store gives to peers and people, on the real one and on the simulated one."""

from protocol.codec import encode
from protocol.operations import Bond, Unbond, compute_operation_id
from protocol.refusals import Refusal
from protocol.units import Height, Round, Stake
from tests.contracts.store_machine import Machine
from tests.values import make_digest


async def test_sync_answers_end_with_a_finalization(machine: Machine) -> None:
    for _ in range(5):
        machine.builder.add_block()
    store = machine.open_store()
    store.load()
    certified = {2, 4}
    await store.append(
        [
            machine.persist(built, is_certified=built.block.header.height in certified)
            for built in machine.builder.blocks
        ]
    )
    heights = [found.block.header.height for found in store.get_blocks(Height(1), bytes_max=1_000_000)]
    assert heights == [1, 2, 3, 4]
    assert store.get_blocks(Height(5), bytes_max=1_000_000) == ()
    assert store.get_blocks(Height(6), bytes_max=1_000_000) == ()


async def test_sync_answers_keep_to_the_size_but_reach_the_first_finalization(machine: Machine) -> None:
    for _ in range(4):
        machine.builder.add_block()
    store = machine.open_store()
    store.load()
    await store.append(
        [machine.persist(built, is_certified=built.block.header.height != 1) for built in machine.builder.blocks]
    )
    found = store.get_blocks(Height(1), bytes_max=1)
    assert [finalized.block.header.height for finalized in found] == [1, 2]
    size = sum(
        len(encode(finalized.block)) + (0 if finalized.certificate is None else len(encode(finalized.certificate)))
        for finalized in (machine.persist(built).finalized for built in machine.builder.blocks[2:])
    )
    assert len(store.get_blocks(Height(3), bytes_max=size)) == 2
    assert len(store.get_blocks(Height(3), bytes_max=size - 1)) == 1


async def test_blocks_outcomes_and_rounds_are_found(machine: Machine) -> None:
    records = [machine.builder.run_round(), machine.builder.run_round()]
    store = machine.open_store()
    store.load()
    assert store.get_tip() is None
    await store.append([machine.persist(built) for built in machine.builder.blocks])
    persisted = [machine.persist(built) for built in machine.builder.blocks]
    assert store.get_tip() == persisted[-1].finalized
    assert store.get_block(Height(2)) == persisted[1].finalized
    assert store.get_outcome(Height(2)) == persisted[1].outcome
    assert store.get_block(Height(0)) is None
    assert store.get_outcome(Height(len(persisted) + 1)) is None
    assert list(store.iterate_blocks(Height(3))) == [(item.finalized, item.outcome) for item in persisted[2:]]
    assert store.get_rounds(Round(0), limit=10) == tuple(records)
    assert store.get_rounds(Round(2), limit=10) == (records[1],)
    assert store.get_rounds(Round(1), limit=1) == (records[0],)


async def test_numbers_beyond_any_ledger_find_nothing(machine: Machine) -> None:
    """W5: a member may ask for any height, an operator for any round."""
    machine.builder.run_round()
    store = machine.open_store()
    store.load()
    await store.append([machine.persist(built) for built in machine.builder.blocks])
    beyond = Height(2**64 - 1)
    assert store.get_blocks(beyond, bytes_max=1_000_000) == ()
    assert store.get_block(beyond) is None
    assert store.get_outcome(beyond) is None
    assert list(store.iterate_blocks(beyond)) == []
    assert store.get_rounds(Round(2**64 - 1), limit=10) == ()
    assert len(store.get_rounds(Round(-(2**70)), limit=10)) == 1
    assert len(store.get_rounds(Round(1), limit=2**70)) == 1
    assert store.get_rounds(Round(1), limit=-1) == store.get_rounds(Round(1), limit=-(2**70)) == ()


async def test_an_operation_is_found_with_its_result(machine: Machine) -> None:
    builder = machine.builder
    member = builder.founders[1].member
    good = builder.sign(member, Unbond(amount=Stake(1)))
    bad = builder.sign(member, Bond(amount=Stake(10**12)), offset=1)
    builder.add_block()
    builder.add_block((good, bad))
    store = machine.open_store()
    store.load()
    await store.append([machine.persist(built) for built in builder.blocks])
    found_good = store.get_operation_result(compute_operation_id(good))
    found_bad = store.get_operation_result(compute_operation_id(bad))
    assert found_good is not None
    assert found_bad is not None
    assert (found_good.height, found_good.result.refusal) == (2, Refusal.NONE)
    assert (found_bad.height, found_bad.result.refusal) == (2, Refusal.BOND_EXCEEDS_FREE)
    assert store.get_operation_result(make_digest("nowhere")) is None
