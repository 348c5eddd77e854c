"""The muxer over a connection in memory: flow control, ends, malice, and the library's own yamux at the other side."""

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio
from libp2p.abc import ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux.yamux import Yamux

from node.libp2p_transport.faults import LinkFailed, PeerBrokeRules
from node.libp2p_transport.muxer import MuxedStream, Muxer
from protocol.units import Millis
from tests.node.libp2p.members import wait_until

HEADER = struct.Struct("!BBHII")
DATA, WINDOW, PING = 0, 1, 2
SYN, FIN = 1, 4


class MemoryConnection:
    """One end of a secured connection in memory, which takes one write at a time before its reader must come."""

    def __init__(self, sends: trio.MemorySendChannel[bytes], receives: trio.MemoryReceiveChannel[bytes]) -> None:
        self.is_initiator = False
        self._sends = sends
        self._receives = receives
        self._rest = b""

    async def read(self, n: int | None = None) -> bytes:
        if not self._rest:
            try:
                self._rest = await self._receives.receive()
            except (trio.EndOfChannel, trio.ClosedResourceError):
                return b""
        data, self._rest = self._rest[:n], self._rest[len(self._rest) if n is None else n :]
        return data

    async def write(self, data: bytes) -> None:
        await self._sends.send(data)

    async def close(self) -> None:
        self._sends.close()
        self._receives.close()

    def get_remote_address(self) -> tuple[str, int]:
        return "192.0.2.1", 4001


def make_pair(capacity: int = 0) -> tuple[MemoryConnection, MemoryConnection]:
    to_right, from_left = trio.open_memory_channel[bytes](capacity)
    to_left, from_right = trio.open_memory_channel[bytes](capacity)
    left, right = MemoryConnection(to_right, from_right), MemoryConnection(to_left, from_left)
    left.is_initiator = True
    return left, right


def make_muxer(connection: MemoryConnection, *, ping_timeout_ms: int = 60_000) -> Muxer:
    return Muxer(
        cast(ISecureConn, connection), ping_interval_ms=Millis(60_000), ping_timeout_ms=Millis(ping_timeout_ms)
    )


class Served:
    """A muxer that runs in the background, the streams its peer opened, and how it ended."""

    def __init__(self, muxer: Muxer) -> None:
        self.muxer = muxer
        self.streams: list[MuxedStream] = []
        self.end: LinkFailed | None = None

    async def run(self) -> None:
        try:
            await self.muxer.run(self.streams.append)
        except LinkFailed as error:
            self.end = error

    async def accept(self) -> MuxedStream:
        await wait_until(lambda: bool(self.streams))
        return self.streams.pop(0)


@asynccontextmanager
async def open_muxers() -> AsyncIterator[tuple[Served, Served]]:
    left, right = (Served(make_muxer(connection)) for connection in make_pair())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.run)
        nursery.start_soon(right.run)
        yield left, right
        nursery.cancel_scope.cancel()


async def read_all(stream: MuxedStream) -> bytes:
    data = bytearray()
    while chunk := await stream.read(10_000):
        data += chunk
    return bytes(data)


async def test_streams_written_at_the_same_time_do_not_mix() -> None:
    bodies = [bytes([number]) * 700_000 for number in range(4)]
    received: list[bytes] = []
    async with open_muxers() as (left, right), trio.open_nursery() as nursery:

        async def write(body: bytes) -> None:
            stream = left.muxer.open_stream()
            await stream.write(body)
            await stream.close()

        async def read() -> None:
            received.append(await read_all(await right.accept()))

        for body in bodies:
            nursery.start_soon(write, body)
            nursery.start_soon(read)
    assert sorted(received) == bodies


async def test_each_direction_ends_by_itself() -> None:
    async with open_muxers() as (left, right):
        ours = left.muxer.open_stream()
        await ours.write(b"question")
        await ours.close()
        theirs = await right.accept()
        assert await read_all(theirs) == b"question"
        await theirs.write(b"answer")
        await theirs.close()
        assert await read_all(ours) == b"answer"
        with pytest.raises(LinkFailed, match="after the end"):
            await ours.write(b"more")


async def test_a_writer_waits_for_a_reader_as_long_as_it_takes() -> None:
    async with open_muxers() as (left, right), trio.open_nursery() as nursery:
        ours = left.muxer.open_stream()
        is_written = False

        async def write() -> None:
            nonlocal is_written
            await ours.write(bytes(2_000_000))
            is_written = True

        nursery.start_soon(write)
        theirs = await right.accept()
        await trio.sleep(0.2)
        assert not is_written
        received = 0
        while received < 2_000_000:
            received += len(await theirs.read(50_000))
        await wait_until(lambda: is_written)


