"""The past as the pages read it from a database: all of it, or what is whole, and never at the node's cost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from node.http import past as past_module
from node.http.past import Past
from node.http.recorder import Outcomes
from protocol.units import Height, Round
from tests.node.store_homes import StoreHome, make_store_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StoreHome]:
    """Give a database with three settled rounds."""
    home = make_store_home(tmp_path / "home")
    home.builder.run_round()
    home.builder.run_round()
    yield home
    home.close_all()


async def fill(home: StoreHome, *, first: int = 0) -> None:
    store = home.open_store()
    store.load()
    await store.append(home.make_blocks(first))
    store.close()


def make_past(home: StoreHome) -> Past:
    return Past(home.ledger, home.builder.chain_id)


def get_outcomes(home: StoreHome, *, after: int) -> Outcomes:
    blocks = [(built.block.header.height, built.outcome) for built in home.builder.blocks]
    return [(height, outcome) for height, outcome in reversed(blocks) if height > after]


def get_opened(home: StoreHome, number: int) -> int:
    records = [built.outcome.settled for built in home.builder.blocks if built.outcome.settled is not None]
    return records[number - 1].opened_height


@pytest.mark.parametrize("page_blocks", [1, 3, 256])
async def test_blocks_are_read_back_to_the_first_round(
    home: StoreHome, monkeypatch: pytest.MonkeyPatch, page_blocks: int
) -> None:
    monkeypatch.setattr(past_module, "PAGE_BLOCKS", page_blocks)
    await fill(home)
    last = Height(len(home.builder.blocks))
    assert await make_past(home).read(Round(2), last) == get_outcomes(home, after=get_opened(home, 2))


async def test_no_more_blocks_are_read_than_are_wanted(home: StoreHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "BLOCKS_MAX", 4)
    await fill(home)
    last = Height(len(home.builder.blocks))
    assert await make_past(home).read(Round(1), last) == get_outcomes(home, after=last - 4)


async def test_before_the_first_block_there_is_no_past(home: StoreHome) -> None:
    assert await make_past(home).read(Round(1), Height(0)) == []


@pytest.mark.parametrize(
    "harm", ["UPDATE outcomes SET outcome = x'00' WHERE height = ?", "DELETE FROM outcomes WHERE height = ?"]
)
async def test_a_block_that_cannot_be_read_ends_the_past_and_nothing_else(
    home: StoreHome, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.setattr(past_module, "PAGE_BLOCKS", 2)
    await fill(home)
    last = Height(len(home.builder.blocks))
    home.execute(harm, last - 4)
    assert await make_past(home).read(Round(1), last) == get_outcomes(home, after=last - 4)


async def test_no_database_is_no_past(home: StoreHome) -> None:
    assert await make_past(home).read(Round(1), Height(3)) == []


async def test_what_is_written_late_is_waited_for(home: StoreHome) -> None:
    await fill(home)
    home.builder.run_round()
    last = Height(len(home.builder.blocks))
    read: list[Outcomes] = []

    async def read_past() -> None:
        read.append(await make_past(home).read(Round(4), last))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_past)
        await fill(home, first=len(get_outcomes(home, after=get_opened(home, 4))) * -1)
    assert read == [get_outcomes(home, after=get_opened(home, 4))]


async def test_what_is_never_written_is_not_waited_for_long(home: StoreHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "READ_WAIT_S", 0.5)
    await fill(home)
    assert await make_past(home).read(Round(1), Height(len(home.builder.blocks) + 1)) == []
