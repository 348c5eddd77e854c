"""The few named values of ``ledger.db``: its chain, its vote log's state, and how much there has to be in it.

The vote log (C10): a database gets a random id when it is created, and the id is written into a marker file beside the
keys before the first vote. A marker without its database tells that votes were forgotten. The state goes NEW -> LIVE
when the marker is on the disk; it is LOST from the moment that marker and database disagree until the engine has
written into the journal that it may not vote, or from when on.
"""

import sqlite3
from enum import IntEnum
from pathlib import Path
from typing import Final

from node.durable import save_file
from node.errors import ConfigError, StoreCorrupt
from node.store.database import REPAIR_HINT, create_tables, is_empty, transaction, translated_errors
from protocol.units import Digest, Height

VOTE_LOG_ID_BYTES: Final = 32

_CHAIN_ID: Final = "chain_id"
_VOTE_LOG_ID: Final = "vote_log_id"
_VOTE_LOG_STATE: Final = "vote_log_state"
_JOURNAL_COUNT: Final = "journal_count"
_TIP_HEIGHT: Final = "tip_height"


class VoteLogState(IntEnum):
    """Whether this node remembers all its votes."""

    NEW = 0
    """Just created; the marker may not be written yet, and no vote was cast."""
    LIVE = 1
    LOST = 2
    """Votes may have been forgotten, and the journal does not say so yet."""


def prepare_database(
    connection: sqlite3.Connection, path: Path, *, chain_id: Digest, marker: Path, new_vote_log_id: bytes
) -> VoteLogState:
    """Create the tables if there are none, compare the vote log with its marker, and make both agree.

    Args:
        connection: A writer.
        path: The database's, for errors.
        chain_id: The chain that the home is for.
        marker: The file beside the keys that names the vote log.
        new_vote_log_id: Random bytes, used if the database is new.

    Raises:
        ConfigError: The database is of another chain.
    """
    with translated_errors(path):
        if is_empty(connection):
            state = VoteLogState.LOST if marker.exists() else VoteLogState.NEW
            with transaction(connection):
                create_tables(connection)
                _set_value(connection, _CHAIN_ID, chain_id)
                _set_value(connection, _VOTE_LOG_ID, new_vote_log_id)
                set_vote_log_state(connection, state)
                set_journal_count(connection, 0)
                set_tip_height(connection, Height(0))
        else:
            check_chain(connection, path, chain_id)
            state = get_vote_log_state(connection)
        return _agree_with_marker(connection, marker, state)


def check_chain(connection: sqlite3.Connection, path: Path, chain_id: Digest) -> None:
    """Check that a database belongs to a chain.

    Raises:
        ConfigError: It belongs to another.
    """
    with translated_errors(path):
        stored = _get_value(connection, _CHAIN_ID)
    if stored != chain_id:
        raise ConfigError(
            f"{path} is the ledger of chain {stored.hex()[:8]}, but genesis.json is that of chain {chain_id.hex()[:8]}:"
            " put the right genesis.json back, or make a new home"
        )


def get_vote_log_state(connection: sqlite3.Connection) -> VoteLogState:
    """Return whether this node remembers all its votes."""
    value = _get_value(connection, _VOTE_LOG_STATE)
    try:
        return VoteLogState(int.from_bytes(value, "big"))
    except ValueError as error:
        raise StoreCorrupt(f"the vote log's state in ledger.db is unknown: {REPAIR_HINT}") from error


def set_vote_log_state(connection: sqlite3.Connection, state: VoteLogState) -> None:
    """Record whether this node remembers all its votes."""
    _set_value(connection, _VOTE_LOG_STATE, state.to_bytes(1, "big"))


def get_journal_count(connection: sqlite3.Connection) -> int:
    """Return how many rows the journal has to have, so that a lost page of it is noticed."""
    return int.from_bytes(_get_value(connection, _JOURNAL_COUNT), "big")


def set_journal_count(connection: sqlite3.Connection, count: int) -> None:
    """Record how many rows the journal has."""
    _set_value(connection, _JOURNAL_COUNT, count.to_bytes(8, "big"))


def get_tip_height(connection: sqlite3.Connection) -> Height:
    """Return up to which height there have to be blocks, so that a lost one at the end is noticed."""
    return Height(int.from_bytes(_get_value(connection, _TIP_HEIGHT), "big"))


def set_tip_height(connection: sqlite3.Connection, height: Height) -> None:
    """Record up to which height there are blocks."""
    _set_value(connection, _TIP_HEIGHT, height.to_bytes(8, "big"))


def _agree_with_marker(connection: sqlite3.Connection, marker: Path, state: VoteLogState) -> VoteLogState:
    content = _get_value(connection, _VOTE_LOG_ID).hex().encode() + b"\n"
    is_marked = marker.exists() and marker.read_bytes() == content
    if state is VoteLogState.LIVE and not is_marked:
        state = VoteLogState.LOST
        with transaction(connection):
            set_vote_log_state(connection, state)
    if not is_marked:
        save_file(marker, content, mode=0o600)
    if state is VoteLogState.NEW:
        state = VoteLogState.LIVE
        with transaction(connection):
            set_vote_log_state(connection, state)
    return state


def _get_value(connection: sqlite3.Connection, name: str) -> bytes:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    if row is None or not isinstance(row[0], bytes):
        raise StoreCorrupt(f"ledger.db has lost its {name.replace('_', ' ')}: {REPAIR_HINT}")
    return row[0]


def _set_value(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))
