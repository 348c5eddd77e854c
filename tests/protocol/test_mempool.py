"""L8, C15: which operations wait, which may be ordered next, and that nobody's many delay another's one."""

from dataclasses import replace

import pytest

from protocol.mempool import PENDING_PER_MEMBER_MAX, Mempool
from protocol.operations import SubmitUpdate, Unbond, decode_operation
from protocol.units import Sequence, Stake
from tests.founders import FounderKeys, make_founders
from tests.helpers import LedgerBuilder, encode_operation
from tests.values import make_digest, make_manifest


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(4))


def sign(builder: LedgerBuilder, keys: FounderKeys, sequence: int, *, amount: int = 1) -> bytes:
    return encode_operation(builder.chain_id, keys.signing_key, Sequence(sequence), Unbond(amount=Stake(amount)))


def sign_manifest(builder: LedgerBuilder, keys: FounderKeys, sequence: int) -> bytes:
    manifest = make_manifest(builder.round, artifact=make_digest("artifact"))
    return encode_operation(builder.chain_id, keys.signing_key, Sequence(sequence), manifest)


def add(mempool: Mempool, builder: LedgerBuilder, *operations: bytes) -> list[bool]:
    return [mempool.add(encoded, decode_operation(encoded), builder.state) for encoded in operations]


def is_held(_manifest: SubmitUpdate) -> bool:
    return True


def is_missing(_manifest: SubmitUpdate) -> bool:
    return False


def collect(mempool: Mempool, builder: LedgerBuilder, *branch: tuple[bytes, ...], **limits: int) -> tuple[bytes, ...]:
    blocks = tuple(builder.build_block(operations) for operations in branch)
    parameters = replace(builder.parameters, **limits)  # type: ignore[arg-type]
    return mempool.collect(builder.state, blocks, parameters, is_held)


def test_operations_are_ordered_by_their_numbers(builder: LedgerBuilder) -> None:
    """L8: whatever the order in which they came."""
    mempool, keys = Mempool(), builder.founders[0]
    first, second, third = (sign(builder, keys, sequence) for sequence in range(3))
    assert add(mempool, builder, third, first, second) == [True, True, True]
    assert collect(mempool, builder) == (first, second, third)


def test_a_gap_in_the_numbers_waits(builder: LedgerBuilder) -> None:
    """L8: the ledger would refuse what follows the gap."""
    mempool, keys = Mempool(), builder.founders[0]
    first, third = sign(builder, keys, 0), sign(builder, keys, 2)
    add(mempool, builder, first, third)
    assert collect(mempool, builder) == (first,)


@pytest.mark.parametrize(
    ("sequence", "is_kept"), [(0, True), (PENDING_PER_MEMBER_MAX - 1, True), (PENDING_PER_MEMBER_MAX, False)]
)
def test_numbers_far_ahead_are_not_kept(builder: LedgerBuilder, sequence: int, is_kept: bool) -> None:
    """C15."""
    assert add(Mempool(), builder, sign(builder, builder.founders[0], sequence)) == [is_kept]


def test_executed_numbers_are_not_kept_and_are_forgotten(builder: LedgerBuilder) -> None:
    """C15."""
    mempool, keys = Mempool(), builder.founders[0]
    first, second = sign(builder, keys, 0), sign(builder, keys, 1)
    add(mempool, builder, first, second)
    builder.add_block((first,))
    mempool.prune(builder.state)
    assert mempool.get_encoded(keys.member) == (second,)
    assert add(mempool, builder, first) == [False]
    builder.add_block((second,))
    mempool.prune(builder.state)
    assert mempool.get_encoded(keys.member) == ()


def test_the_first_operation_of_a_number_stays(builder: LedgerBuilder) -> None:
    """C15: a member that signs two of a number cannot fill anything with them."""
    mempool, keys = Mempool(), builder.founders[0]
    one, other = sign(builder, keys, 0, amount=1), sign(builder, keys, 0, amount=2)
    assert add(mempool, builder, one, other) == [True, False]
    assert collect(mempool, builder) == (one,)


