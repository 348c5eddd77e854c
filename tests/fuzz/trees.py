"""Changes to trees of plain values: what somebody tries who knows a format's shape but not its rules.

A tree is a list of lists and leaves, as msgpack and JSON have them. A :class:`Raw` leaf is written as it is: a lying
length, an array a thousand deep, another spelling of a number.
"""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.fuzz.bytes_mutation import EDGES, mutate_bytes


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that stand in an encoding as they are."""

    encoding: bytes


Tree: TypeAlias = "None | bool | int | float | str | bytes | Raw | list[Tree] | dict[str, Tree]"

BLANKS: Final[tuple[Tree, ...]] = (None, True, False, 0, -1, "", b"", [], "x")
MEMBERS_MAX: Final = 6_000
"""More than any array may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What is different between formats."""

    make_hostile: Callable[[random.Random], Raw]
    """Makes something that only an attacker writes."""
    change_inside: Callable[[bytes, random.Random], bytes] = mutate_bytes
    """Changes a leaf of bytes."""
    pool: Sequence[Tree] = ()
    """Parts of true messages, to put elsewhere."""


def mutate_tree(tree: Tree, dialect: Dialect, chance: random.Random) -> Tree:
    """Return a tree with one to three places changed; the tree given is used up."""
    holder: list[Tree] = [tree]
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        _change_place(holder, dialect, chance)
    return holder[0]


def _change_place(holder: list[Tree], dialect: Dialect, chance: random.Random) -> None:
    """Walk down from the top and change what is there, so that every field gets its turn, however long its siblings."""
    parent: list[Tree] | dict[str, Tree] = holder
    key: int | str = 0
    while True:
        node = parent[key]  # type: ignore[index]  # a list is indexed by numbers, a dictionary by names
        if not isinstance(node, list | dict) or not node or chance.random() < 0.2:
            break
        parent = node
        key = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
    changed = change_node(node, dialect, chance)
    parent[key] = changed  # type: ignore[index]


def change_node(node: Tree, dialect: Dialect, chance: random.Random) -> Tree:
    """Return something else in the place of a node."""
    draw = chance.random()
    if draw < 0.1:
        return dialect.make_hostile(chance)
    if draw < 0.2 and dialect.pool:
        return copy.deepcopy(chance.choice(dialect.pool))
    if draw < 0.25:
        return copy.copy(chance.choice(BLANKS))
    match node:
        case bool():
            return not node
        case int():
            return change_integer(node, chance)
        case str():
            return change_text(node, chance)
        case bytes():
            return dialect.change_inside(node, chance)
        case list():
            return change_list(node, dialect, chance)
        case dict():
            return change_table(node, dialect, chance)
        case _:
            return chance.choice(BLANKS)


def change_integer(number: int, chance: random.Random) -> int:
    """Return another number: a neighbour, an edge, or anything."""
    return chance.choice(
        [
            number + 1,
            number - 1,
            -number,
            number * 2,
            number ^ (1 << chance.randrange(64)),
            number + chance.randint(-100, 100),
            chance.choice(EDGES),
            -chance.choice(EDGES),
            chance.getrandbits(chance.choice([8, 16, 64])),
        ]
    )


def change_text(text: str, chance: random.Random) -> str:
    """Return another text."""
    place = chance.randrange(len(text) + 1)
    return chance.choice(
        [
            text[:place],
            text + text,
            text * (200 if len(text) < 100 else 2),
            text[:place] + chance.choice("\x00\n\"'\\/<\u202e\U0001f600é") + text[place:],
            text.swapcase(),
            "0" * chance.choice([1, 64, 5_000]),
        ]
    )


def change_list(items: list[Tree], dialect: Dialect, chance: random.Random) -> list[Tree]:
    """Return a list with items lost, repeated, exchanged or added."""
    changed = list(items)
    place = chance.randrange(len(changed) + 1)
    near = min(place, len(changed) - 1)
    match chance.randrange(7):
        case 0 if changed:
            del changed[near]
        case 1 if changed:
            changed.insert(place, changed[near])
        case 2 if changed:
            changed[near : near + 1] = [changed[near]] * _choose_count(changed[near], chance)
        case 3 if len(changed) > 1:
            other = chance.randrange(len(changed))
            changed[near], changed[other] = changed[other], changed[near]
        case 4 if dialect.pool:
            changed.insert(place, copy.deepcopy(chance.choice(dialect.pool)))
        case 5:
            del changed[place:]
        case _:
            changed.insert(place, chance.choice([None, 0, 2**64 - 1, b"", [], dialect.make_hostile(chance)]))
    return changed


def _choose_count(item: Tree, chance: random.Random) -> int:
    """Return how often to repeat something: what is large itself only a few times."""
    is_small = not isinstance(item, list | dict | Raw) and not (isinstance(item, bytes | str) and len(item) > 100)
    return chance.choice([2, 16, 70, MEMBERS_MAX] if is_small else [2, 5, 16])


def change_table(table: dict[str, Tree], dialect: Dialect, chance: random.Random) -> dict[str, Tree]:
    """Return a table with a key lost, misspelt or added."""
    changed = dict(table)
    name = chance.choice(list(changed)) if changed else "name"
    match chance.randrange(3):
        case 0:
            changed.pop(name, None)
        case 1:
            changed[change_text(name, chance)] = changed.pop(name, None)
        case _:
            changed[change_text(name, chance)] = dialect.make_hostile(chance)
    return changed


def collect_parts(tree: Tree, parts: list[Tree], *, count_max: int) -> None:
    """Add a tree's parts that are worth putting elsewhere: arrays, and bytes of some length."""
    waiting: list[Tree] = [tree]
    while waiting and len(parts) < count_max:
        node = waiting.pop()
        if isinstance(node, list):
            parts.append(node)
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
        elif isinstance(node, bytes) and len(node) > 8:
            parts.append(node)
