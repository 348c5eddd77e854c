"""W1: one encoding per value, and nothing else decodes."""

import dataclasses
from collections.abc import Hashable
from typing import Any, cast

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import decode, decode_union, encode, encode_union
from protocol.errors import InvariantViolation, MalformedMessage
from protocol.genesis import TaskSpec
from protocol.messages import ConsensusMessage, OperationMessage, Votes
from protocol.operations import Bond, Operation, OperationContent, SealBallot
from protocol.outcomes import OperationResult, StakeMove, StakeReason
from protocol.refusals import Refusal
from protocol.units import Epoch, MemberId, Round, Sequence, Signature, Stake, View
from protocol.votes import VoteContent, VoteKind
from tests.protocol.strategies import CLASSES, UNIONS, draw_any
from tests.values import make_digest

BYTES_MAX = 1 << 20
EXAMPLES = max(20, settings.default.max_examples // 8) if settings.default is not None else 20
"""Per class of messages, of which there are eleven."""

VOTE = VoteContent(epoch=Epoch(0), kind=VoteKind.NOTARIZE, view=View(5), block_hash=make_digest("block"))
MOVE = StakeMove(member=MemberId(make_digest("member")), reason=StakeReason.BOND, amount=Stake(7))
RESULT = OperationResult(operation_id=make_digest("operation"), refusal=Refusal.BOND_EXCEEDS_FREE)
TASK = TaskSpec(name="no", params=())
MESSAGE = OperationMessage(operation=b"x", attempt=3)


def decode_any(hint: object, encoded: bytes) -> object:
    if dataclasses.is_dataclass(hint):
        return decode(cast("type[object]", hint), encoded, bytes_max=BYTES_MAX)
    return decode_union(hint, encoded, bytes_max=BYTES_MAX)


def encode_any(hint: object, value: object) -> bytes:
    return encode(value) if dataclasses.is_dataclass(hint) else encode_union(value, hint)


def refuses(hint: object, encoded: bytes) -> bool:
    """Return whether bytes are refused; anything but MalformedMessage would pass through."""
    try:
        decode_any(hint, encoded)
    except MalformedMessage:
        return True
    return False


@pytest.mark.parametrize("hint", [*CLASSES, *UNIONS], ids=str)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_decoding_an_encoding_gives_the_value_back(hint: Hashable, data: st.DataObject) -> None:
    value = data.draw(draw_any(hint))
    assert decode_any(hint, encode_any(hint, value)) == value


@pytest.mark.parametrize("hint", [*CLASSES, *UNIONS], ids=str)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_changed_bytes_are_refused_or_are_the_one_encoding_of_another_value(
    hint: Hashable, data: st.DataObject
) -> None:
    encoded = bytearray(encode_any(hint, data.draw(draw_any(hint))))
    place = data.draw(st.integers(min_value=0, max_value=len(encoded) - 1))
    change = data.draw(st.sampled_from(["replace", "insert", "delete", "cut"]))
    byte = data.draw(st.integers(min_value=0, max_value=255))
    match change:
        case "replace":
            encoded[place] = byte
        case "insert":
            encoded.insert(place, byte)
        case "delete":
            del encoded[place]
        case _:
            del encoded[place:]
    if not refuses(hint, bytes(encoded)):
        assert encode_any(hint, decode_any(hint, bytes(encoded))) == bytes(encoded)


@pytest.mark.parametrize("hint", [*CLASSES, *UNIONS], ids=str)
@settings(max_examples=EXAMPLES)
@given(encoded=st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_malformed_message(hint: object, encoded: bytes) -> None:
    if not refuses(hint, encoded):
        assert encode_any(hint, decode_any(hint, encoded)) == encoded


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=70)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=30,
)