async def test_a_reset_wakes_both_who_read_and_who_write() -> None:
    async with open_muxers() as (left, right), trio.open_nursery() as nursery:
        ours = left.muxer.open_stream()
        failures = 0

        async def fail(wait: Callable[[], object]) -> None:
            nonlocal failures
            with pytest.raises(LinkFailed, match="reset by the peer"):
                await wait()  # type: ignore[misc]  # both are coroutines
            failures += 1

        nursery.start_soon(fail, lambda: ours.read(1))
        nursery.start_soon(fail, lambda: ours.write(bytes(2_000_000)))
        theirs = await right.accept()
        await trio.sleep(0.05)
        theirs.reset_nowait()
        await wait_until(lambda: failures == 2)


async def test_what_was_complete_can_be_read_after_the_connection_is_gone() -> None:
    left_end, right_end = make_pair(capacity=100)
    left, right = Served(make_muxer(left_end)), Served(make_muxer(right_end))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.run)
        nursery.start_soon(right.run)
        complete, cut = left.muxer.open_stream(), left.muxer.open_stream()
        await complete.write(b"all of it")
        await complete.close()
        await cut.write(b"half of")
        theirs = [await right.accept(), await right.accept()]
        await trio.sleep(0.05)
        await left_end.close()
        await wait_until(lambda: right.end is not None)
        assert await read_all(theirs[0]) == b"all of it"
        with pytest.raises(LinkFailed):
            await read_all(theirs[1])
        nursery.cancel_scope.cancel()


def frame(kind: int, flags: int, stream_id: int, length: int, body: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, stream_id, length) + body


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        pytest.param([b"\x01" + bytes(11)], "not yamux", id="version"),
        pytest.param([frame(9, 0, 0, 0)], "not yamux", id="kind"),
        pytest.param([frame(WINDOW, SYN, 2, 0)], "wrong number", id="our parity"),
        pytest.param([frame(WINDOW, SYN, 0, 0)], "wrong number", id="stream zero"),
        pytest.param([frame(WINDOW, SYN, 1, 0)] * 2, "wrong number", id="a number twice"),
        pytest.param([frame(DATA, 0, 1, 600_000)], "over any window", id="an oversized frame"),
        pytest.param(
            [frame(WINDOW, SYN, 1, 0), *[frame(DATA, 0, 1, 60_000, bytes(60_000))] * 9],
            "stream's window",
            id="no regard",
        ),
        pytest.param([frame(PING, SYN, 0, 7) * 1_000] * 200, "reads no answer", id="pings without end"),
    ],
)
async def test_a_peer_that_breaks_the_rules_ends_the_connection(chunks: list[bytes], reason: str) -> None:
    rogue, end = make_pair(capacity=1)
    served = Served(make_muxer(end))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.run)

        async def send() -> None:
            for chunk in chunks:
                await rogue.write(chunk)

        nursery.start_soon(send)
        await wait_until(lambda: served.end is not None)
        nursery.cancel_scope.cancel()
    assert isinstance(served.end, PeerBrokeRules)
    assert reason in served.end.reason


async def test_streams_over_the_limit_are_reset_and_the_connection_lives() -> None:
    async with open_muxers() as (left, right):
        streams = [left.muxer.open_stream() for _ in range(33)]
        await wait_until(lambda: len(right.streams) == 32)
        with pytest.raises(LinkFailed, match="reset by the peer"):
            await streams[32].read(1)
        await streams[0].write(b"fine")
        assert await right.streams[0].read() == b"fine"


async def test_a_peer_that_answers_no_ping_is_given_up_though_its_writer_is_stuck() -> None:
    _, end = make_pair()
    served = Served(make_muxer(end, ping_timeout_ms=200))
    with trio.fail_after(2):
        await served.run()
    assert served.end is not None
    assert served.end.reason == "answers no ping"


@pytest.mark.parametrize("is_ours_first", [True, False])
async def test_it_talks_to_the_librarys_own_yamux(is_ours_first: bool) -> None:
    ours_end, theirs_end = make_pair(capacity=10)
    ours = Served(make_muxer(ours_end))
    peer = ID.from_pubkey(create_new_key_pair(bytes(32)).public_key)
    theirs = Yamux(cast(ISecureConn, theirs_end), peer, is_initiator=False)
    body = bytes(range(256)) * 4_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run)
        nursery.start_soon(theirs.start)
        if is_ours_first:
            near = ours.muxer.open_stream()
            far = await theirs.accept_stream()
        else:
            far = await theirs.open_stream()
            near = await ours.accept()

        async def write_there() -> None:
            await far.write(body)
            await far.close()

        nursery.start_soon(write_there)
        assert await read_all(near) == body
        nursery.start_soon(near.write, body)
        received = bytearray()
        while len(received) < len(body):
            received += await far.read(100_000)
        assert received == body
        nursery.cancel_scope.cancel()
