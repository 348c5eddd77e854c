"""Changes to msgpack: decoded, changed as a tree, and encoded again, or spoilt in the encoding itself."""

import random
from collections.abc import Sequence
from typing import Final, cast

import msgpack

from tests.fuzz.bytes_mutation import mutate_bytes, splice
from tests.fuzz.target import Mutator
from tests.fuzz.trees import MEMBERS_MAX, Dialect, Raw, Tree, collect_parts, mutate_tree

POOL_PARTS_MAX: Final = 400
LONGEST_ARRAY: Final = b"\xdc\x10\x00"
"""The header of an array of 4,096, the longest one that is parsed."""


def make_hostile(chance: random.Random) -> Raw:
    """Return an encoding that lies about its length, nests deeply, or spells a value in another way than the one."""
    depth = chance.choice([2, 50, 400, 900, 990, 1_000, 1_010, 1_023, 1_100, 5_000])
    number = chance.choice([0, 1, 127, 200])
    return Raw(
        chance.choice(
            [
                b"\x91" * depth + b"\xc0",
                b"\x91" * depth,
                LONGEST_ARRAY * min(depth, 1_100),
                b"\xdd\xff\xff\xff\xff",
                b"\xdc\xff\xff",
                b"\xc6\xff\xff\xff\xff",
                b"\xdb\xff\xff\xff\xff",
                b"\xdf\xff\xff\xff\xff",
                b"\xc9\xff\xff\xff\xff\x05",
                b"\xcf" + number.to_bytes(8, "big"),
                b"\xd3" + number.to_bytes(8, "big"),
                b"\xcb" + bytes(8),
                b"\xca\x7f\xc0\x00\x00",
                b"\xc1",
                b"\xd4\xff\x00",
                b"\x81\x00\x00",
                b"\x80",
                b"\xa2\xff\xfe",
                b"\xd9\x01a",
                b"\xc5\x00\x01a",
                b"\xdc\x00\x00",
                b"\xd3\x80" + bytes(7),
            ]
        )
    )


def parse(data: bytes) -> Tree:
    """Return the tree of an encoding, or None if it is none, or too deep to walk."""
    try:
        tree = msgpack.unpackb(
            data,
            use_list=True,
            raw=False,
            strict_map_key=False,
            max_array_len=MEMBERS_MAX,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError):
        return None
    return cast(Tree, tree)


def pack(tree: Tree) -> bytes | None:
    """Return the encoding of a tree with its raw places as they are; None if something in it has no encoding."""
    try:
        return _pack(tree)
    except (OverflowError, ValueError, TypeError, RecursionError):
        return None


def _pack(tree: Tree) -> bytes:
    if isinstance(tree, Raw):
        return tree.encoding
    if isinstance(tree, list):
        return _pack_header(len(tree)) + b"".join([_pack(item) for item in tree])
    packed = msgpack.packb(tree, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def _pack_header(count: int) -> bytes:
    if count < 16:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big") if count < 65_536 else b"\xdd" + count.to_bytes(4, "big")


def make_msgpack_mutator(seeds: Sequence[bytes]) -> Mutator:
    """Return a mutator for encodings like these."""
    pool: list[Tree] = []
    for seed in seeds:
        tree = parse(seed)
        if isinstance(tree, list):
            collect_parts(tree, pool, count_max=POOL_PARTS_MAX)

    def change_inside(data: bytes, chance: random.Random) -> bytes:
        # Bytes that hold an encoding themselves, such as an operation inside a block, are changed in their own terms.
        if len(data) > 8 and data[0] >> 4 == 9 and chance.random() < 0.8:
            return mutate(data, chance)
        return mutate_bytes(data, chance)

    dialect = Dialect(make_hostile=make_hostile, change_inside=change_inside, pool=pool)

    def mutate(data: bytes, chance: random.Random) -> bytes:
        draw = chance.random()
        if draw < 0.1:
            return mutate_bytes(data, chance)
        if draw < 0.13:
            return splice(data, seeds, chance)
        tree = parse(data)
        if not isinstance(tree, list):
            return mutate_bytes(data or chance.choice(seeds), chance)
        changed = pack(mutate_tree(tree, dialect, chance))
        return mutate_bytes(data, chance) if changed is None else changed

    return mutate
