"""W5: what comes on a stream: frames, requests to a server, responses to a client; LinkFailed ends it, nothing else.

The first byte of an input chooses who reads, the second how many bytes come at a time.
"""

import random
from contextlib import suppress
from functools import cache
from typing import Final, cast

from node.errors import PeerMisbehaved, PeerUnreachable
from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.frames import FrameReader, encode_frame
from node.libp2p_transport.muxer import MuxedStream
from node.libp2p_transport.network import Connection, Network
from node.libp2p_transport.requests import RequestClient, RequestServer
from node.libp2p_transport.settings import TransportSettings
from node.ports import SendFrame, Service
from protocol.units import MemberId, Millis
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.driving import drive, hush_logs, run_virtually
from tests.fuzz.target import Target
from tests.values import make_digest

FRAME_BYTES_MAX: Final = 1_000
READ_BYTES: Final = 65_536
MEMBER: Final = MemberId(bytes([7] * 32))


class FedStream:
    """A stream whose peer has sent some bytes and then ended it; what is written to it is counted."""

    def __init__(self, data: bytes, *, chunk_bytes: int) -> None:
        self.written_bytes = 0
        self.is_reset = False
        self._data = data
        self._chunk_bytes = chunk_bytes

    async def read(self, n: int | None = None) -> bytes:
        end = min(self._chunk_bytes, len(self._data) if n is None else n)
        chunk, self._data = self._data[:end], self._data[end:]
        return chunk

    async def write(self, data: bytes) -> None:
        self.written_bytes += len(data)

    async def close(self) -> None:
        """Take the end of the other side's direction."""

    def reset_nowait(self) -> None:
        self.is_reset = True


class OneStream:
    """Stands in for the connections: every stream that is opened is the same one."""

    def __init__(self, stream: FedStream) -> None:
        self._stream = stream

    async def open_stream(self, _member: MemberId, _protocol: str) -> FedStream:
        return self._stream


@cache
def make_settings(members: frozenset[MemberId] = frozenset({MEMBER})) -> TransportSettings:
    """Return settings with a small limit on frames, so that short inputs reach it."""
    hush_logs()
    return TransportSettings(
        chain_id=make_digest("chain"),
        signing_seed=bytes([1] * 32),
        members=members,
        listen=(),
        addresses={},
        frame_bytes_max=FRAME_BYTES_MAX,
    )


async def read_frames(stream: FedStream) -> None:
    """Read frames to the end."""
    reader = FrameReader(cast(MuxedStream, stream), frame_bytes_max=FRAME_BYTES_MAX)
    try:
        while (frame := await reader.read_frame()) is not None:
            assert len(frame) <= FRAME_BYTES_MAX, "a frame over the limit came through"
            assert len(reader._buffer) <= FRAME_BYTES_MAX + READ_BYTES, "more is kept than one frame and one read"
    except LinkFailed:
        return


async def serve_request(stream: FedStream) -> None:
    """Serve one request, answering with what was asked."""

    async def echo(_member: MemberId, request: bytes, send: SendFrame) -> None:
        assert len(request) <= FRAME_BYTES_MAX, "a request over the limit came through"
        await send(request)

    server = RequestServer(make_settings(), {Service.SYNC: echo})
    (handler,) = server.get_handlers().values()
    connection = cast(Connection, Caller())
    try:
        await handler(connection, cast(MuxedStream, stream))
    except LinkFailed:
        return


class Caller:
    """A connection, as far as a request's handler looks at it."""

    member = MEMBER


async def take_response(stream: FedStream) -> None:
    """Send a request and take whatever comes as its response."""

    async def receive(frame: bytes) -> None:
        assert len(frame) <= FRAME_BYTES_MAX, "a frame over the limit came through"

    client = RequestClient(make_settings(), cast(Network, OneStream(stream)))
    with suppress(PeerUnreachable, PeerMisbehaved):
        await client.request(MEMBER, Service.SYNC, b"question", receive, timeout_ms=Millis(1_000))
    assert stream.is_reset, "a stream was left open"


def run(data: bytes) -> None:
    """Let one of the readers read."""
    if len(data) < 2:
        return
    stream = FedStream(data[2:], chunk_bytes=1 + data[1])
    match data[0] % 3:
        case 0:
            drive(read_frames(stream))
        case 1:
            run_virtually(lambda: serve_request(stream))
        case _:
            run_virtually(lambda: take_response(stream))


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return true frames for every reader."""
    frames = b"".join(encode_frame(bytes([7]) * size) for size in (0, 1, 200, FRAME_BYTES_MAX))
    response = b"".join(encode_frame(frame) for frame in (b"\x00first", b"\x00", b"\x00last", b"\x01"))
    return (
        b"\x00\xff" + frames,
        b"\x00\x01" + frames,
        b"\x01\xff" + encode_frame(b"question"),
        b"\x02\xff" + response,
        b"\x02\x02" + encode_frame(b"\x02"),
    )


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change bytes, or add a frame, true or lying about its length."""
    if chance.random() < 0.5:
        return mutate_bytes(data, chance)
    body = bytes(chance.choice([0, 1, 5, 127, 128, 999, 1_000, 1_001]))
    frame = encode_frame(body)
    lie = chance.choice([b"\x80", b"\xff" * 4 + b"\x7f", b"\x80" * 5, b"\xe8\x07", b"\xe9\x07", frame[:-1]])
    place = chance.randrange(2, len(data) + 1) if len(data) > 2 else len(data)
    return data[:place] + (frame if chance.random() < 0.5 else lie) + data[place:]


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate, input_bytes_max=8_192)
