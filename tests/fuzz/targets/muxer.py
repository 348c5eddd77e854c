"""The multiplexer under bytes from a connected member: it ends with LinkFailed, and keeps within its bounds until then.

The first byte of an input says how many bytes come at a time, and who opened the connection.
"""

import random
import struct
from functools import cache
from typing import Final, cast

import trio
from libp2p.abc import ISecureConn

from node.libp2p_transport import muxer as module
from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.muxer import MuxedStream, Muxer
from protocol.units import Millis
from tests.fuzz.bytes_mutation import EDGES, mutate_bytes
from tests.fuzz.driving import hush_logs, run_virtually
from tests.fuzz.target import Target

HEADER: Final = struct.Struct("!BBHII")
DATA, WINDOW, PING, GO_AWAY = range(4)
FIRST_WINDOW_BYTES: Final = 8_192
WINDOW_BYTES: Final = 16_384
"""Smaller windows than the real ones, so that short inputs reach their ends."""
SYN, ACK, FIN, RST = 1, 2, 4, 8


class FedConnection:
    """A secured connection whose peer has sent some bytes and gone."""

    def __init__(self, data: bytes, *, chunk_bytes: int, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self._data = data
        self._chunk_bytes = chunk_bytes

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        chunk, self._data = self._data[: self._chunk_bytes], self._data[self._chunk_bytes :]
        return chunk

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    def get_remote_address(self) -> tuple[str, int]:
        return "192.0.2.1", 4001


def run(data: bytes) -> None:
    """Serve a connection that brings these bytes, reading what its streams bring and answering it."""
    if not data:
        return
    _shrink_windows()
    # Long inputs come in larger pieces, or they would take their time in the loop that brings them.
    chunk_bytes = 1 + 11 * (data[0] >> 1) + len(data) // 1_000
    connection = FedConnection(data[1:], chunk_bytes=chunk_bytes, is_initiator=bool(data[0] & 1))
    run_virtually(lambda: _serve(connection))


@cache
def _shrink_windows() -> None:
    hush_logs()
    module.__dict__["_INITIAL_WINDOW_BYTES"] = FIRST_WINDOW_BYTES
    module.__dict__["_WINDOW_BYTES"] = WINDOW_BYTES


async def _serve(connection: FedConnection) -> None:
    muxer = Muxer(cast(ISecureConn, connection), ping_interval_ms=Millis(5_000), ping_timeout_ms=Millis(10_000))
    streams: list[MuxedStream] = []
    async with trio.open_nursery() as nursery:

        def take(stream: MuxedStream) -> None:
            streams.append(stream)
            if len(streams) % 2:
                nursery.start_soon(_echo, stream)
            _check_bounds(muxer)

        # One stream of our own, whose frames may be forged like any others.
        nursery.start_soon(_echo, muxer.open_stream())
        try:
            await muxer.run(take)
        except LinkFailed:
            pass
        else:
            raise AssertionError("a connection ended without a reason")
        _check_bounds(muxer)
        nursery.cancel_scope.cancel()


async def _echo(stream: MuxedStream) -> None:
    try:
        while body := await stream.read(1_000):
            await stream.write(body)
        await stream.close()
    except LinkFailed:
        return


def _check_bounds(muxer: Muxer) -> None:
    kept = list(muxer._streams.values())
    assert len(kept) <= module._INBOUND_STREAMS_MAX + 1, f"{len(kept)} streams are open"
    for stream in kept:
        assert len(stream._received) <= WINDOW_BYTES, "a peer sent more than the window and it was kept"


def frame(kind: int, flags: int, stream_id: int, length: int, body: bytes = b"") -> bytes:
    """Return one frame."""
    return HEADER.pack(0, kind, flags, stream_id, length & 0xFFFF_FFFF) + body


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return the frames of a polite peer that opened the connection, and of one that was called."""
    politely = b"".join(
        [
            frame(WINDOW, SYN, 1, FIRST_WINDOW_BYTES),
            frame(DATA, 0, 1, 8, b"question"),
            frame(WINDOW, FIN, 1, 0),
            frame(PING, SYN, 0, 7),
            frame(PING, ACK, 0, 1),
            frame(DATA, SYN | FIN, 3, 3, b"all"),
            frame(WINDOW, RST, 3, 0),
            frame(GO_AWAY, 0, 0, 0),
        ]
    )
    called = frame(WINDOW, ACK, 1, FIRST_WINDOW_BYTES) + frame(DATA, 0, 1, 6, b"answer") + frame(WINDOW, FIN, 1, 0)
    many = b"".join(frame(WINDOW, SYN, number, 0) for number in range(1, 90, 2))
    return b"\x08" + politely, b"\x02" + politely, b"\x09" + called, b"\x80" + many


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change bytes, or put in frames of any kind."""
    if chance.random() < 0.3 or not data:
        return mutate_bytes(data, chance)
    body = bytes(chance.choice([0, 1, 100, 4_000, 8_192, 16_384]))
    length = len(body) if chance.random() < 0.7 else chance.choice([*EDGES[:11], WINDOW_BYTES, WINDOW_BYTES + 1])
    kind = chance.choice([DATA, DATA, WINDOW, WINDOW, PING, GO_AWAY, 4, 255])
    flags = chance.choice([0, 0, SYN, ACK, FIN, RST, SYN | FIN, SYN | RST, chance.getrandbits(16)])
    stream_id = chance.choice([0, 1, 2, 3, 4, 5, 91, 2**32 - 1, chance.getrandbits(8)])
    made = frame(kind, flags, stream_id, length, body if kind == DATA else b"")
    place = 1 + HEADER.size * chance.randrange(len(data) // HEADER.size + 1)
    return data[:place] + made * chance.choice([1, 1, 1, 3, 12]) + data[place:]


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate, input_bytes_max=1 << 17)
