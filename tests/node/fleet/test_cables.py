"""Cables: what passes a whole one, what a cut one keeps from whom, and what mending brings back."""

import fcntl
import socket
import struct
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
import trio

from node.fleet.cables import LOOPBACK, Cable
from node.fleet.silence import can_drop_packets
from node.testnet import find_free_ports

HOST = "127.64.1.2"
SILENCE_S = 0.5
"""On loopback whatever comes at all comes within a millisecond."""

MODES = (False, True) if can_drop_packets() else (False,)
"""A kernel that lets nobody drop packets leaves the other mode to be tested."""


@dataclass
class Pair:
    """A cable, and the accepted ends of the connections that went through it."""

    cable: Cable
    port: int
    accepted: list[trio.SocketStream] = field(default_factory=list)
    dialled: list[trio.SocketStream] = field(default_factory=list)
    arrival: trio.Event = field(default_factory=trio.Event)
    on_accept: Callable[[], None] = lambda: None

    async def dial(self) -> trio.SocketStream:
        self.dialled.append(await trio.open_tcp_stream(HOST, self.port))
        return self.dialled[-1]

    async def call(self) -> tuple[trio.SocketStream, trio.SocketStream]:
        """Return both ends of a connection that has just been made: the dialler's and the listener's."""
        self.arrival = trio.Event()
        near = await self.dial()
        with trio.fail_after(5):
            await self.arrival.wait()
        return near, self.accepted[-1]

    async def connect(self) -> tuple[trio.SocketStream, trio.SocketStream]:
        """Return both ends of a connection through which bytes have passed already."""
        near, far = await self.call()
        for source, sink in ((near, far), (far, near)):
            await source.send_all(b"?")
            assert await receive(sink) == b"?"
        return near, far

    def set(self, *, forth: bool = True, back: bool = True, is_refusing: bool = False) -> None:
        self.cable.set(forth=forth, back=back, is_refusing=is_refusing)


@asynccontextmanager
async def open_pair(*, can_drop: bool) -> AsyncIterator[Pair]:
    (port,) = find_free_ports(1)
    pair = Pair(cable=Cable(host=HOST, port=port, can_drop=can_drop), port=port)

    async def accept(stream: trio.SocketStream) -> None:
        pair.accepted.append(stream)
        pair.on_accept()
        pair.arrival.set()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host=LOOPBACK)
        nursery.start_soon(trio.serve_listeners, accept, listeners)
        await pair.cable.open()
        nursery.start_soon(pair.cable.run)
        try:
            yield pair
        finally:
            for stream in (*pair.dialled, *pair.accepted):
                stream.socket.close()
            nursery.cancel_scope.cancel()


@pytest.fixture(params=MODES, ids=lambda can_drop: "drops" if can_drop else "holds")
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with open_pair(can_drop=request.param) as opened:
        yield opened


async def receive(stream: trio.SocketStream, *, wait_s: float = 5) -> bytes:
    with trio.fail_after(wait_s):
        return bytes(await stream.receive_some())


