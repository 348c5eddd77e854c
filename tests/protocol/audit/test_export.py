"""The export's format: frames, limits, and what a writer refuses."""

from dataclasses import replace
from io import BytesIO

import pytest

from protocol.errors import InvalidMessage, MalformedMessage
from protocol.export import (
    EXPORT_FRAME_BYTES_MAX,
    EXPORT_MAGIC,
    ExportTrailer,
    iterate_frames,
    read_genesis,
    write_export,
)
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import compute_state_root
from tests.protocol.audit.chains import build_chain, build_tiny_chain, write


class SlowFile:
    """A file that gives one byte at a time, as a pipe may."""

    def __init__(self, encoded: bytes) -> None:
        self._file = BytesIO(encoded)
        self.position = 0

    def read(self, count: int, /) -> bytes:
        piece = self._file.read(min(count, 1))
        self.position += len(piece)
        return piece


def test_what_is_written_is_read_again() -> None:
    builder = build_chain()
    blocks = builder.export()
    source = SlowFile(write(builder.genesis, blocks))
    assert read_genesis(source) == builder.genesis
    *frames, trailer = iterate_frames(source)
    assert tuple(frames) == blocks
    assert trailer == ExportTrailer(
        height=builder.state.height,
        block_count=len(blocks),
        tip_hash=builder.state.block_hash,
        state_root=compute_state_root(builder.state),
    )


def test_frames_are_read_one_at_a_time() -> None:
    builder = build_chain()
    encoded = write(builder.genesis, builder.export())
    source = SlowFile(encoded)
    read_genesis(source)
    next(iterate_frames(source))
    assert source.position < len(encoded) // 2


def test_a_chain_without_blocks_can_be_exported() -> None:
    genesis = build_tiny_chain().genesis
    trailer = write_export(BytesIO(), genesis, ())
    state = compute_genesis_state(genesis)
    assert (trailer.height, trailer.block_count, trailer.tip_hash) == (0, 0, state.block_hash)
    assert trailer.state_root == compute_state_root(state)


def test_an_export_ends_at_a_certified_block() -> None:
    builder = build_tiny_chain()
    blocks = builder.export()
    with pytest.raises(InvalidMessage, match="no finalization certificate"):
        write(builder.genesis, (*blocks[:-1], replace(blocks[-1], certificate=None)))


@pytest.mark.parametrize("encoded", [b"", b"PK\x03\x04", EXPORT_MAGIC.replace(b"1", b"2") + bytes(40)])
def test_another_file_is_no_export(encoded: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_genesis(BytesIO(encoded))


def test_a_file_that_ends_after_its_first_line_has_no_genesis_document() -> None:
    with pytest.raises(MalformedMessage, match="before the genesis document"):
        read_genesis(BytesIO(EXPORT_MAGIC))


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    source = SlowFile((EXPORT_FRAME_BYTES_MAX + 1).to_bytes(4, "big") + bytes(100))
    with pytest.raises(MalformedMessage, match=f"a frame of {EXPORT_FRAME_BYTES_MAX + 1} bytes"):
        next(iterate_frames(source))
    assert source.position == 4


def test_a_frame_cut_short_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="ends 60 bytes early"):
        next(iterate_frames(BytesIO((100).to_bytes(4, "big") + bytes(40))))
