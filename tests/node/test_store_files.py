"""The SQLite store's files: versions, chains, the vote log's marker (C10), a full disk, readers beside the writer."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from node.errors import ConfigError, DiskFailed, DiskFull, StoreCorrupt
from node.store.database import SCHEMA_VERSION
from node.store.meta import VoteLogState
from node.store.reader import SqliteReader
from protocol.codec import encode
from protocol.interface import Persist
from protocol.journal import BlockRecord, ScoreRecord
from protocol.units import Height, Ppm
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.node.store_homes import StoreHome, get_vote_views, make_store_home
from tests.values import make_digest

READ_IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from node.store.reader import SqliteReader
reader = SqliteReader(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))
print(sum(1 for _ in reader.iterate_blocks(1)))
reader.close()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StoreHome]:
    made = make_store_home(tmp_path / "home")
    yield made
    made.close_all()


def count_blocks_in_another_process(home: StoreHome) -> int:
    done = subprocess.run(
        [sys.executable, "-c", READ_IN_ANOTHER_PROCESS, str(home.ledger), home.builder.chain_id.hex()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


async def test_the_marker_is_there_before_anything_can_be_written(home: StoreHome) -> None:
    home.open_store()
    assert len(bytes.fromhex(home.marker.read_text())) == 32
    assert home.marker.stat().st_mode & 0o777 == 0o600


async def test_every_commit_is_flushed_to_the_disk(home: StoreHome) -> None:
    """Rule C10 depends on it, and no test can take the power away."""
    store = home.open_store()
    settings = [
        store._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "fullfsync")
    ]
    assert settings == ["wal", 2, 1]


async def test_only_the_owner_can_read_ballots_that_are_not_revealed_yet(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    await store.append([home.make_vote(101)])
    assert {path.stat().st_mode & 0o077 for path in (home.ledger, home.log)} == {0}


async def test_a_fresh_home_may_vote_and_so_it_may_after_a_restart(home: StoreHome) -> None:
    for _ in range(2):
        store = home.open_store()
        assert store.load().has_vote_log
        store.close()


async def test_a_marker_without_its_database_means_forgotten_votes(home: StoreHome) -> None:
    """Rule C10: the keys were restored from a backup, or the database was deleted."""
    home.marker.write_text("00" * 32 + "\n")
    assert not home.open_store().load().has_vote_log


async def test_a_database_of_other_keys_means_forgotten_votes(home: StoreHome, tmp_path: Path) -> None:
    """Rule C10: the marker beside the keys names another vote log than the database is."""
    other = make_store_home(tmp_path / "other")
    other.open_store().close()
    home.open_store().close()
    home.ledger.write_bytes(other.ledger.read_bytes())
    store = home.open_store()
    assert not store.load().has_vote_log
    store.close()
    assert not home.open_store().load().has_vote_log
    other.close_all()


async def test_a_lost_marker_means_forgotten_votes(home: StoreHome) -> None:
    home.open_store().close()
    home.marker.unlink()
    assert not home.open_store().load().has_vote_log
    assert home.marker.exists()


async def test_a_crash_between_database_and_marker_forgets_nothing(home: StoreHome) -> None:
    home.open_store().close()
    home.marker.unlink()
    home.execute("UPDATE meta SET value = ? WHERE name = 'vote_log_state'", bytes([VoteLogState.NEW]))
    assert home.open_store().load().has_vote_log
    assert home.marker.exists()


async def test_a_vote_ends_the_amnesia(home: StoreHome) -> None:
    home.marker.write_text("00" * 32 + "\n")
    store = home.open_store()
    store.load()
    await store.append([home.make_vote(50)])
    store.close()
    store = home.open_store()
    assert store.load().has_vote_log


async def test_a_score_does_not_end_the_amnesia(home: StoreHome) -> None:
    home.marker.write_text("00" * 32 + "\n")
    store = home.open_store()
    store.load()
    await store.append([Persist(record=ScoreRecord(model_digest=make_digest("model"), score=Ppm(1)))])
    store.close()
    assert not home.open_store().load().has_vote_log


async def test_the_ledger_of_another_chain_is_refused(home: StoreHome) -> None:
    home.open_store().close()
    stranger = StoreHome(root=home.root, builder=LedgerBuilder(make_founders(5)), opened=home.opened)
    with pytest.raises(ConfigError, match=r"is the ledger of chain .*, but genesis\.json is that of chain"):
        stranger.open_store()
    with pytest.raises(ConfigError, match="is the ledger of chain"):
        SqliteReader(home.ledger, stranger.builder.chain_id)


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        (SCHEMA_VERSION + 1, "install the newer pnyx that wrote it"),
        (1, "of an earlier pnyx, .* go back to that one; or, .* move ledger.db away"),
        (-1, "of an earlier pnyx"),
    ],
)
async def test_another_format_is_refused_and_left_as_it_is(home: StoreHome, version: int, advice: str) -> None:
    home.open_store().close()
    with closing(sqlite3.connect(home.ledger)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    before = home.ledger.read_bytes()
    for open_it in (home.open_store, lambda: SqliteReader(home.ledger, home.builder.chain_id)):
        with pytest.raises(ConfigError, match=advice) as refused:
            open_it()
        assert "\n" not in str(refused.value)
    assert home.ledger.read_bytes() == before


async def test_a_database_of_another_program_is_left_alone(home: StoreHome) -> None:
    with closing(sqlite3.connect(home.ledger)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(ConfigError, match="belongs to another program"):
        home.open_store()


async def test_a_file_that_is_no_database_is_refused(home: StoreHome) -> None:
    home.ledger.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreCorrupt, match="is damaged"):
        home.open_store()


async def test_a_full_disk_stops_the_store_and_loses_nothing(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    await store.append([home.make_vote(101)])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    # SQLite gives the same error for its own limit as for a disk without space.
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    filler = BlockRecord(block=home.builder.build_block(tuple(bytes([number]) * 8_000 for number in range(8))))
    with pytest.raises(DiskFull, match="free some space"):
        await store.append([home.make_vote(102), Persist(record=filler), *home.make_blocks()])
    with pytest.raises(StoreCorrupt, match="no more writes"):
        await store.append([home.make_vote(103)])
    store.close()
    store = home.open_store()
    assert get_vote_views(store) == [101]
    await store.append([home.make_vote(104), *home.make_blocks()])
    tip = store.get_tip()
    assert tip is not None
    assert tip.block == home.builder.blocks[-1].block


async def test_another_process_reads_a_running_node(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    blocks = home.make_blocks()
    await store.append(blocks[:2])
    assert await trio.to_thread.run_sync(count_blocks_in_another_process, home) == 2
    await store.append(blocks[2:])
    assert await trio.to_thread.run_sync(count_blocks_in_another_process, home) == len(blocks)


async def test_another_process_reads_a_stopped_node(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    await store.append(home.make_blocks())
    store.close()
    assert not home.log.exists()
    assert await trio.to_thread.run_sync(count_blocks_in_another_process, home) == len(home.builder.blocks)


async def test_another_process_reads_a_node_that_was_killed(home: StoreHome, tmp_path: Path) -> None:
    store = home.open_store()
    store.load()
    await store.append(home.make_blocks())
    crashed = home.copy_to(tmp_path / "crashed")
    assert crashed.log.stat().st_size > 0
    assert await trio.to_thread.run_sync(count_blocks_in_another_process, crashed) == len(home.builder.blocks)


async def test_a_reader_that_is_iterating_does_not_stop_the_writer(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    blocks = home.make_blocks()
    await store.append(blocks[:1])
    with closing(SqliteReader(home.ledger, home.builder.chain_id)) as reader:
        iterator = reader.iterate_blocks(Height(1))
        next(iterator)
        await store.append(blocks[1:])
        found = reader.get_tip()
    assert found is not None
    assert encode(found) == encode(blocks[-1].finalized)


def test_reading_a_home_without_a_ledger_says_what_to_do(home: StoreHome) -> None:
    with pytest.raises(ConfigError, match="start the node once"):
        SqliteReader(home.ledger, home.builder.chain_id)
    assert not home.ledger.exists()


def test_reading_an_empty_file_says_what_to_do(home: StoreHome) -> None:
    home.ledger.touch()
    with pytest.raises(ConfigError, match="is empty"):
        SqliteReader(home.ledger, home.builder.chain_id)


async def test_several_writers_take_turns(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    async with trio.open_nursery() as nursery:
        for view in range(101, 111):
            nursery.start_soon(store.append, [home.make_vote(view)])
    store.close()
    assert sorted(get_vote_views(home.open_store())) == list(range(101, 111))


@pytest.mark.parametrize("is_file", [False, True])
async def test_a_place_where_no_file_can_be_is_told(home: StoreHome, is_file: bool) -> None:
    root = home.root / "elsewhere"
    if is_file:
        root.write_bytes(b"no directory")
    with pytest.raises(DiskFailed, match=r"ledger\.db"):
        StoreHome(root=root, builder=home.builder, opened=home.opened).open_store()


async def test_a_marker_that_cannot_be_read_is_told(home: StoreHome) -> None:
    home.open_store().close()
    home.marker.unlink()
    home.marker.mkdir()
    with pytest.raises(DiskFailed, match="Is a directory"):
        home.open_store()
