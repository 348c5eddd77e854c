"""Rows of the database that are not what was written: StoreCorrupt, even where their checksum has been made to fit.

An input is an array: whether the checksum fits, a block's height, hash, body and certificate, and a journal record's
kind, mark and body.
"""

from contextlib import suppress
from functools import cache
from typing import Final, cast

import msgpack

from node.errors import StoreCorrupt
from node.store.rows import (
    BlockRow,
    compute_checksum,
    decode_block_row,
    decode_journal_row,
    encode_block_row,
    encode_journal_row,
)
from protocol.journal import ScoreRecord
from tests.fuzz.msgpack_mutation import make_msgpack_mutator, parse
from tests.fuzz.recording import record
from tests.fuzz.target import Target


def run(data: bytes) -> None:
    """Read a row of each table."""
    match parse(data):
        case [
            bool(fits),
            int(height),
            bytes(block_hash),
            bytes(block),
            (bytes() | None) as certificate,
            int(kind),
            int(mark),
            bytes(journal),
        ]:
            pass
        case _:
            return
    checksum = compute_checksum("blocks", height, block_hash, block, certificate) if fits else bytes(16)
    row = BlockRow(height=height, block_hash=block_hash, block=block, certificate=certificate, checksum=checksum)
    try:
        finalized = decode_block_row(record().chain_id, row)
        assert encode_block_row(record().chain_id, finalized) == row, "two rows of one block"
    except StoreCorrupt:
        pass
    journal_row = (kind, mark, journal, compute_checksum("journal", kind, mark, journal) if fits else bytes(16))
    with suppress(StoreCorrupt):
        decode_journal_row(1, journal_row)


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return true rows."""
    run_of = record()
    seeds = []
    records = [entry for entry in run_of.records if not isinstance(entry, ScoreRecord)]
    for entry, journal in zip(run_of.blocks, records, strict=False):
        row = encode_block_row(run_of.chain_id, entry.finalized)
        kind, mark, encoded, _ = encode_journal_row(journal)
        seeds.append([True, row.height, row.block_hash, row.block, row.certificate, kind, mark, encoded])
    seeds.append([False, *seeds[0][1:]])
    return tuple(cast(bytes, msgpack.packb(seed)) for seed in seeds)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=make_msgpack_mutator(make_seeds()))
