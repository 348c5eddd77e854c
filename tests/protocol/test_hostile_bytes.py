"""W1: what hostile bytes may cost a decoder, in memory and in depth."""

import tracemalloc

import pytest

from protocol.codec import ARRAY_LENGTH_MAX, decode_union
from protocol.errors import MalformedMessage
from protocol.messages import ConsensusMessage

BYTES_MAX = 1 << 20
MEMORY_BYTES_MAX = 64 << 20
"""The deepest nesting that the parser takes, each level with the longest array that it takes, is about half of this."""

LONGEST = b"\xdc" + ARRAY_LENGTH_MAX.to_bytes(2, "big")

HOSTILE = {
    "an array that says it has 2**32 - 1 items": b"\xdd\xff\xff\xff\xff",
    "an array that is longer than any may be": b"\xdc" + (ARRAY_LENGTH_MAX + 1).to_bytes(2, "big"),
    "the longest arrays inside each other, few": LONGEST * 500,
    "the longest arrays inside each other, many": LONGEST * (BYTES_MAX // 3),
    "short arrays inside each other": b"\x91" * BYTES_MAX,
    "short arrays inside each other, closed": b"\x91" * (BYTES_MAX - 1) + b"\xc0",
    "an array in an integer's place, too deep to print": b"\x93\x01\x90" + b"\x91" * 1_010 + b"\xc0",
    "bytes that say they are 2**32 - 1": b"\xc6\xff\xff\xff\xff",
    "a string that says it has 2**32 - 1 bytes": b"\xdb\xff\xff\xff\xff",
    "a map that says it has 2**32 - 1 entries": b"\xdf\xff\xff\xff\xff",
    "an extension that says it has 2**32 - 1 bytes": b"\xc9\xff\xff\xff\xff\x05",
    "many small values": b"\xdc\x0f\xff" + (b"\xdc\x00\xff" + b"\xcf" + b"\xff" * 8) * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_within_bounded_memory(name: str) -> None:
    encoded = HOSTILE[name][:BYTES_MAX]
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage):
            decode_union(ConsensusMessage, encoded, bytes_max=BYTES_MAX)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_a_message_over_the_limit_costs_nothing() -> None:
    encoded = b"\x91" * (BYTES_MAX + 1)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="at most"):
            decode_union(ConsensusMessage, encoded, bytes_max=BYTES_MAX)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
