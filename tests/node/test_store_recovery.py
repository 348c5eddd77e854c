"""The SQLite store after a crash or damage: a torn tail costs the unfinished write, anything else is found (C10)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.errors import NodeError, StoreCorrupt
from node.ports import StoreContents
from node.store.rows import compute_checksum
from protocol.codec import encode
from protocol.outcomes import BlockOutcome
from protocol.units import Height, Round
from tests.node.store_homes import StoreHome, get_vote_views, make_store_home
from tests.values import make_digest

LOG_HEADER_BYTES = 32


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StoreHome]:
    made = make_store_home(tmp_path / "home")
    yield made
    made.close_all()


async def fill(home: StoreHome, *views: int) -> None:
    store = home.open_store()
    store.load()
    await store.append(home.make_blocks())
    for view in views:
        await store.append([home.make_vote(view)])
    store.close()


async def crash_after_votes(home: StoreHome, tmp_path: Path, *views: int) -> tuple[StoreHome, list[int]]:
    """Return the files after a crash, and the log's length after each vote."""
    store = home.open_store()
    store.load()
    lengths = []
    for view in views:
        await store.append([home.make_vote(view)])
        lengths.append(home.log.stat().st_size)
    crashed = home.copy_to(tmp_path / "crashed")
    store.close()
    return crashed, lengths


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


async def test_a_vote_is_on_the_disk_when_append_returns(home: StoreHome, tmp_path: Path) -> None:
    crashed, _ = await crash_after_votes(home, tmp_path, 101, 102)
    assert get_vote_views(crashed.open_store()) == [101, 102]


async def test_a_log_torn_inside_its_last_transaction_loses_that_one_only(home: StoreHome, tmp_path: Path) -> None:
    crashed, lengths = await crash_after_votes(home, tmp_path, 101, 102, 103)
    cut(crashed.log, lengths[2] - 1)
    store = crashed.open_store()
    contents = store.load()
    assert len(contents.records) == 2
    assert contents.has_vote_log
    await store.append([crashed.make_vote(104)])
    store.close()
    assert get_vote_views(crashed.open_store()) == [101, 102, 104]


async def test_a_log_cut_anywhere_recovers_whole_transactions(home: StoreHome, tmp_path: Path) -> None:
    crashed, lengths = await crash_after_votes(home, tmp_path, 101, 102, 103)
    whole = crashed.log.read_bytes()
    for number, length in enumerate(range(lengths[0], lengths[2], 1_511)):
        torn = crashed.copy_to(tmp_path / f"torn{number}")
        cut(torn.log, length)
        store = torn.open_store()
        assert get_vote_views(store) == [101, 102, 103][: sum(end <= length for end in lengths)]
        store.close()
    assert len(whole) == lengths[2]


async def test_a_broken_last_transaction_counts_as_torn(home: StoreHome, tmp_path: Path) -> None:
    crashed, lengths = await crash_after_votes(home, tmp_path, 101, 102, 103)
    flip(crashed.log, lengths[1] + 100)
    assert get_vote_views(crashed.open_store()) == [101, 102]


async def test_a_broken_earlier_transaction_is_damage_and_stays_so(home: StoreHome, tmp_path: Path) -> None:
    """Rule C10: later transactions show that the broken one was durable, so votes would be forgotten."""
    crashed, lengths = await crash_after_votes(home, tmp_path, 101, 102, 103)
    flip(crashed.log, lengths[0] + 100)
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match="before its last transaction"):
            crashed.open_store()


async def test_a_damaged_log_header_is_found(home: StoreHome, tmp_path: Path) -> None:
    crashed, _ = await crash_after_votes(home, tmp_path, 101)
    flip(crashed.log, LOG_HEADER_BYTES - 1)
    with pytest.raises(StoreCorrupt, match="header"):
        crashed.open_store()


async def test_an_old_log_behind_the_new_one_is_no_damage(home: StoreHome, tmp_path: Path) -> None:
    """A log that began anew is shorter than the file, which still holds frames of the one before."""
    store = home.open_store()
    store.load()
    for view in range(101, 110):
        await store.append([home.make_vote(view)])
    store._connection.execute("PRAGMA wal_checkpoint(RESTART)")
    await store.append([home.make_vote(110)])
    crashed = home.copy_to(tmp_path / "crashed")
    store.close()
    assert get_vote_views(crashed.open_store()) == list(range(101, 111))


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("blocks", "block"),
        ("blocks", "certificate"),
        ("blocks", "hash"),
        ("outcomes", "outcome"),
        ("journal", "record"),
        ("journal", "checksum"),
    ],
)
async def test_a_changed_row_is_found(home: StoreHome, table: str, column: str) -> None:
    await fill(home, 101, 102)
    home.execute(f"UPDATE {table} SET {column} = zeroblob(length({column})) WHERE rowid = 2")
    with pytest.raises(StoreCorrupt, match=r"move ledger\.db away"):
        home.open_store().load()