@pytest.mark.parametrize("hint", [*CLASSES, *UNIONS], ids=str)
@settings(max_examples=EXAMPLES)
@given(plain=PLAIN)
def test_any_msgpack_raises_nothing_but_malformed_message(hint: object, plain: object) -> None:
    encoded: bytes = msgpack.packb(plain)
    if not refuses(hint, encoded):
        assert encode_any(hint, decode_any(hint, encoded)) == encoded


def pack(*items: object) -> bytes:
    return cast(bytes, msgpack.packb(items))


def splice(encoded: bytes, old: bytes, new: bytes) -> bytes:
    assert encoded.count(old) == 1
    return encoded.replace(old, new)


VOTE_BYTES = encode(VOTE)
RESULT_BYTES = encode(RESULT)
TASK_BYTES = encode(TASK)
MESSAGE_BYTES = encode(MESSAGE)


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [
        pytest.param(
            VoteContent, splice(VOTE_BYTES, b"\x00\x05\xc4", b"\x00\xcc\x05\xc4"), id="integer in 2 bytes, not 1"
        ),
        pytest.param(
            VoteContent, splice(VOTE_BYTES, b"\x00\x05\xc4", b"\x00\xcd\x00\x05\xc4"), id="integer in 3 bytes, not 1"
        ),
        pytest.param(
            VoteContent,
            splice(VOTE_BYTES, b"\x00\x05\xc4", b"\x00\xcf" + bytes(7) + b"\x05\xc4"),
            id="integer in 9 bytes, not 1",
        ),
        pytest.param(
            VoteContent, splice(VOTE_BYTES, b"\x00\x05\xc4", b"\x00\xd0\x05\xc4"), id="positive integer as a signed one"
        ),
        pytest.param(VoteContent, splice(VOTE_BYTES, b"\x94", b"\xdc\x00\x04"), id="array header in 3 bytes, not 1"),
        pytest.param(
            VoteContent, splice(VOTE_BYTES, b"\xc4\x20", b"\xc5\x00\x20"), id="binary header in 3 bytes, not 2"
        ),
        pytest.param(TaskSpec, splice(TASK_BYTES, b"\xa2no", b"\xd9\x02no"), id="string header in 2 bytes, not 1"),
        pytest.param(VoteContent, VOTE_BYTES + b"\x00", id="a byte too many"),
        pytest.param(VoteContent, VOTE_BYTES[:-1], id="a byte too few"),
        pytest.param(VoteContent, b"", id="no bytes"),
        pytest.param(VoteContent, b"\xc1", id="the byte that means nothing"),
        pytest.param(VoteContent, pack(0, 0, 5), id="a field too few"),
        pytest.param(VoteContent, pack(0, 0, 5, VOTE.block_hash, 0), id="a field too many"),
        pytest.param(VoteContent, pack(False, 0, 5, VOTE.block_hash), id="false for 0"),
        pytest.param(VoteContent, pack(0, True, 5, None), id="true for the kind 1"),
        pytest.param(VoteContent, pack(0, 3, 5, None), id="an unknown kind"),
        pytest.param(VoteContent, pack(0, 0, -5, VOTE.block_hash), id="a negative view"),
        pytest.param(VoteContent, pack(0, 0, 5.0, VOTE.block_hash), id="a float"),
        pytest.param(VoteContent, pack(0, 0, "5", VOTE.block_hash), id="a string for an integer"),
        pytest.param(VoteContent, pack(0, 0, None, VOTE.block_hash), id="nil for an integer"),
        pytest.param(VoteContent, pack(0, 0, 5, b"short"), id="a digest of 5 bytes"),
        pytest.param(VoteContent, pack(0, 0, 5, "x" * 32), id="a string for a digest"),
        pytest.param(VoteContent, pack(0, 0, 5, [1]), id="an array for a digest"),
        pytest.param(VoteContent, msgpack.packb({"epoch": 0}), id="a map"),
        pytest.param(VoteContent, pack(0, 0, 5, {}), id="an empty map"),
        pytest.param(VoteContent, pack(0, 0, 5, msgpack.ExtType(5, bytes(32))), id="an extension"),
        pytest.param(VoteContent, pack(0, 0, 5, msgpack.ExtType(5, b"")), id="an empty extension"),
        pytest.param(VoteContent, pack(0, 0, 5, msgpack.Timestamp(1, 0)), id="a timestamp"),
        pytest.param(OperationMessage, pack("x", 3), id="a string for bytes"),
        pytest.param(OperationMessage, b"\x92\xc4\x01x\xd3" + bytes(8), id="zero in 9 bytes"),
        pytest.param(OperationResult, pack(RESULT.operation_id, 9), id="a number that no refusal has"),
        pytest.param(OperationResult, pack(RESULT.operation_id, "no"), id="a text for a refusal"),
        pytest.param(TaskSpec, pack(b"no", ()), id="bytes for a string"),
        pytest.param(TaskSpec, splice(TASK_BYTES, b"\xa2no", b"\xa2\xff\xfe"), id="a string that is no UTF-8"),
        pytest.param(ConsensusMessage, pack(), id="a union without a tag"),
        pytest.param(ConsensusMessage, pack(9, [], 0), id="an unknown tag"),
        pytest.param(ConsensusMessage, pack(True, [], 0), id="true for the tag 1"),
        pytest.param(ConsensusMessage, pack(1, 5, 0), id="an integer for an array"),
        pytest.param(ConsensusMessage, pack(1, [], 0, 0), id="a union with a field too many"),
    ],
)
def test_any_other_encoding_is_refused(kind: object, encoded: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_any(kind, encoded)


def test_the_examples_above_decode_without_their_mistake() -> None:
    assert decode_any(VoteContent, VOTE_BYTES) == VOTE
    assert decode_any(OperationResult, RESULT_BYTES) == RESULT
    assert decode_any(TaskSpec, TASK_BYTES) == TASK
    assert decode_any(OperationMessage, MESSAGE_BYTES) == MESSAGE
    assert decode_any(ConsensusMessage, pack(1, [], 0)) == Votes(votes=(), attempt=0)


def test_size_is_checked_before_anything_is_parsed() -> None:
    assert decode(VoteContent, VOTE_BYTES, bytes_max=len(VOTE_BYTES)) == VOTE
    with pytest.raises(MalformedMessage, match="at most"):
        decode(VoteContent, VOTE_BYTES, bytes_max=len(VOTE_BYTES) - 1)


@pytest.mark.parametrize(
    "value",
    [
        dataclasses.replace(VOTE, view=View(-1)),
        dataclasses.replace(VOTE, view=View(2**64)),
        dataclasses.replace(MOVE, member=MemberId(b"short")),
        dataclasses.replace(TASK, name=cast(Any, b"bytes")),
        dataclasses.replace(VOTE, kind=cast(Any, 0)),
    ],
    ids=["negative", "over 64 bits", "short bytes", "bytes for a string", "an integer for an enum"],
)
def test_a_value_without_an_encoding_is_our_own_mistake(value: object) -> None:
    with pytest.raises(InvariantViolation):
        encode(value)


def test_a_value_outside_of_its_union_is_our_own_mistake() -> None:
    with pytest.raises(InvariantViolation, match="not in the union"):
        encode_union(VOTE, ConsensusMessage)


def test_encodings_are_pinned() -> None:
    content = OperationContent(
        member=MemberId(bytes(32)),
        sequence=Sequence(300),
        payload=SealBallot(round=Round(2), attempt=0, seal=make_digest("seal")),
    )
    operation = Operation(content=content, signature=Signature(bytes(64)))
    zeros = "00" * 32
    seal = make_digest("seal").hex()
    assert encode(operation).hex() == f"9293c420{zeros}cd012c94010200c420{seal}c440{zeros}{zeros}"
    bond = dataclasses.replace(content, sequence=Sequence(0), payload=Bond(amount=Stake(2**32)))
    assert encode(bond).hex() == f"93c420{zeros}009203cf0000000100000000"
