"""Canonical msgpack: one encoding per value, and any other encoding of it is refused (W1).

A frozen dataclass is an array of its fields in order; a member of a union of dataclasses is an array that begins with
the class's ``tag``; an optional value is nil or the value; an enum is its integer. There are no maps and no floats.
Decoding checks the size before it parses, lets the parser bound lengths and depth, checks every value against the
field's type, and compares the bytes of encoding the result again with those given. What a value means is not decided
here.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final, NewType, TypeVar, cast

import msgpack

from protocol.errors import InvariantViolation, MalformedMessage
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

T = TypeVar("T")

ARRAY_LENGTH_MAX: Final = 4_096
"""The longest array that is parsed; it bounds what nested array headers can make the parser allocate."""

UINT64_MAX: Final = 2**64 - 1
INT64_MIN: Final = -(2**63)

BYTES_LENGTHS: Final[dict[object, int]] = {
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
"""How long each identifier is, in bytes; JSON documents hold them in hex."""

_Plain = object
"""What msgpack knows: int, bool, bytes, str, None and tuples of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coder:
    """How values of one type become plain ones and back."""

    to_plain: Callable[[object], _Plain]
    from_plain: Callable[[_Plain], object]


def encode(value: object) -> bytes:
    """Return the one encoding of a frozen dataclass.

    Raises:
        InvariantViolation: A field holds what its type does not allow.
    """
    return _encode(type(value), value)


def encode_union(value: object, union: object) -> bytes:
    """Return the one encoding of a member of a union of tagged dataclasses."""
    return _encode(union, value)


def decode(kind: type[T], encoded: bytes, *, bytes_max: int) -> T:
    """Return the value of a dataclass that ``encoded`` is the encoding of.

    Args:
        kind: A frozen dataclass.
        encoded: Untrusted bytes.
        bytes_max: The longest encoding accepted; checked before anything is parsed.

    Raises:
        MalformedMessage: Too long, not msgpack, not of this type, or not the canonical encoding.
    """
    return cast(T, _decode(kind, encoded, bytes_max))


def decode_union(union: object, encoded: bytes, *, bytes_max: int) -> object:
    """Return the member of a union of tagged dataclasses that ``encoded`` is the encoding of.

    Raises:
        MalformedMessage: As :func:`decode`, or the tag is unknown.
    """
    return _decode(union, encoded, bytes_max)


def _encode(hint: object, value: object) -> bytes:
    try:
        return _pack(_get_coder(hint).to_plain(value))
    except MalformedMessage as error:
        raise InvariantViolation(f"a {type(value).__name__} that has no encoding: {error}") from error