def test_what_an_unfinalized_block_orders_is_not_ordered_again(builder: LedgerBuilder) -> None:
    mempool, keys = Mempool(), builder.founders[0]
    first, second = sign(builder, keys, 0), sign(builder, keys, 1)
    add(mempool, builder, first, second)
    assert collect(mempool, builder, (first,)) == (second,)
    assert collect(mempool, builder, (first, second)) == ()


def test_a_manifest_waits_for_its_artifact_and_what_follows_waits_with_it(builder: LedgerBuilder) -> None:
    """F3: nobody could vote for a block with it."""
    mempool, keys = Mempool(), builder.founders[0]
    manifest, later = sign_manifest(builder, keys, 0), sign(builder, keys, 1)
    others = sign(builder, builder.founders[1], 0)
    add(mempool, builder, manifest, later, others)
    assert mempool.collect(builder.state, (), builder.parameters, is_missing) == (others,)
    assert set(mempool.collect(builder.state, (), builder.parameters, is_held)) == {manifest, later, others}


def test_an_artifact_that_is_missing_is_no_work(builder: LedgerBuilder) -> None:
    """C12, F3."""
    mempool = Mempool()
    assert not mempool.has_any(builder.state, (), is_held)
    add(mempool, builder, sign_manifest(builder, builder.founders[0], 0))
    assert mempool.has_any(builder.state, (), is_held)
    assert not mempool.has_any(builder.state, (), is_missing)


def test_a_block_takes_no_more_operations_than_it_may(builder: LedgerBuilder) -> None:
    mempool, keys = Mempool(), builder.founders[0]
    operations = [sign(builder, keys, sequence) for sequence in range(10)]
    add(mempool, builder, *operations)
    assert collect(mempool, builder, block_operations_max=4) == tuple(operations[:4])
    size = sum(len(operation) + 8 for operation in operations[:3])
    assert collect(mempool, builder, block_bytes_max=size) == tuple(operations[:3])
    assert collect(mempool, builder, block_bytes_max=size - 1) == tuple(operations[:2])


def test_nobodys_many_operations_delay_anothers_one(builder: LedgerBuilder) -> None:
    """C15: members take turns, so that flooding is no censorship."""
    mempool = Mempool()
    flood = [
        sign(builder, keys, sequence) for keys in builder.founders[:3] for sequence in range(PENDING_PER_MEMBER_MAX)
    ]
    one = sign(builder, builder.founders[3], 0)
    add(mempool, builder, *flood, one)
    assert one in collect(mempool, builder, block_operations_max=4)


def test_an_own_operation_takes_the_place_of_another_of_its_number(builder: LedgerBuilder) -> None:
    """L8: what this node signed last is what it stands by."""
    mempool, keys = Mempool(), builder.founders[0]
    old, new = sign(builder, keys, 0, amount=1), sign(builder, keys, 0, amount=2)
    add(mempool, builder, old)
    mempool.replace_own(new, decode_operation(new))
    assert mempool.get_payloads(keys.member) == (Unbond(amount=Stake(2)),)


def test_the_next_number_is_the_first_one_free(builder: LedgerBuilder) -> None:
    """L8."""
    mempool, keys = Mempool(), builder.founders[0]
    assert mempool.compute_next_sequence(keys.member, builder.state) == 0
    add(mempool, builder, sign(builder, keys, 0), sign(builder, keys, 1), sign(builder, keys, 3))
    assert mempool.compute_next_sequence(keys.member, builder.state) == 2


def test_all_nodes_order_alike(builder: LedgerBuilder) -> None:
    """Arrival does not matter."""
    operations = [sign(builder, keys, sequence) for keys in builder.founders for sequence in range(3)]
    one, other = Mempool(), Mempool()
    add(one, builder, *operations)
    add(other, builder, *reversed(operations))
    assert collect(one, builder) == collect(other, builder)
