"""Values of the protocol as JSON that people can read, and back, strictly.

No key may be unknown, missing, repeated or of the wrong type. Identifiers are hex, enums their names in lower case,
pairs of text objects. Floats do not occur.
"""

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Callable, Hashable
from enum import IntEnum
from functools import cache
from typing import Final, NewType, TypeAlias, TypeVar, cast

from node.errors import ConfigError
from node.json_values import JsonObject, JsonValue
from node.nesting import check_nesting
from protocol.codec import BYTES_LENGTHS, INT64_MIN, UINT64_MAX

T = TypeVar("T")

_TEXT_PAIRS = tuple[tuple[str, str], ...]
_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half a character: JSON can escape it alone, and no encoding has it."""

_FromJson: TypeAlias = Callable[[JsonValue, str], object]
"""(value, where it stands, for errors)"""


def to_json(value: object) -> JsonValue:
    """Return a dataclass, or any value that one may hold, as JSON."""
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _get_hints(type(value))
        return {
            field.name: _to_json_field(getattr(value, field.name), hints[field.name])
            for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def from_json(kind: type[T], value: JsonValue, *, where: str) -> T:
    """Return the dataclass that a JSON object describes.

    Args:
        kind: The dataclass.
        value: What :func:`parse_json` gave.
        where: What the object is, such as a path; errors begin with it.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type; the message names it.
    """
    reader: _FromJson = _get_reader(cast(Hashable, kind))
    return cast(T, reader(value, where))


def parse_json(text: str, *, where: str) -> JsonValue:
    """Return the value of a JSON text, without repeated keys, floats or NaN, nested NESTING_MAX deep at the most.

    Raises:
        ConfigError: It is no such text; the message names the line.
    """

    def refuse(literal: str) -> JsonValue:
        raise ConfigError(f"{where}: {literal} is not allowed, write an integer")

    def build_object(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
        built = dict(pairs)
        if len(built) != len(pairs):
            keys = [key for key, _ in pairs]
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise ConfigError(f"{where}: the key {repeated!r} occurs twice")
        return built

    try:
        value = json.loads(text, object_pairs_hook=build_object, parse_float=refuse, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}, line {error.lineno}: this is no JSON ({error.msg})") from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{where}: this is no JSON ({type(error).__name__})") from error
    check_nesting(value, where=where)
    return cast(JsonValue, value)


def format_json(value: JsonValue) -> str:
    """Return JSON text as files have it: indented, one line end at the end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def suggest(name: str, known: typing.Iterable[str], *, cutoff: float = 0.5) -> str:
    """Return a hint for a misspelt name, such as `` (did you mean 'listen'?)``; empty if no known one is near."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return f" (did you mean '{close[0]}'?)" if close else ""


def check_keys(value: JsonValue, known: typing.Collection[str], *, where: str) -> JsonObject:
    """Return an object that has exactly the known keys.

    Raises:
        ConfigError: It has not; the message names the first key that is wrong.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: an object is expected, not {_describe(value)}")
    for name in value:
        if name not in known:
            raise ConfigError(f"{where}: unknown key {name!r}{suggest(name, known)}")
    for name in known:
        if name not in value:
            raise ConfigError(f"{where}: the key {name!r} is missing")
    return value


def _to_json_field(value: object, hint: object) -> JsonValue:
    if hint == _TEXT_PAIRS:
        return dict(cast("tuple[tuple[str, str], ...]", value))
    return to_json(value)


@cache
def _get_hints(kind: type) -> dict[str, object]:
    return typing.get_type_hints(kind)


@cache
def _get_reader(hint: object) -> _FromJson:
    if hint in _LEAF_READERS:
        return _LEAF_READERS[hint]
    if isinstance(hint, NewType):
        return _build_integer_reader(0) if hint.__supertype__ is int else _build_hex_reader(BYTES_LENGTHS[hint])
    if isinstance(hint, type):
        return _build_enum_reader(hint) if issubclass(hint, IntEnum) else _build_object_reader(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _build_list_reader(_get_reader(arguments[0]))
    if origin in {types.UnionType, typing.Union} and len(arguments) == 2 and type(None) in arguments:
        inner = _get_reader(next(argument for argument in arguments if argument is not type(None)))
        return lambda value, where: None if value is None else inner(value, where)
    raise TypeError(f"no JSON form for {hint!r}")


def _build_object_reader(kind: type) -> _FromJson:
    hints = _get_hints(kind)
    names = tuple(field.name for field in dataclasses.fields(kind))

    def read(value: JsonValue, where: str) -> object:
        members = check_keys(value, names, where=where)
        return kind(**{name: _get_reader(hints[name])(members[name], f"{where}: {name}") for name in names})

    return read


def _build_list_reader(read_item: _FromJson) -> _FromJson:
    def read(value: JsonValue, where: str) -> object:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: a list is expected, not {_describe(value)}")
        return tuple(read_item(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read


def _build_enum_reader(kind: type[IntEnum]) -> _FromJson:
    members = {member.name.lower(): member for member in kind}

    def read(value: JsonValue, where: str) -> object:
        if not isinstance(value, str) or value not in members:
            raise ConfigError(f"{where}: one of {', '.join(members)} is expected, not {_describe(value)}")
        return members[value]

    return read


def _read_text(value: JsonValue, where: str) -> object:
    if not isinstance(value, str) or _SURROGATE.search(value):
        raise ConfigError(f"{where}: text is expected, not {_describe(value)}")
    return value


def _read_bool(value: JsonValue, where: str) -> object:
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: true or false is expected, not {_describe(value)}")
    return value


def _build_integer_reader(lowest: int) -> _FromJson:
    def read(value: JsonValue, where: str) -> object:
        if type(value) is not int or not lowest <= value <= UINT64_MAX:
            raise ConfigError(f"{where}: an integer from {lowest} to 2**64-1 is expected, not {_describe(value)}")
        return value

    return read


def _build_hex_reader(length: int | None) -> _FromJson:
    what = "hex digits in lower case are" if length is None else f"{2 * length} hex digits in lower case are"

    def read(value: JsonValue, where: str) -> object:
        # fromhex also takes spaces and capitals; one value has one spelling here.
        if isinstance(value, str) and _HEX.fullmatch(value) and length in {None, len(value) // 2}:
            return bytes.fromhex(value)
        raise ConfigError(f"{where}: {what} expected, not {_describe(value)}")

    return read


def _read_text_pairs(value: JsonValue, where: str) -> object:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: an object is expected, not {_describe(value)}")
    for name, text in value.items():
        _read_text(name, where)
        _read_text(text, f"{where}: {name}")
    return tuple(sorted((name, cast(str, text)) for name, text in value.items()))


def _describe(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return f"{value!r:.60}"


_LEAF_READERS: Final[dict[object, _FromJson]] = {
    _TEXT_PAIRS: _read_text_pairs,
    str: _read_text,
    bool: _read_bool,
    int: _build_integer_reader(INT64_MIN),
    bytes: _build_hex_reader(None),
}
