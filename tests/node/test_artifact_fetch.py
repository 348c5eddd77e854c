"""Fetching artifacts from slow, lying, forgetful and vanishing members over a simulated network (W5, W6)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.artifacts.service import ArtifactService, ChunkListRequest, ChunkRangeRequest, encode_artifact_request
from node.artifacts.store import ArtifactStore
from node.artifacts.swarm import LIE_COST
from node.blocking import run_inline
from node.errors import DiskFull
from node.ports import SendFrame
from protocol.chunks import CHUNK_BYTES
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.units import Digest, MemberId
from tests.node.swarm_network import (
    FETCHER,
    SwarmNetwork,
    make_content,
    make_fetcher,
    make_forger,
    make_member,
    open_swarm_network,
)

GIVE_UP_S = 600
"""Of virtual time: a fetch that takes longer never ends."""


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[SwarmNetwork]:
    async with open_swarm_network(tmp_path, member_count=5) as opened:
        yield opened


async def fetch(swarm: SwarmNetwork, digest: Digest, content: bytes, *, source: int | None = None) -> bytes:
    hint = None if source is None else make_member(source)
    with trio.fail_after(GIVE_UP_S):
        path = await swarm.fetcher.fetch(digest, bytes_expected=len(content), source=hint)
    return path.read_bytes()


def open_holder_store(swarm: SwarmNetwork, number: int) -> ArtifactStore:
    return ArtifactStore(swarm.root / f"member{number}", run_blocking=run_inline)


def make_holder_service(swarm: SwarmNetwork, number: int) -> ArtifactService:
    return ArtifactService(open_holder_store(swarm, number), run_blocking=run_inline)


async def test_an_artifact_comes_whole_from_one_member(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(3)
    (digest,) = await swarm.add_holder(0, content)
    assert await fetch(swarm, digest, content) == content
    assert swarm.store.has(digest)
    assert list(swarm.store.partial_directory.iterdir()) == []


async def test_an_artifact_that_is_here_is_not_asked_for(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(1)
    (digest,) = await swarm.add_holder(0, content)
    await fetch(swarm, digest, content)
    asked = len(swarm.network.requests)
    assert await fetch(swarm, digest, content) == content
    assert len(swarm.network.requests) == asked


async def test_several_members_share_the_work(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(40)
    digest = await swarm.add_holders(3, content)
    for number in range(3):
        swarm.network.get_link(make_member(number), FETCHER).delay_s = 0.1
    started = trio.current_time()
    assert await fetch(swarm, digest, content) == content
    assert all(swarm.count_requests(number) >= 1 for number in range(3))
    assert trio.current_time() - started < 40 * 0.1


async def test_the_hinted_member_is_asked_first(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(1)
    digest = await swarm.add_holders(5, content)
    await fetch(swarm, digest, content, source=3)
    assert swarm.network.requests[0][1] == make_member(3)
    assert {target for _, target, _ in swarm.network.requests} == {make_member(3)}


async def test_a_member_that_forges_a_chunk_is_dropped_at_once_and_scored_down(
    swarm: SwarmNetwork, autojump_clock: MockClock
) -> None:
    content = make_content(20)
    (digest,) = await swarm.add_holder(0, content)
    await swarm.add_holder(1, content)
    swarm.add_member(1, make_forger(make_holder_service(swarm, 1), good_frames=1))
    assert await fetch(swarm, digest, content, source=1) == content
    assert swarm.transport.scores == {make_member(1): -LIE_COST}
    # The list, whose one frame was true, and the range whose second chunk was forged.
    assert swarm.count_requests(1) == 2


async def test_a_member_that_forges_the_chunk_list_is_dropped(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(3)
    (digest,) = await swarm.add_holder(0, content)
    await swarm.add_holder(1, content)
    swarm.add_member(1, make_forger(make_holder_service(swarm, 1), good_frames=0))
    assert await fetch(swarm, digest, content, source=1) == content
    assert swarm.transport.scores == {make_member(1): -LIE_COST}
    assert swarm.count_requests(1) == 1


async def test_a_member_that_sends_too_much_is_dropped(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(3)
    (digest,) = await swarm.add_holder(0, content)

    async def flood(_member: MemberId, _request: bytes, send: SendFrame) -> None:
        while True:
            await send(bytes(CHUNK_BYTES))

    swarm.add_member(1, flood)
    assert await fetch(swarm, digest, content, source=1) == content
    assert swarm.transport.scores == {make_member(1): -LIE_COST}


async def test_a_member_that_does_not_hold_it_is_not_blamed(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(3)
    (digest,) = await swarm.add_holder(0, content)
    await swarm.add_holder(1)
    assert await fetch(swarm, digest, content, source=1) == content
    assert swarm.transport.scores == {}


async def test_a_member_that_gets_it_later_serves_it_then(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(2)
    await swarm.add_holder(0)
    holder = ArtifactStore(swarm.root / "later", run_blocking=run_inline)
    path = holder.make_temporary_path()
    path.write_bytes(content)
    digest = (await holder.adopt(path)).digest
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch, swarm, digest, content)
        await trio.sleep(20)
        assert not swarm.store.has(digest)
        swarm.add_member(0, ArtifactService(holder, run_blocking=run_inline).handle)
    assert swarm.store.has(digest)


async def test_nobody_is_pestered_while_an_artifact_is_nowhere(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    await swarm.add_holder(0)
    with trio.move_on_after(300):
        await swarm.fetcher.fetch(Digest(bytes(32)), bytes_expected=10)
    assert 10 < swarm.count_requests(0) < 40


async def test_a_fetch_waits_for_members_to_connect(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(2)
    async with trio.open_nursery() as nursery:
        (digest,) = await swarm.add_holder(0, content)
        swarm.network.detach(make_member(0))
        nursery.start_soon(fetch, swarm, digest, content)
        await trio.sleep(30)
        assert swarm.count_requests(0) == 0
        await swarm.add_holder(0)
    assert swarm.store.has(digest)


async def test_one_slow_member_delays_nobody(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(16)
    digest = await swarm.add_holders(2, content)
    swarm.network.get_link(make_member(0), FETCHER).delay_s = 9.0
    swarm.network.get_link(make_member(1), FETCHER).delay_s = 0.1
    started = trio.current_time()
    assert await fetch(swarm, digest, content, source=1) == content
    assert trio.current_time() - started < 9.0


async def test_a_member_that_stalls_is_given_up_after_the_deadline(
    swarm: SwarmNetwork, autojump_clock: MockClock
) -> None:
    content = make_content(3)
    (digest,) = await swarm.add_holder(0, content)

    async def stall(_member: MemberId, _request: bytes, _send: SendFrame) -> None:
        await trio.sleep_forever()

    swarm.add_member(1, stall)
    assert await fetch(swarm, digest, content, source=1) == content
    assert swarm.transport.scores == {}


async def test_members_that_vanish_in_the_middle_are_replaced(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(30)
    digest = await swarm.add_holders(3, content)
    for number in range(3):
        swarm.network.get_link(make_member(number), FETCHER).delay_s = 0.2
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch, swarm, digest, content)
        await trio.sleep(1.5)
        swarm.network.detach(make_member(0))
        swarm.network.detach(make_member(1))
        assert not swarm.store.has(digest)
    assert swarm.store.get_path(digest).read_bytes() == content
    assert swarm.transport.scores == {}


async def test_streams_that_are_cut_short_still_make_progress(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(12)
    (digest,) = await swarm.add_holder(0, content)
    swarm.network.get_link(make_member(0), FETCHER).frames_max = 2
    assert await fetch(swarm, digest, content) == content


async def test_a_fetch_goes_on_after_a_restart_where_it_stopped(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(20)
    (digest,) = await swarm.add_holder(0, content)
    link = swarm.network.get_link(make_member(0), FETCHER)
    link.delay_s = 0.5
    with trio.move_on_after(5):
        await fetch(swarm, digest, content)
    received = (swarm.store.partial_directory / digest.hex()).read_bytes()
    assert not swarm.store.has(digest)
    swarm.restart_fetcher()
    swarm.network.requests.clear()
    assert await fetch(swarm, digest, content) == content
    indexes = [index for index in range(20) if received[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES].strip(b"\0")]
    assert len(indexes) >= 5
    lists = encode_artifact_request(ChunkListRequest(digest=digest))
    firsts = encode_artifact_request(ChunkRangeRequest(digest=digest, first_index=0, count=8))
    assert [request for _, _, request in swarm.network.requests if request in {lists, firsts}] == []


async def test_damage_to_a_partial_file_is_fetched_again(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(10)
    (digest,) = await swarm.add_holder(0, content)
    swarm.network.get_link(make_member(0), FETCHER).delay_s = 0.5
    with trio.move_on_after(4):
        await fetch(swarm, digest, content)
    path = swarm.store.partial_directory / digest.hex()
    damaged = bytearray(path.read_bytes())
    damaged[10] ^= 1
    path.write_bytes(damaged)
    swarm.restart_fetcher()
    assert await fetch(swarm, digest, content) == content


async def test_two_fetches_of_one_artifact_share_the_work(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(8)
    (digest,) = await swarm.add_holder(0, content)
    swarm.network.get_link(make_member(0), FETCHER).delay_s = 0.1
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(fetch, swarm, digest, content)
    assert swarm.count_requests(0) == 2


async def test_when_the_first_of_two_fetches_is_cancelled_the_second_goes_on(
    swarm: SwarmNetwork, autojump_clock: MockClock
) -> None:
    content = make_content(8)
    (digest,) = await swarm.add_holder(0, content)
    swarm.network.get_link(make_member(0), FETCHER).delay_s = 1.0
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(3):
            nursery.start_soon(fetch, swarm, digest, content)
            await fetch(swarm, digest, content)
    assert swarm.store.get_path(digest).read_bytes() == content


async def test_a_refused_artifact_is_not_kept(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(2)
    (digest,) = await swarm.add_holder(0, content)
    seen: list[tuple[bytes, int]] = []

    def refuse(prefix: bytes, size_bytes: int) -> None:
        seen.append((prefix, size_bytes))
        raise InvalidMessage("the wrong header")

    with pytest.raises(InvalidMessage, match="the wrong header"):
        await swarm.fetcher.fetch(digest, bytes_expected=len(content), check=refuse)
    assert seen == [(content, len(content))]
    assert not swarm.store.has(digest)
    assert list(swarm.store.partial_directory.iterdir()) == []
    assert swarm.transport.scores == {}


async def test_another_size_than_expected_never_arrives(swarm: SwarmNetwork, autojump_clock: MockClock) -> None:
    content = make_content(3)
    (digest,) = await swarm.add_holder(0, content)
    with trio.move_on_after(60):
        await swarm.fetcher.fetch(digest, bytes_expected=len(content) - 1)
    assert not swarm.store.has(digest)


async def test_an_artifact_beyond_the_quota_is_refused_before_it_is_fetched(
    swarm: SwarmNetwork, autojump_clock: MockClock
) -> None:
    store = ArtifactStore(swarm.root / "small", quota_bytes=1_000, run_blocking=run_inline)
    with pytest.raises(DiskFull):
        await make_fetcher(swarm.transport, store).fetch(Digest(bytes(32)), bytes_expected=1_001)
    assert swarm.network.requests == []
    assert list(store.partial_directory.iterdir()) == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"garbage",
        b"\x93\x00\xc4\x20" + bytes(1_000),
        encode_artifact_request(ChunkListRequest(digest=Digest(bytes(32)))) + b"\x00",
    ],
)
async def test_a_request_that_does_not_decode_is_refused(
    swarm: SwarmNetwork, autojump_clock: MockClock, request_bytes: bytes
) -> None:
    await swarm.add_holder(0, b"content")
    with pytest.raises(MalformedMessage):
        await make_holder_service(swarm, 0).handle(FETCHER, request_bytes, discard)


@pytest.mark.parametrize(("first", "count"), [(0, 0), (0, 4), (3, 1), (-1, 1), (2, 2), (2**63, 1), (0, 17)])
async def test_chunks_that_an_artifact_does_not_have_are_refused(
    swarm: SwarmNetwork, autojump_clock: MockClock, first: int, count: int
) -> None:
    (digest,) = await swarm.add_holder(0, make_content(3))
    request = encode_artifact_request(ChunkRangeRequest(digest=digest, first_index=first, count=count))
    with pytest.raises(MalformedMessage):
        await make_holder_service(swarm, 0).handle(FETCHER, request, discard)


async def discard(_frame: bytes) -> None:
    """Take a frame that must not come."""
    raise AssertionError("a frame was sent")


async def test_a_holder_whose_disk_lost_the_artifact_answers_that_it_has_none(
    swarm: SwarmNetwork, autojump_clock: MockClock
) -> None:
    (digest,) = await swarm.add_holder(0, b"content")
    service = make_holder_service(swarm, 0)
    (swarm.root / "member0" / digest.hex()[:2] / digest.hex()).unlink()
    request = encode_artifact_request(ChunkRangeRequest(digest=digest, first_index=0, count=1))
    await service.handle(FETCHER, request, discard)
    await service.handle(FETCHER, request, discard)
