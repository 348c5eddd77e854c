"""Reads for the pages what past blocks did: a page of the database at a time, and no further than it is whole.

What the pages show of the past is worth no trouble to the node: where reading fails, a warning says so, and what was
read before that is all there is.
"""

from pathlib import Path
from typing import Final

import structlog
import trio

from node.errors import NodeError, StoreCorrupt
from node.http.recorder import Outcomes
from node.store.reader import SqliteReader
from protocol.units import Digest, Height, Round

PAGE_BLOCKS: Final = 256
"""So many blocks are read by one thread at once; to stop the node waits for no more than these."""
BLOCKS_MAX: Final = 1 << 16
"""No older blocks are read, however few rounds they come to."""
READ_RETRY_S: Final = 0.25
"""The core is ahead of the disk by a batch of blocks at the most."""
READ_WAIT_S: Final = 30.0
"""For a block that is not on disk after this time nobody waits any longer."""

_log = structlog.get_logger("http")


class Past:
    """The past of one chain, read from a database in threads of its own."""

    def __init__(self, ledger: Path, chain_id: Digest) -> None:
        """Take where the database is; nothing is opened before :meth:`read`."""
        self._ledger = ledger
        self._chain_id = chain_id

    async def read(self, first: Round, last: Height) -> Outcomes:
        """Return what the blocks did after the one that opened a round up to a height, newest first, without a gap.

        Fewer, and a warning in the log, if the database has fewer, is damaged, or does not come to have the last one.
        """
        outcomes: Outcomes = []
        try:
            floor = await self._wait_floor(first, last)
            for newest in range(last, floor, -PAGE_BLOCKS):
                oldest = max(newest - PAGE_BLOCKS, floor)
                page = await trio.to_thread.run_sync(self._read_page, newest, oldest)
                outcomes += page
                if len(page) < newest - oldest:
                    raise StoreCorrupt(f"what the block at height {newest - len(page)} did is not in ledger.db")
        except NodeError as error:
            _log.warning("stake_history_incomplete", reason=str(error), block_count=len(outcomes))
        return outcomes

    async def _wait_floor(self, first: Round, last: Height) -> int:
        """Wait until the last block is on disk, and return the height above which the blocks are to be read."""
        if last == 0:
            return 0
        with trio.move_on_after(READ_WAIT_S):
            while True:
                floor = await trio.to_thread.run_sync(self._find_floor, first, last)
                if floor is not None:
                    return floor
                await trio.sleep(READ_RETRY_S)
        raise StoreCorrupt(f"what the block at height {last} did is not in ledger.db after {READ_WAIT_S:.0f} s")

    def _find_floor(self, first: Round, last: Height) -> int | None:
        reader = SqliteReader(self._ledger, self._chain_id)
        try:
            if reader.get_outcome(last) is None:
                return None
            rounds = reader.get_rounds(first, limit=1)
            return max(rounds[0].opened_height if rounds else last, last - BLOCKS_MAX)
        finally:
            reader.close()

    def _read_page(self, newest: int, oldest: int) -> Outcomes:
        """Return what the blocks from one height down to another, which is left out, did; up to the first gap."""
        outcomes: Outcomes = []
        reader = SqliteReader(self._ledger, self._chain_id)
        try:
            for height in range(newest, oldest, -1):
                outcome = reader.get_outcome(Height(height))
                if outcome is None:
                    break
                outcomes.append((Height(height), outcome))
        finally:
            reader.close()
        return outcomes
