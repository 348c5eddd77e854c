"""Tells a torn tail of SQLite's write-ahead log from damage in its middle, which SQLite itself takes for the end.

A crash may leave the last transaction half written; it was never durable, so nothing that depends on it has left the
node. But each transaction is flushed before the next begins, so a broken frame that whole later transactions follow
was durable once, and with it maybe votes that the node must not forget (C10).

Format: https://www.sqlite.org/fileformat2.html, section 4, "The Write-Ahead Log".
"""

import struct
from pathlib import Path
from typing import Final

from node.errors import StoreCorrupt
from node.store.database import REPAIR_HINT

_MAGIC: Final = {0x377F0682: "<", 0x377F0683: ">"}
"""By the byte order of the words that checksums are computed over."""

_HEADER: Final = struct.Struct(">8I")
_FRAME_HEADER: Final = struct.Struct(">6I")
_SUMMED_HEADER_BYTES: Final = 24
_SUMMED_FRAME_BYTES: Final = 8
_WORD_MASK: Final = 0xFFFFFFFF


def check_log(database_path: Path) -> None:
    """Check the log beside a database before SQLite reads it; SQLite may repair it, and would then forget the damage.

    Raises:
        StoreCorrupt: The log is damaged before its last transaction.
    """
    path = database_path.with_name(database_path.name + "-wal")
    if not path.is_file() or path.stat().st_size <= _HEADER.size + _FRAME_HEADER.size:
        return
    with path.open("rb") as file:
        log = memoryview(file.read())
    if not any(log[: _HEADER.size]):
        # Space that was set aside for the log, but never written.
        return
    magic, _, page_bytes, _, *salts_and_sums = _HEADER.unpack_from(log)
    salts, sums = tuple(salts_and_sums[:2]), tuple(salts_and_sums[2:])
    order = _MAGIC.get(magic)
    if order is None or page_bytes == 0 or _add_to_sums(order, (0, 0), log[:_SUMMED_HEADER_BYTES]) != sums:
        raise StoreCorrupt(f"the header of {path} is damaged: {REPAIR_HINT}")
    if _count_commits_after_damage(order, log, page_bytes, (salts, sums)) > 1:
        raise StoreCorrupt(f"{path} is damaged before its last transaction: {REPAIR_HINT}")


def _count_commits_after_damage(
    order: str, log: memoryview, page_bytes: int, start: tuple[tuple[int, ...], tuple[int, ...]]
) -> int:
    """Return how many transactions end at or after the first broken frame of this log; 0 if none is broken."""
    salts, sums = start
    is_damaged, count = False, 0
    for offset in range(_HEADER.size, len(log) - _FRAME_HEADER.size - page_bytes + 1, _FRAME_HEADER.size + page_bytes):
        _, size_after_commit, salt_1, salt_2, *frame_sums = _FRAME_HEADER.unpack_from(log, offset)
        if not is_damaged:
            page_offset = offset + _FRAME_HEADER.size
            sums = _add_to_sums(order, sums, log[offset : offset + _SUMMED_FRAME_BYTES])
            sums = _add_to_sums(order, sums, log[page_offset : page_offset + page_bytes])
            is_damaged = (salt_1, salt_2) != salts or tuple(frame_sums) != sums
        # Frames with other salts are left from before the log last began anew.
        if is_damaged and size_after_commit and (salt_1, salt_2) == salts:
            count += 1
    return count


def _add_to_sums(order: str, sums: tuple[int, ...], data: memoryview) -> tuple[int, int]:
    first, second = sums
    for low, high in struct.iter_unpack(f"{order}II", data):
        first = (first + low + second) & _WORD_MASK
        second = (second + high + first) & _WORD_MASK
    return first, second
