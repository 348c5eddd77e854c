"""A process that is killed while it writes: what its store reported as written is there (C10)."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.store_homes import StoreHome, get_vote_views, make_store_home

WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
import trio
from tests.node.store_homes import make_store_home

async def main():
    home = make_store_home(Path(sys.argv[1]))
    store = home.open_store()
    store.load()
    blocks = home.make_blocks()
    view = 1_000
    while True:
        view += 1
        await store.append([home.make_vote(view), *([blocks.pop(0)] if blocks else [])])
        print(view, flush=True)

trio.run(main)
"""

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StoreHome]:
    made = make_store_home(tmp_path / "home")
    yield made
    made.close_all()


@pytest.mark.parametrize("votes_count", [1, 7, 40])
def test_no_vote_that_was_reported_is_lost_by_a_kill(home: StoreHome, votes_count: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_KILLED, str(home.root)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert writer.stdout is not None
    try:
        reported = [int(writer.stdout.readline()) for _ in range(votes_count)]
    finally:
        writer.kill()
        rest = writer.stdout.read()
        writer.stdout.close()
        writer.wait(timeout=30)
    reported += [int(line) for line in rest.splitlines()]
    views = get_vote_views(home.open_store())
    assert views[: len(reported)] == reported == list(range(1_001, 1_001 + len(reported)))
    # One more may have been written and not reported any more.
    assert len(views) <= len(reported) + 1
