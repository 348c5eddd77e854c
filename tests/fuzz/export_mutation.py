"""Changes to exports: a magic line and frames, each behind its length."""

import random
from collections.abc import Sequence
from typing import Final

from protocol.export import EXPORT_MAGIC
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.msgpack_mutation import make_msgpack_mutator
from tests.fuzz.target import Mutator

LENGTH_BYTES: Final = 4


def split_frames(data: bytes) -> list[bytes] | None:
    """Return the frames of an export, or None if it is not whole."""
    if not data.startswith(EXPORT_MAGIC):
        return None
    frames = []
    position = len(EXPORT_MAGIC)
    while position < len(data):
        end = position + LENGTH_BYTES + int.from_bytes(data[position : position + LENGTH_BYTES], "big")
        if end > len(data):
            return None
        frames.append(data[position + LENGTH_BYTES : end])
        position = end
    return frames


def join_frames(frames: Sequence[bytes]) -> bytes:
    """Return the export of frames."""
    return EXPORT_MAGIC + b"".join(len(frame).to_bytes(LENGTH_BYTES, "big") + frame for frame in frames)


def make_export_mutator(seeds: Sequence[bytes], change_frame: Mutator | None = None) -> Mutator:
    """Return a mutator for exports like these.

    Args:
        seeds: True exports.
        change_frame: How a frame is changed; by default as any encoding is.
    """
    known = [frame for seed in seeds for frame in split_frames(seed) or ()]
    change = change_frame or make_msgpack_mutator(known)

    def mutate(data: bytes, chance: random.Random) -> bytes:
        frames = split_frames(data)
        if not frames or chance.random() < 0.1:
            return mutate_bytes(data, chance)
        place = chance.randrange(len(frames))
        match chance.randrange(10):
            case 0:
                frames.insert(place, chance.choice(known))
            case 1:
                del frames[place]
            case 2:
                other = chance.randrange(len(frames))
                frames[place], frames[other] = frames[other], frames[place]
            case _:
                frames[place] = change(frames[place], chance)
        return join_frames(frames)

    return mutate
