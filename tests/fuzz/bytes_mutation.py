"""Changes to bytes that know nothing of their meaning: flipped bits, lost and repeated pieces, lying lengths."""

import random
from collections.abc import Sequence
from typing import Final

from tests.fuzz.target import Mutator

EDGES: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 2**63, 2**64 - 1)
"""Numbers at which encodings and types change."""


def flip_bit(data: bytes, chance: random.Random) -> bytes:
    """Change one bit."""
    changed = bytearray(data or b"\x00")
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def set_byte(data: bytes, chance: random.Random) -> bytes:
    """Change one byte."""
    changed = bytearray(data or b"\x00")
    changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def cut_off(data: bytes, chance: random.Random) -> bytes:
    """Lose the end."""
    return data[: chance.randrange(len(data) + 1)]


def cut_out(data: bytes, chance: random.Random) -> bytes:
    """Lose a piece."""
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.randint(1, 40) :]


def insert_random(data: bytes, chance: random.Random) -> bytes:
    """Insert a few bytes of anything."""
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.randbytes(chance.randint(1, 12)) + data[start:]


def repeat_piece(data: bytes, chance: random.Random) -> bytes:
    """Say a piece again, sometimes very often."""
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice([1, 4, 12, 64]))
    count = chance.choice([1, 2, 16, 300])
    return data[:end] + data[start:end] * count + data[end:]


def write_edge(data: bytes, chance: random.Random) -> bytes:
    """Write a number at which something changes over some bytes: often a length that lies."""
    width = chance.choice([1, 2, 4, 8])
    number = chance.choice(EDGES) % (1 << 8 * width)
    start = chance.randrange(len(data) + 1)
    written = number.to_bytes(width, "big")
    return data[:start] + (written if chance.random() < 0.5 else written[::-1]) + data[start + width :]


CHANGES: Final[tuple[Mutator, ...]] = (
    flip_bit,
    set_byte,
    cut_off,
    cut_out,
    insert_random,
    repeat_piece,
    write_edge,
)


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Make one to three changes."""
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        data = chance.choice(CHANGES)(data, chance)
    return data


def splice(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Continue an input with the end of another one."""
    if not others:
        return data
    other = chance.choice(others)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]
