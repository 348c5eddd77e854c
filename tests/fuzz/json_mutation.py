"""Changes to JSON: parsed, changed as a tree, and written again, or spoilt in the text itself."""

import json
import random
from collections.abc import Sequence
from typing import Final, cast

from tests.fuzz.bytes_mutation import mutate_bytes, splice
from tests.fuzz.target import Mutator
from tests.fuzz.trees import Dialect, Raw, Tree, collect_parts, mutate_tree

POOL_PARTS_MAX: Final = 200


def make_hostile(chance: random.Random) -> Raw:
    """Return a text that nests deeply, is no JSON, or is JSON that few expect."""
    depth = chance.choice([2, 100, 900, 990, 1_000, 1_100, 20_000])
    return Raw(
        chance.choice(
            [
                b"[" * depth + b"]" * depth,
                b"[" * depth,
                b'{"a":' * depth,
                b"9" * chance.choice([19, 20, 400, 4_301]),
                b"-" + b"9" * 25,
                b"1e999",
                b"1.5",
                b"-0",
                b"NaN",
                b"-Infinity",
                b'"\\ud800"',
                b'"\\u0000"',
                b'"\xff"',
                b'"' + b"a" * 9_000 + b'"',
                b'{"a":1,"a":2}',
                b"{}",
                b"null",
                b"",
                b"\xef\xbb\xbf1",
            ]
        )
    )


def parse(data: bytes) -> Tree:
    """Return the tree of a text, or None if it is none."""
    try:
        return cast(Tree, json.loads(data))
    except (ValueError, RecursionError):
        return None


def write(tree: Tree) -> bytes:
    """Return the text of a tree with its raw places as they are."""
    if isinstance(tree, Raw):
        return tree.encoding
    if isinstance(tree, list):
        return b"[" + b",".join([write(item) for item in tree]) + b"]"
    if isinstance(tree, dict):
        members = [_write_leaf(name) + b":" + write(item) for name, item in tree.items()]
        return b"{" + b",".join(members) + b"}"
    return _write_leaf(tree)


def _write_leaf(leaf: object) -> bytes:
    return (leaf.hex() if isinstance(leaf, bytes) else json.dumps(leaf)).encode()


def make_json_mutator(seeds: Sequence[bytes]) -> Mutator:
    """Return a mutator for texts like these."""
    pool: list[Tree] = []
    for seed in seeds:
        collect_parts(parse(seed), pool, count_max=POOL_PARTS_MAX)
    dialect = Dialect(make_hostile=make_hostile, pool=pool)

    def mutate(data: bytes, chance: random.Random) -> bytes:
        draw = chance.random()
        tree = parse(data) if draw > 0.2 else None
        if not isinstance(tree, list | dict):
            return mutate_bytes(data, chance) if draw > 0.05 else splice(data, seeds, chance)
        try:
            return write(mutate_tree(tree, dialect, chance))
        except RecursionError:
            return mutate_bytes(data, chance)

    return mutate
