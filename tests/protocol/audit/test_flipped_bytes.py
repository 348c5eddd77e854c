"""Flipping any byte of an export makes the audit fail, at once and with no other error than its own."""

import pytest

from protocol.audit import AuditFailure
from tests.protocol.audit.chains import build_chain, build_tiny_chain, verify, write

LANES = 4
STRIDE = 53
MASKS = (0x01, 0x80, 0xFF)


def survives(encoded: bytes, position: int, mask: int) -> bool:
    """Return whether the audit accepts the export with one byte changed."""
    changed = bytearray(encoded)
    changed[position] ^= mask
    try:
        verify(bytes(changed))
    except AuditFailure:
        return False
    return True


@pytest.mark.parametrize("lane", range(LANES))
def test_every_byte_of_a_tiny_export_counts(lane: int) -> None:
    builder = build_tiny_chain()
    encoded = write(builder.genesis, builder.export(certified=lambda _: True))
    positions = range(lane, len(encoded), LANES)
    assert [position for position in positions if survives(encoded, position, MASKS[position % len(MASKS)])] == []


def test_bytes_all_over_an_export_count() -> None:
    builder = build_chain()
    encoded = write(builder.genesis, builder.export(certified=lambda height: height % 4 == 0))
    positions = range(STRIDE // 2, len(encoded), STRIDE)
    assert len(positions) > 150
    assert [position for position in positions if survives(encoded, position, MASKS[position % len(MASKS)])] == []


def test_an_export_cut_off_anywhere_fails() -> None:
    builder = build_tiny_chain()
    encoded = write(builder.genesis, builder.export())
    for length in range(0, len(encoded), 7):
        with pytest.raises(AuditFailure):
            verify(encoded[:length])
