"""What a target is: something to run on bytes from a stranger, inputs to begin with, and the bounds that must hold."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Mutator: TypeAlias = Callable[[bytes, random.Random], bytes]
"""Returns a changed input; equal arguments give equal results."""

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One way in."""

    run: Callable[[bytes], None]
    """Takes one input. Whatever it raises is a failure: the errors that the documents promise it catches itself."""
    seeds: Callable[[], Sequence[bytes]]
    """Makes inputs to begin with, the same ones in every process."""
    mutate: Mutator
    input_bytes_max: int = 1 << 16
    """Inputs that are longer are not made."""
    cpu_s: float = 1.0
    """What one input may cost, in seconds of one core, generous enough to catch blow-ups only."""
    memory_bytes: int | None = 48 * MIB
    """What one input may cost in memory whatever its length; None measures nothing, because that slows a target down.

    For everything that decodes, most of it is what msgpack sets aside for arrays inside each other: at most 1,024 of
    them, each of at most 4,096 values of 8 bytes.
    """
    memory_bytes_per_byte: int = 128
    """What each byte of an input may cost besides, in bytes of memory."""