async def test_a_moved_row_is_found(home: StoreHome) -> None:
    await fill(home)
    home.execute("DELETE FROM outcomes WHERE height = 2")
    home.execute("UPDATE outcomes SET height = 2 WHERE height = 3")
    with pytest.raises(StoreCorrupt):
        home.open_store().load()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM journal WHERE id = (SELECT min(id) FROM journal)",
        "DELETE FROM journal WHERE id = (SELECT max(id) FROM journal)",
        "DELETE FROM blocks WHERE height = 2",
        "DELETE FROM blocks WHERE height = (SELECT max(height) FROM blocks)",
        "DELETE FROM outcomes WHERE height = 2",
        "DELETE FROM meta WHERE name = 'vote_log_state'",
    ],
)
async def test_a_lost_row_is_found(home: StoreHome, statement: str) -> None:
    await fill(home, 101, 102)
    home.execute(statement)
    with pytest.raises(StoreCorrupt):
        home.open_store().load()


async def test_a_consistent_forgery_is_found_by_replay(home: StoreHome) -> None:
    await fill(home)
    recorded = home.builder.blocks[1].outcome
    forged = encode(
        BlockOutcome(
            results=recorded.results, moves=recorded.moves, settled=recorded.settled, state_root=make_digest("forged")
        )
    )
    home.execute(
        "UPDATE outcomes SET outcome = ?, checksum = ? WHERE height = 2",
        forged,
        compute_checksum("outcomes", 2, forged),
    )
    with pytest.raises(StoreCorrupt, match="executing height 2 again"):
        home.open_store().load()


async def test_a_damaged_snapshot_is_replaced_by_replay(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    await store.append(home.make_blocks())
    await store.save_snapshot(home.builder.state)
    store.close()
    home.execute("UPDATE snapshots SET state = zeroblob(length(state))")
    assert home.open_store().load().state == home.builder.state


async def test_a_snapshot_of_another_state_is_not_believed(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    await store.append(home.make_blocks())
    await store.save_snapshot(home.builder.state)
    store.close()
    height = home.builder.state.height
    other = encode(home.builder.state).replace(home.builder.state.mix, make_digest("another mix"))
    home.execute("UPDATE snapshots SET state = ?, checksum = ?", other, compute_checksum("snapshots", height, other))
    assert home.open_store().load().state == home.builder.state


async def test_a_snapshot_saves_replaying_the_blocks_before_it(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    await store.append(home.make_blocks())
    await store.save_snapshot(home.builder.state)
    store.close()
    home.execute("UPDATE outcomes SET outcome = zeroblob(3) WHERE height = 1")
    assert home.open_store().load().state == home.builder.state


async def test_only_the_newest_snapshots_are_kept(home: StoreHome) -> None:
    store = home.open_store()
    store.load()
    for block in home.make_blocks():
        await store.append([block])
    states = [home.builder.state]
    for _ in range(2):
        home.builder.add_block()
        await store.append(home.make_blocks(first=len(home.builder.blocks) - 1))
        states.append(home.builder.state)
    for state in states:
        await store.save_snapshot(state)
    rows = store._connection.execute("SELECT height FROM snapshots ORDER BY height").fetchall()
    assert [height for (height,) in rows] == [state.height for state in states[1:]]
    store.close()


def read_everything(home: StoreHome) -> tuple[StoreContents, list[object]]:
    store = home.open_store()
    try:
        contents = store.load()
        blocks = list(store.iterate_blocks(Height(1)))
        return contents, [blocks, store.get_rounds(Round(1), limit=10), store.get_scores()]
    finally:
        store.close()


async def test_a_flipped_byte_anywhere_is_found_or_changes_nothing(home: StoreHome, tmp_path: Path) -> None:
    await fill(home, 101, 102)
    intact = read_everything(home)
    size = home.ledger.stat().st_size
    outcomes: list[bool] = []
    for number, position in enumerate(pick_positions(size)):
        damaged = home.copy_to(tmp_path / f"damaged{number}")
        flip(damaged.ledger, position)
        try:
            found = read_everything(damaged)
        except NodeError:
            outcomes.append(True)
        else:
            # The flag of a lost vote log only makes the node more careful.
            assert found[0].state == intact[0].state
            assert found[0].records == intact[0].records
            assert found[1] == intact[1]
            outcomes.append(False)
    assert outcomes.count(True) > 20


def pick_positions(size: int) -> Iterator[int]:
    """Yield positions all over a file, dense in its first page."""
    yield from range(0, 120, 3)
    yield from range(120, size, size // 160)
