"""JSON as a type: what the control socket and ``--json`` speak, and how identifiers are written there."""

from typing import TypeAlias

from protocol.units import Digest, MemberId

JsonValue: TypeAlias = "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"
JsonObject: TypeAlias = dict[str, JsonValue]


def to_hex(identifier: MemberId | Digest | None) -> str | None:
    """Return an identifier in full, as 64 hex digits; None stays None."""
    return None if identifier is None else identifier.hex()


def get_object(value: JsonValue) -> JsonObject:
    """Return a value that must be an object.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is expected, not {type(value).__name__}")
    return value


def get_list(value: JsonValue) -> list[JsonValue]:
    """Return a value that must be a list.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, list):
        raise ValueError(f"a JSON list is expected, not {type(value).__name__}")
    return value


def get_int(value: JsonValue) -> int:
    """Return a value that must be an integer.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"a JSON integer is expected, not {type(value).__name__}")
    return value


def get_text(value: JsonValue) -> str:
    """Return a value that must be a string.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, str):
        raise ValueError(f"a JSON string is expected, not {type(value).__name__}")
    return value
