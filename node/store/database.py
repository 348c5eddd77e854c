"""Opens ``ledger.db``: its tables, its versions, and what SQLite's errors mean to an operator.

The database is in WAL mode with full synchronization: a transaction that was committed is on the disk, and one that was
not leaves nothing behind, whatever happens to the machine. Every row carries a checksum of its own, because SQLite has
none for pages at rest. What the rows mean is decided in :mod:`node.store.rows`.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NoReturn

from node.durable import raise_for_os_error
from node.errors import ConfigError, DiskFull, NodeError, StoreCorrupt

APPLICATION_ID: Final = 0x706E7978
"""``pnyx`` in ASCII; it tells our databases from anybody else's."""

SCHEMA_VERSION: Final = 2

_BUSY_TIMEOUT_S: Final = 5.0

_TABLES: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE blocks (height INTEGER PRIMARY KEY, hash BLOB NOT NULL, block BLOB NOT NULL,"
    " certificate BLOB, checksum BLOB NOT NULL)",
    "CREATE TABLE outcomes (height INTEGER PRIMARY KEY, outcome BLOB NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE rounds (round INTEGER PRIMARY KEY, height INTEGER NOT NULL)",
    "CREATE TABLE operations (operation_id BLOB PRIMARY KEY, height INTEGER NOT NULL, position INTEGER NOT NULL)"
    " WITHOUT ROWID",
    "CREATE TABLE journal (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, mark INTEGER NOT NULL,"
    " record BLOB NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE snapshots (height INTEGER PRIMARY KEY, state BLOB NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE scores (id INTEGER PRIMARY KEY, model_digest BLOB NOT NULL UNIQUE, record BLOB NOT NULL,"
    " checksum BLOB NOT NULL)",
)

_FULL_CODES: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the database for writing, without creating its tables.

    Raises:
        StoreCorrupt: The file is no database or is damaged.
        ConfigError: The database is of another version or of another program.
        DiskFull: There is no space for the log beside it.
    """
    with translated_errors(path), ExitStack() as opened:
        # The journal holds ballots that are not revealed yet, so nobody but the owner may read it; SQLite gives the
        # files beside the database the same mode.
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        opened.callback(connection.close)
        _check_version(connection, path)
        _configure(connection, path)
        opened.pop_all()
        return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open an existing database for reading only; the writer may be another process, or stopped.

    Raises:
        ConfigError: There is no database, or it is of another version or program.
        StoreCorrupt: The file is damaged.
    """
    if not path.is_file():
        raise ConfigError(f"there is no ledger at {path}: start the node once with `pnyx run`, or name another home")
    with translated_errors(path), ExitStack() as opened:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        opened.callback(connection.close)
        if _check_version(connection, path) == 0:
            raise ConfigError(f"the ledger at {path} is empty: start the node once with `pnyx run`")
        connection.execute("PRAGMA query_only = ON")
        opened.pop_all()
        return connection


def is_empty(connection: sqlite3.Connection) -> bool:
    """Return whether the database has no tables yet."""
    return _get_pragma(connection, "user_version") == 0


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables; call it inside a transaction, so that they come with their first rows or not at all."""
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run statements that take effect together, durably, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        # Still open only after an error; and some, such as a full disk, make SQLite roll back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of file calls into what they mean to an operator.

    Raises:
        DiskFull: There is no space left.
        StoreCorrupt: The database is damaged, or the disk failed.
        DiskFailed: A file beside it can be neither read nor written.
        NodeError: Another process holds the database, or it cannot be opened.
    """
    try:
        yield
    except sqlite3.Error as error:
        _raise_for(error, path)
    except OSError as error:
        raise_for_os_error(error, path)


def _raise_for(error: sqlite3.Error, path: Path) -> NoReturn:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    primary = code & 0xFF
    if code in _FULL_CODES:
        raise DiskFull(
            f"no space left to write {path}: free some space on that disk, then start the node again"
        ) from error
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        raise NodeError(f"another program holds {path}: stop it and try again") from error
    if primary in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}:
        raise NodeError(f"{path} cannot be opened ({error}): check that this user owns it and its directory") from error
    raise StoreCorrupt(f"{path} is damaged ({error}): {REPAIR_HINT}") from error


_MOVE_AWAY_HINT: Final = (
    "move ledger.db away together with ledger.db-wal and ledger.db-shm, and start again; the node syncs from the other"
    " members and votes once that is safe"
)
REPAIR_HINT: Final = f"check the disk, {_MOVE_AWAY_HINT}"
"""What to do about a damaged database; nothing but time is lost (C10)."""


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version = _get_pragma(connection, "user_version")
    table_count: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version == 0 and table_count == 0:
        return 0
    if _get_pragma(connection, "application_id") != APPLICATION_ID:
        raise ConfigError(f"{path} belongs to another program: move it away")
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"{path} has format {version}, this software knows {SCHEMA_VERSION}: install the newer pnyx that wrote it"
        )
    if version < SCHEMA_VERSION:
        raise ConfigError(
            f"{path} has format {version} of an earlier pnyx, this one knows {SCHEMA_VERSION}: go back to that one; or,"
            f" if the others are a quorum, {_MOVE_AWAY_HINT}"
        )
    return version


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    if not os.access(path, os.W_OK):
        # SQLite opens for reading what it may not write, and would say so at the first block only.
        raise NodeError(f"{path} cannot be written: check that this user owns it and its directory")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise NodeError(f"{path}: its file system supports no write-ahead log (journal mode {mode}): use a local disk")
    connection.execute("PRAGMA synchronous = FULL")
    # Without it macOS calls a write durable that is only in the drive's cache; elsewhere it changes nothing.
    connection.execute("PRAGMA fullfsync = ON")


def _get_pragma(connection: sqlite3.Connection, name: str) -> int:
    value = connection.execute(f"PRAGMA {name}").fetchone()[0]
    if not isinstance(value, int):
        raise StoreCorrupt(f"PRAGMA {name} gave no integer: {REPAIR_HINT}")
    return value