def _decode(hint: object, encoded: bytes, bytes_max: int) -> object:
    if len(encoded) > bytes_max:
        raise MalformedMessage(f"{len(encoded)} bytes, at most {bytes_max} are accepted")
    try:
        plain = msgpack.unpackb(
            encoded,
            use_list=False,
            raw=False,
            strict_map_key=True,
            max_array_len=ARRAY_LENGTH_MAX,
            max_map_len=0,
            max_ext_len=0,
            max_str_len=bytes_max,
            max_bin_len=bytes_max,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise MalformedMessage(f"not msgpack: {type(error).__name__}") from error
    coder = _get_coder(hint)
    value = coder.from_plain(plain)
    if _pack(coder.to_plain(value)) != encoded:
        raise MalformedMessage("not the canonical encoding of its value")
    return value


def _pack(plain: _Plain) -> bytes:
    packed = msgpack.packb(plain, use_bin_type=True, strict_types=False)
    if not isinstance(packed, bytes):
        raise InvariantViolation("msgpack gave no bytes")
    return packed


def _get_coder(hint: object) -> _Coder:
    return _build_coder(hint)


@cache
def _build_coder(hint: Hashable) -> _Coder:
    if isinstance(hint, NewType):
        return _get_new_type_coder(hint)
    if hint is int:
        return _build_integer_coder(INT64_MIN)
    if hint is bool or hint is str or hint is bytes:
        return _build_exact_coder(hint)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _build_enum_coder(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _build_dataclass_coder(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return _build_tuple_coder(arguments)
    if origin in {types.UnionType, typing.Union}:
        return _build_union_coder(arguments)
    raise InvariantViolation(f"no canonical encoding for {hint!r}")


def _get_new_type_coder(hint: NewType) -> _Coder:
    if hint.__supertype__ is int:
        return _build_integer_coder(0)
    length = BYTES_LENGTHS.get(hint)
    if length is None:
        return _get_coder(hint.__supertype__)

    def check(value: object) -> object:
        if type(value) is not bytes or len(value) != length:
            raise MalformedMessage(f"{hint.__name__} is {length} bytes")
        return value

    return _Coder(to_plain=check, from_plain=check)


def _build_integer_coder(lowest: int) -> _Coder:
    def check(value: object) -> object:
        if type(value) is not int or not lowest <= value <= UINT64_MAX:
            raise MalformedMessage(f"an integer from {lowest} to 2**64-1 is expected, not {_describe(value)}")
        return value

    return _Coder(to_plain=check, from_plain=check)


def _build_exact_coder(kind: type) -> _Coder:
    def check(value: object) -> object:
        if type(value) is not kind:
            raise MalformedMessage(f"{kind.__name__} is expected, not {type(value).__name__}")
        return value

    return _Coder(to_plain=check, from_plain=check)


def _build_enum_coder(kind: type[IntEnum]) -> _Coder:
    members = {int(member): member for member in kind}

    def from_plain(plain: _Plain) -> object:
        if type(plain) is not int or plain not in members:
            raise MalformedMessage(f"{_describe(plain)} is no {kind.__name__}")
        return members[plain]

    def to_plain(value: object) -> _Plain:
        if not isinstance(value, kind):
            raise InvariantViolation(f"{value!r} is no {kind.__name__}")
        return int(value)

    return _Coder(to_plain=to_plain, from_plain=from_plain)


def _build_dataclass_coder(kind: type) -> _Coder:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    coders = [_get_coder(hints[name]) for name in names]
    pairs = list(zip(names, coders, strict=True))

    def to_plain(value: object) -> _Plain:
        if type(value) is not kind:
            raise InvariantViolation(f"{value!r:.80} is no {kind.__name__}")
        return tuple([coder.to_plain(getattr(value, name)) for name, coder in pairs])

    def from_plain(plain: _Plain) -> object:
        if type(plain) is not tuple or len(plain) != len(names):
            raise MalformedMessage(f"{kind.__name__} is an array of {len(names)}")
        return kind(**{name: coder.from_plain(item) for (name, coder), item in zip(pairs, plain, strict=True)})

    return _Coder(to_plain=to_plain, from_plain=from_plain)


def _build_tuple_coder(arguments: tuple[object, ...]) -> _Coder:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item_coder = _get_coder(arguments[0])

        def to_plain(value: object) -> _Plain:
            return tuple([item_coder.to_plain(item) for item in cast("tuple[object, ...]", value)])

        def from_plain(plain: _Plain) -> object:
            if type(plain) is not tuple:
                raise MalformedMessage("an array is expected")
            return tuple([item_coder.from_plain(item) for item in plain])

        return _Coder(to_plain=to_plain, from_plain=from_plain)

    coders = [_get_coder(argument) for argument in arguments]

    def fixed_to_plain(value: object) -> _Plain:
        items = cast("tuple[object, ...]", value)
        return tuple([coder.to_plain(item) for coder, item in zip(coders, items, strict=True)])

    def fixed_from_plain(plain: _Plain) -> object:
        if type(plain) is not tuple or len(plain) != len(coders):
            raise MalformedMessage(f"an array of {len(coders)} is expected")
        return tuple([coder.from_plain(item) for coder, item in zip(coders, plain, strict=True)])

    return _Coder(to_plain=fixed_to_plain, from_plain=fixed_from_plain)


def _build_union_coder(arguments: tuple[object, ...]) -> _Coder:
    if type(None) in arguments:
        return _build_optional_coder([argument for argument in arguments if argument is not type(None)])
    kinds = {_get_tag(argument): cast(type, argument) for argument in arguments}
    if len(kinds) != len(arguments):
        raise InvariantViolation(f"two classes of {arguments!r} share a tag")
    tags = {kind: tag for tag, kind in kinds.items()}

    def to_plain(value: object) -> _Plain:
        tag = tags.get(type(value))
        if tag is None:
            raise InvariantViolation(f"{type(value).__name__} is not in the union")
        return (tag, *cast("tuple[object, ...]", _get_coder(type(value)).to_plain(value)))

    def from_plain(plain: _Plain) -> object:
        if type(plain) is not tuple or not plain or type(plain[0]) is not int or plain[0] not in kinds:
            raise MalformedMessage("an array that begins with a known tag is expected")
        return _get_coder(kinds[plain[0]]).from_plain(plain[1:])

    return _Coder(to_plain=to_plain, from_plain=from_plain)


def _build_optional_coder(arguments: list[object]) -> _Coder:
    inner = _get_coder(arguments[0]) if len(arguments) == 1 else _build_union_coder(tuple(arguments))

    def to_plain(value: object) -> _Plain:
        return None if value is None else inner.to_plain(value)

    def from_plain(plain: _Plain) -> object:
        return None if plain is None else inner.from_plain(plain)

    return _Coder(to_plain=to_plain, from_plain=from_plain)


def _describe(plain: _Plain) -> str:
    """Return a value for an error's text; a stranger's array may be too deep to print."""
    return str(plain) if type(plain) is int else f"a {type(plain).__name__}"


def _get_tag(kind: object) -> int:
    tag = getattr(kind, "tag", None)
    if type(tag) is not int:
        raise InvariantViolation(f"{kind!r} has no integer tag")
    return tag
