"""Looks at the database of a stopped node as its start would, and leaves it as it is.

SQLite writes beside a database even to read it, and a start may repair its log. So a copy is opened, which costs as
much room as the database for as long as it takes.
"""

import shutil
from contextlib import closing
from pathlib import Path

from node.errors import NodeError
from node.store.database import open_writer, translated_errors
from node.store.loader import load_records, load_state
from node.store.meta import check_chain
from node.store.reader import SqliteReader
from node.store.wal import check_log
from protocol.genesis import Genesis, compute_chain_id
from protocol.ledger.state import LedgerState


def compute_copy_bytes(path: Path) -> int:
    """Return how much room :func:`load_copy` needs."""
    return sum(part.stat().st_size for part in (path, _get_log(path)) if part.is_file())


def load_copy(path: Path, genesis: Genesis, *, folder: Path) -> LedgerState:
    """Return the ledger's state as a start would find it.

    Args:
        path: Of ``ledger.db``, which no daemon holds.
        genesis: The home's.
        folder: An empty one, with room for the copy.

    Raises:
        NodeError: What a start would raise: damaged, of another chain, version or program.
    """
    copy = folder / path.name
    try:
        with translated_errors(path):
            for part, target in ((path, copy), (_get_log(path), _get_log(copy))):
                if part.is_file():
                    shutil.copyfile(part, target)
            return _load(copy, genesis)
    except NodeError as error:
        # What it says is true of the original.
        raise type(error)(str(error).replace(str(copy), str(path))) from error


def _load(path: Path, genesis: Genesis) -> LedgerState:
    check_log(path)
    chain_id = compute_chain_id(genesis)
    with closing(open_writer(path)) as connection:
        check_chain(connection, path, chain_id)
        with closing(SqliteReader(path, chain_id)) as reader:
            state, _ = load_state(connection, reader, genesis)
            load_records(connection, reader)
    return state


def _get_log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")

