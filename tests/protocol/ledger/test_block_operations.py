"""What a block may carry (C3): decodable operations of members, rightly signed, within the limits."""

from dataclasses import replace

import pytest

from protocol.codec import decode, encode
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.ledger.transition import check_block_operations
from protocol.operations import Bond, Operation, decode_operation
from protocol.parameters import Parameters
from protocol.units import MemberId, Sequence, Stake
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, encode_operation, make_digest


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(3))


def check(builder: LedgerBuilder, operations: tuple[bytes, ...], parameters: Parameters | None = None) -> int:
    members = frozenset(keys.member for keys in builder.founders)
    return len(check_block_operations(builder.chain_id, parameters or builder.parameters, members, operations))


def sign(builder: LedgerBuilder, amount: int) -> bytes:
    return builder.sign(builder.founders[0].member, Bond(amount=Stake(amount)))


def test_members_rightly_signed_operations_are_decoded_in_order(builder: LedgerBuilder) -> None:
    operations = (sign(builder, 1), sign(builder, 2))
    members = frozenset(keys.member for keys in builder.founders)
    decoded = check_block_operations(builder.chain_id, builder.parameters, members, operations)
    assert decoded == tuple(decode_operation(encoded) for encoded in operations)


def test_bytes_that_are_no_operation_are_refused(builder: LedgerBuilder) -> None:
    with pytest.raises(MalformedMessage):
        check(builder, (sign(builder, 1), b"garbage"))


def test_a_strangers_operation_is_refused(builder: LedgerBuilder) -> None:
    stranger = next(keys for keys in make_founders(4) if keys.member not in {own.member for own in builder.founders})
    operation = encode_operation(builder.chain_id, stranger.signing_key, Sequence(0), Bond(amount=Stake(1)))
    with pytest.raises(InvalidMessage, match="no member"):
        check(builder, (operation,))


def test_a_changed_operation_is_refused(builder: LedgerBuilder) -> None:
    operation = decode(Operation, sign(builder, 1), bytes_max=10_000)
    changed = replace(operation, content=replace(operation.content, payload=Bond(amount=Stake(2))))
    with pytest.raises(InvalidMessage, match="wrong operation signature"):
        check(builder, (encode(changed),))


def test_an_operation_of_another_chain_is_refused(builder: LedgerBuilder) -> None:
    key = builder.founders[0].signing_key
    operation = encode_operation(make_digest("other chain"), key, Sequence(0), Bond(amount=Stake(1)))
    with pytest.raises(InvalidMessage, match="wrong operation signature"):
        check(builder, (operation,))


def test_an_operation_under_anothers_name_is_refused(builder: LedgerBuilder) -> None:
    operation = decode(Operation, sign(builder, 1), bytes_max=10_000)
    other = MemberId(builder.founders[1].member)
    forged = replace(operation, content=replace(operation.content, member=other))
    with pytest.raises(InvalidMessage, match="wrong operation signature"):
        check(builder, (encode(forged),))


def test_a_block_may_be_full_and_not_fuller(builder: LedgerBuilder) -> None:
    parameters = replace(builder.parameters, block_operations_max=2)
    assert check(builder, (sign(builder, 1),) * 2, parameters) == 2
    with pytest.raises(InvalidMessage, match="3 operations, at most 2"):
        check(builder, (sign(builder, 1),) * 3, parameters)


def test_a_blocks_operations_may_be_as_long_as_the_limit_and_not_longer(builder: LedgerBuilder) -> None:
    operation = sign(builder, 1)
    assert check(builder, (operation,), replace(builder.parameters, block_bytes_max=len(operation))) == 1
    with pytest.raises(InvalidMessage, match=f"operations of {len(operation)} bytes"):
        check(builder, (operation,), replace(builder.parameters, block_bytes_max=len(operation) - 1))
