"""Artifacts that are forgotten while they are fetched: nothing fails over them, and nothing of them stays (W6)."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from node.artifacts.store import ArtifactStore
from node.blocking import run_inline
from protocol.chunks import ArtifactHasher
from protocol.units import Digest
from tests.node.swarm_network import SwarmNetwork, make_content, make_fetcher, open_swarm_network

T = TypeVar("T")


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[SwarmNetwork]:
    async with open_swarm_network(tmp_path, member_count=1) as opened:
        yield opened


def compute_name(content: bytes) -> Digest:
    hasher = ArtifactHasher()
    hasher.update(content)
    return hasher.finish()[0]


async def _run_slowly(call: Callable[[], T]) -> T:
    """Run a blocking call as a thread does: it takes a while, and whoever cancels waits for it."""
    with trio.CancelScope(shield=True):
        await trio.sleep(1.0)
    return call()


async def test_a_fetch_that_is_forgotten_and_cancelled_while_it_is_taken_in_leaves_nothing_behind(
    swarm: SwarmNetwork, autojump_clock: MockClock
) -> None:
    content = make_content(1)
    (digest,) = await swarm.add_holder(0, content)
    store = ArtifactStore(swarm.root / "slow", run_blocking=_run_slowly, retention_count=0)
    fetcher = make_fetcher(swarm.transport, store)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(fetcher.fetch, digest, bytes_expected=len(content)))
            while not list(store.partial_directory.iterdir()):
                await trio.sleep(0.01)
            await trio.sleep(0.5)
            scope.cancel()
            fetcher.forget([digest])
    assert not store.has(digest)
    assert list(store.partial_directory.iterdir()) == []


async def test_what_is_wanted_again_while_it_is_fetched_is_kept(
    swarm: SwarmNetwork, autojump_clock: MockClock
) -> None:
    content = make_content(1)
    swarm.store = ArtifactStore(swarm.root / "strict", run_blocking=run_inline, retention_count=0)
    swarm.fetcher = make_fetcher(swarm.transport, swarm.store)
    digest = compute_name(content)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(swarm.fetcher.fetch, digest, bytes_expected=len(content)))
        await trio.sleep(5.0)
        swarm.fetcher.forget([digest])
        nursery.start_soon(partial(swarm.fetcher.fetch, digest, bytes_expected=len(content)))
        await trio.sleep(5.0)
        await swarm.add_holder(0, content)
    assert swarm.store.has(digest)
