"""Values of any message class, drawn from the types of its fields as the codec reads them."""

import dataclasses
import types
import typing
from collections.abc import Hashable
from enum import IntEnum
from functools import cache
from typing import Final, NewType

from hypothesis import strategies as st

from protocol.blocks import Block
from protocol.evidence import Evidence
from protocol.genesis import Genesis
from protocol.interface import FinalizedBlock
from protocol.journal import Record
from protocol.ledger.state import LedgerState
from protocol.messages import ConsensusMessage, OperationMessage
from protocol.operations import Operation
from protocol.outcomes import BlockOutcome
from protocol.units import (
    BlsProof,
    BlsPublicKey,
    BlsScalar,
    BlsSignature,
    Digest,
    EncryptedShare,
    MemberId,
    Salt,
    SeedSecret,
    SharedPoint,
    Signature,
)
from protocol.votes import VoteContent

CLASSES: Final[tuple[Hashable, ...]] = (
    Operation,
    OperationMessage,
    Block,
    FinalizedBlock,
    VoteContent,
    Genesis,
    LedgerState,
    BlockOutcome,
)
"""Every dataclass that is encoded by itself."""

UNIONS: Final[tuple[Hashable, ...]] = (ConsensusMessage, Evidence, Record)
"""Every union that is encoded with a tag."""

BYTES_COUNT: Final[dict[object, int]] = {
    Digest: 32,
    MemberId: 32,
    Signature: 64,
    BlsPublicKey: 96,
    BlsSignature: 48,
    BlsScalar: 32,
    BlsProof: 64,
    SharedPoint: 96,
    EncryptedShare: 32,
    Salt: 32,
    SeedSecret: 32,
}
ITEMS_MAX: Final = 2
INTEGER_EDGES: Final = (0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
"""Where msgpack changes to a longer form."""


@cache
def draw_any(hint: Hashable) -> st.SearchStrategy[object]:
    """Return a strategy for the values of a type."""
    if hint in BYTES_COUNT:
        return st.binary(min_size=BYTES_COUNT[hint], max_size=BYTES_COUNT[hint])
    if isinstance(hint, NewType):
        return _draw_natural() if hint.__supertype__ is int else draw_any(hint.__supertype__)
    if hint is int:
        return _draw_natural() | st.integers(min_value=-(2**63), max_value=-1)
    if isinstance(hint, type):
        return _draw_class(hint)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        if arguments[1:] == (Ellipsis,):
            return st.lists(draw_any(arguments[0]), max_size=ITEMS_MAX).map(tuple)
        return st.tuples(*[draw_any(argument) for argument in arguments])
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        return st.one_of([draw_any(argument) for argument in arguments])
    raise AssertionError(f"no strategy for {hint!r}")


def _draw_natural() -> st.SearchStrategy[object]:
    return st.sampled_from(INTEGER_EDGES) | st.integers(min_value=0, max_value=2**64 - 1)


def _draw_class(kind: type) -> st.SearchStrategy[object]:
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{field.name: draw_any(hints[field.name]) for field in dataclasses.fields(kind)})
    if issubclass(kind, IntEnum):
        return st.sampled_from(list(kind))
    simple: dict[type, st.SearchStrategy[object]] = {
        bool: st.booleans(),
        str: st.text(max_size=40),
        bytes: st.binary(max_size=300),
        type(None): st.none(),
    }
    return simple[kind]