def reset(stream: trio.SocketStream) -> None:
    """Close a connection so that the other end gets a reset and not an end."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.socket.close()


def count_unacknowledged(stream: trio.SocketStream) -> int:
    """Return how many bytes the kernel has taken from us and the other end has not acknowledged (tcp(7), SIOCOUTQ)."""
    return int(struct.unpack("i", fcntl.ioctl(stream.socket.fileno(), termios.TIOCOUTQ, bytes(4)))[0])


async def hears_nothing(stream: trio.SocketStream) -> bool:
    with trio.move_on_after(SILENCE_S):
        await stream.receive_some()
        return False
    return True


async def test_a_whole_cable_carries_bytes_and_the_end_both_ways(pair: Pair) -> None:
    near, far = await pair.connect()
    await near.send_all(b"there")
    assert await receive(far) == b"there"
    await far.send_all(b"back")
    assert await receive(near) == b"back"
    await near.send_eof()
    assert await receive(far) == b""
    await far.send_all(b"still")
    assert await receive(near) == b"still"


async def test_the_listener_sees_the_cable_as_the_caller(pair: Pair) -> None:
    _, far = await pair.connect()
    assert far.socket.getpeername()[0] == HOST


async def test_many_bytes_arrive_as_they_were_sent(pair: Pair) -> None:
    near, far = await pair.connect()
    sent = bytes(range(256)) * 8_192
    received = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.send_all, sent)
        while len(received) < len(sent):
            received += await receive(far)
    assert received == sent


async def test_a_cut_cable_keeps_bytes_until_it_is_mended(pair: Pair) -> None:
    near, far = await pair.connect()
    pair.set(forth=False, back=False)
    await near.send_all(b"late")
    await far.send_all(b"too")
    assert await hears_nothing(far)
    assert await hears_nothing(near)
    pair.set()
    assert await receive(far) == b"late"
    assert await receive(near) == b"too"


async def test_a_cable_cut_one_way_carries_the_other_way(pair: Pair) -> None:
    near, far = await pair.connect()
    pair.set(forth=False)
    await near.send_all(b"lost")
    await far.send_all(b"heard")
    assert await receive(near) == b"heard"
    assert await hears_nothing(far)
    pair.set(back=False)
    assert await receive(far) == b"lost"
    await far.send_all(b"lost")
    assert await hears_nothing(near)


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_nobody_learns_of_an_end_through_a_cut_cable(pair: Pair, is_reset: bool) -> None:
    near, far = await pair.connect()
    pair.set(forth=False, back=False)
    if is_reset:
        reset(near)
    near.socket.close()
    assert await hears_nothing(far)
    pair.set()
    # A reset that the cable dropped is not sent again; the dialler's side tells only who asks it.
    await far.send_all(b"anybody?")
    with trio.fail_after(20), suppress(trio.BrokenResourceError):
        assert await far.receive_some() == b""


async def test_nobody_learns_from_writing_that_the_end_behind_a_cut_is_gone(pair: Pair) -> None:
    near, far = await pair.connect()
    pair.set(back=False)
    reset(far)
    await near.send_all(b"are you")
    await near.send_all(b"there?")
    assert await hears_nothing(near)
    pair.set()
    # A reset that was dropped comes again as the answer to whatever is sent next.
    await near.send_all(b"still?")
    with pytest.raises(trio.BrokenResourceError):
        await receive(near, wait_s=20)


async def test_a_reset_at_one_end_is_a_reset_at_the_other(pair: Pair) -> None:
    near, far = await pair.connect()
    reset(far)
    with pytest.raises(trio.BrokenResourceError):
        await receive(near)


async def test_nothing_gets_through_a_cut_cable_to_a_new_connection(pair: Pair) -> None:
    pair.set(back=False)
    with trio.move_on_after(SILENCE_S):
        near = await pair.dial()
        assert await hears_nothing(near)
    assert not pair.accepted


async def test_a_refusing_cable_resets_connections_old_and_new(pair: Pair) -> None:
    near, far = await pair.connect()
    pair.set(is_refusing=True)
    for end in (near, far):
        with pytest.raises(trio.BrokenResourceError):
            await receive(end)
    late = await pair.dial()
    with pytest.raises(trio.BrokenResourceError):
        await receive(late)
    assert pair.accepted == [far]
    pair.set()
    near, far = await pair.connect()
    await near.send_all(b"again")
    assert await receive(far) == b"again"


async def test_a_call_that_is_just_being_put_through_is_refused_as_well(pair: Pair) -> None:
    pair.on_accept = lambda: pair.set(is_refusing=True)
    # Whether the cable or the listener learns first that they are connected is trio's choice, and random.
    for _ in range(12):
        pair.set()
        near, far = await pair.call()
        for end in (near, far):
            with pytest.raises(trio.BrokenResourceError):
                await receive(end)


async def test_a_caller_that_gave_up_before_the_cable_was_mended_is_not_put_through(pair: Pair) -> None:
    pair.set(forth=False)
    with trio.move_on_after(SILENCE_S):
        (await pair.dial()).socket.close()
    pair.set()
    await trio.sleep(SILENCE_S)
    assert not pair.accepted


async def test_a_dialler_of_nobody_is_reset() -> None:
    (port,) = find_free_ports(1)
    cable = Cable(host=HOST, port=port, can_drop=False)
    await cable.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cable.run)
        async with await trio.open_tcp_stream(HOST, port) as near:
            with pytest.raises(trio.BrokenResourceError):
                await receive(near)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("can_drop", [mode for mode in MODES if mode])
async def test_a_cable_that_drops_packets_answers_no_call_while_cut(can_drop: bool) -> None:
    async with open_pair(can_drop=can_drop) as pair:
        pair.set(forth=False)
        with trio.move_on_after(SILENCE_S) as waiting:
            await pair.dial()
        assert waiting.cancelled_caught


@pytest.mark.parametrize("can_drop", [mode for mode in MODES if mode])
@pytest.mark.parametrize("is_forth", [True, False])
async def test_a_cable_that_drops_packets_acknowledges_nothing_in_the_direction_that_is_cut(
    can_drop: bool, is_forth: bool
) -> None:
    async with open_pair(can_drop=can_drop) as pair:
        near, far = await pair.connect()
        pair.set(forth=not is_forth, back=is_forth)
        await near.send_all(b"four")
        await far.send_all(b"four")
        await trio.sleep(SILENCE_S)
        cut, whole = (near, far) if is_forth else (far, near)
        assert (count_unacknowledged(cut), count_unacknowledged(whole)) == (4, 0)
