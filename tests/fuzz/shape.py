"""What an object of the core holds, without knowing its parts: for bounds, and to see that something has not changed.

Walks through everything mutable of the package ``protocol`` that can be reached. Frozen values are what they are; a
container counts with its members.
"""

import dataclasses
from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import TypeAlias

_Fact: TypeAlias = tuple[str, object]


def iterate_facts(root: object) -> Iterator[_Fact]:
    """Yield where something is held and what: a container's members, a plain value, or any other one's identity."""
    waiting: list[tuple[str, object]] = [("", root)]
    seen: set[int] = set()
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            yield path, tuple(value)
            waiting.extend((f"{path}[{key!r:.20}]", item) for key, item in value.items())
        elif isinstance(value, set):
            yield path, frozenset(value)
        elif isinstance(value, list | deque):
            yield path, len(value)
            waiting.extend((f"{path}[{index}]", item) for index, item in enumerate(value))
        elif _is_mutable_part(value):
            if id(value) not in seen:
                seen.add(id(value))
                waiting.extend((f"{path}.{name}", item) for name, item in _get_attributes(value).items())
        elif not callable(value):
            yield path, value if isinstance(value, int | str | bytes | tuple | None) else id(value)


def take_shape(root: object) -> frozenset[_Fact]:
    """Return what an object holds, to be compared with what it holds later."""
    return frozenset(iterate_facts(root))


def count_held(root: object) -> int:
    """Return how many members all containers of an object have together."""
    count = 0
    for _, fact in iterate_facts(root):
        if isinstance(fact, tuple | frozenset):
            count += len(fact)
    return count


def _is_mutable_part(value: object) -> bool:
    kind = type(value)
    if not kind.__module__.startswith("protocol.") or isinstance(value, Enum | type):
        return False
    parameters = getattr(kind, "__dataclass_params__", None)
    # A frozen value with a container in it, such as the past epoch's tally, is walked as well.
    return parameters is None or not parameters.frozen or any(map(_is_mutable_part, _iterate_fields(value)))


def _iterate_fields(value: object) -> Iterator[object]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield getattr(value, field.name)


def _get_attributes(value: object) -> dict[str, object]:
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    attributes = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return attributes | dict(getattr(value, "__dict__", {}))
