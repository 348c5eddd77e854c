"""Many streams over one secured connection: yamux 1.0.0, as specified by hashicorp/yamux and libp2p/specs.

It stands in for libp2p's own ``Yamux`` class, which offers the same protocol but (each shown by a test on the installed
version, see :mod:`node.libp2p_transport.workarounds`) only warns when a peer ignores flow control, gives up on a
slow reader after five seconds, polls every ten milliseconds meanwhile, and cannot be closed while the peer takes
nothing. Here: one writer task per connection, so that frames never interleave, small ones leave together in one
noise message, and no reader ever waits for a writer; windows that are enforced and renewed at half; pings with a
deadline, so that a frozen peer is noticed; and a close that needs nobody's help.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import Final

import trio
from libp2p.abc import ISecureConn
from libp2p.io.abc import ReadWriteCloser

from node.libp2p_transport.faults import LinkFailed, PeerBrokeRules, library_faults
from protocol.units import Millis

_HEADER: Final = struct.Struct("!BBHII")
_DATA, _WINDOW, _PING, _GO_AWAY = range(4)
_SYN, _ACK, _FIN, _RST = 1, 2, 4, 8
_INITIAL_WINDOW_BYTES: Final = 262_144
"""What either side may send on a new stream before it is told more (yamux specification)."""
_WINDOW_BYTES: Final = 524_288
"""What we let a peer send on one stream before we have read it."""
_CHUNK_BYTES: Final = 32_768
_BATCH_BYTES: Final = 65_519
"""The most plaintext in one noise message."""
_QUEUED_DATA_BYTES_MAX: Final = 131_072
_QUEUED_BYTES_MAX: Final = 2_097_152
_INBOUND_STREAMS_MAX: Final = 32


class MuxedStream(ReadWriteCloser):
    """One stream: ordered bytes in both directions, each with its own end and its own flow control."""

    def __init__(self, muxer: "Muxer", stream_id: int) -> None:
        self.stream_id = stream_id
        self._muxer = muxer
        self._received = bytearray()
        self._receive_window = _WINDOW_BYTES
        self._send_window = _INITIAL_WINDOW_BYTES
        self._has_remote_ended = False
        self._has_local_ended = False
        self._failure: str | None = None
        self._readable = trio.lowlevel.ParkingLot()
        self._writable = trio.lowlevel.ParkingLot()

    async def read(self, n: int | None = None) -> bytes:
        """Return at least one and at most ``n`` bytes, or ``b""`` once the peer has ended its direction.

        Raises:
            LinkFailed: The stream was reset or its connection is gone.
        """
        while not self._received:
            if self._has_remote_ended:
                return b""
            if self._failure is not None:
                raise LinkFailed(self._failure)
            await self._readable.park()
        end = len(self._received) if n is None else n
        data = bytes(self._received[:end])
        del self._received[:end]
        freed = _WINDOW_BYTES - self._receive_window - len(self._received)
        if freed * 2 >= _WINDOW_BYTES and not self._has_remote_ended and self._failure is None:
            self._receive_window += freed
            self._muxer.queue_frame(_WINDOW, 0, self.stream_id, freed)
        return data

    async def write(self, data: bytes) -> None:
        """Send all of ``data``; waits while the peer reads too slowly. One task at a time.

        Raises:
            LinkFailed: The stream was reset, ended by us, or its connection is gone.
        """
        sent = 0
        while sent < len(data):
            await self._muxer.wait_room()
            if self._failure is not None or self._has_local_ended:
                raise LinkFailed(self._failure or "write after the end")
            size = min(_CHUNK_BYTES, self._send_window, len(data) - sent)
            if size == 0:
                await self._writable.park()
                continue
            self._send_window -= size
            self._muxer.queue_frame(_DATA, 0, self.stream_id, size, data[sent : sent + size])
            sent += size

    async def close(self) -> None:
        """End our direction; what the peer still sends can be read."""
        if self._failure is None and not self._has_local_ended:
            self._has_local_ended = True
            self._muxer.queue_frame(_WINDOW, _FIN, self.stream_id, 0)
            self._forget_when_done()

    def reset_nowait(self) -> None:
        """Tear the stream down in both directions."""
        if self._failure is None:
            if not (self._has_local_ended and self._has_remote_ended):
                self._muxer.queue_frame(_WINDOW, _RST, self.stream_id, 0)
            self.fail("reset by us")

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's IP address and port."""
        return self._muxer.secured.get_remote_address()

    def fail(self, reason: str) -> None:
        """Note that the stream is dead and wake everybody who waits for it."""
        if self._failure is None:
            self._failure = reason
            if not self._has_remote_ended:
                self._received.clear()
            self._wake()
            self._muxer.forget(self.stream_id)

    def on_frame(self, kind: int, flags: int, length: int, body: bytes) -> None:
        """Handle one frame of the peer for this stream."""
        if kind == _DATA:
            if length > self._receive_window:
                raise PeerBrokeRules("sent more than the stream's window")
            self._receive_window -= length
            self._received += body
        else:
            self._send_window += length
        if flags & _RST:
            self.fail("reset by the peer")
        elif flags & _FIN:
            self._has_remote_ended = True
            self._forget_when_done()
        self._wake()

    def _wake(self) -> None:
        self._readable.unpark_all()
        self._writable.unpark_all()

    def _forget_when_done(self) -> None:
        if self._has_local_ended and self._has_remote_ended:
            self._muxer.forget(self.stream_id)


class Muxer:
    """All streams of one connection. :meth:`run` serves it until it fails; then every stream fails, too."""

    def __init__(
        self,
        secured: ISecureConn,
        *,
        ping_interval_ms: Millis,
        ping_timeout_ms: Millis,
    ) -> None:
        self.secured = secured
        self.round_trip_ms: Millis | None = None
        self._on_stream: Callable[[MuxedStream], None] = MuxedStream.reset_nowait
        self._ping_interval_ms = ping_interval_ms
        self._ping_timeout_ms = ping_timeout_ms
        self._streams: dict[int, MuxedStream] = {}
        self._next_stream_id = 1 if secured.is_initiator else 2
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._filled = trio.lowlevel.ParkingLot()
        self._drained = trio.lowlevel.ParkingLot()
        self._failure: str | None = None
        self._ping_count = 0
        self._pong = trio.Event()

    async def run(self, on_stream: Callable[[MuxedStream], None]) -> None:
        """Serve the connection until it ends, and call ``on_stream`` with each stream that the peer opens.

        Raises:
            LinkFailed: Always, in the end: the reason why.
        """
        self._on_stream = on_stream
        failure = LinkFailed("closed")
        try:
            async with trio.open_nursery() as nursery:
                for loop in (self._write_loop, self._ping_loop, self._read_loop):
                    nursery.start_soon(loop)
        except* PeerBrokeRules as group:
            failure = _first_of(group)
        except* LinkFailed as group:
            failure = failure if isinstance(failure, PeerBrokeRules) else _first_of(group)
        finally:
            self._fail_streams(failure.reason)
        raise failure

    def open_stream(self) -> MuxedStream:
        """Open a stream; the peer learns of it with the first bytes or at once.

        Raises:
            LinkFailed: The connection is gone.
        """
        if self._failure is not None:
            raise LinkFailed(self._failure)
        stream = MuxedStream(self, self._next_stream_id)
        self._next_stream_id += 2
        self._streams[stream.stream_id] = stream
        self.queue_frame(_WINDOW, _SYN, stream.stream_id, _WINDOW_BYTES - _INITIAL_WINDOW_BYTES)
        return stream

    def queue_frame(self, kind: int, flags: int, stream_id: int, length: int, body: bytes = b"") -> None:
        """Hand one frame to the writer task; never waits."""
        if self._failure is None:
            self._queue.append(_HEADER.pack(0, kind, flags, stream_id, length) + body)
            self._queued_bytes += _HEADER.size + len(body)
            self._filled.unpark_all()

    async def wait_room(self) -> None:
        """Wait until the writer task has little enough to send."""
        if self._queued_bytes < _QUEUED_DATA_BYTES_MAX:
            return
        while self._queued_bytes >= _QUEUED_DATA_BYTES_MAX and self._failure is None:
            await self._drained.park()

    def forget(self, stream_id: int) -> None:
        """Drop the record of a stream that has ended in both directions."""
        self._streams.pop(stream_id, None)

    def _fail_streams(self, reason: str) -> None:
        self._failure = reason
        for stream in tuple(self._streams.values()):
            stream.fail(reason)
        self._drained.unpark_all()

    async def _write_loop(self) -> None:
        while True:
            while not self._queue:
                await self._filled.park()
            batch = [self._queue.popleft()]
            size = len(batch[0])
            while self._queue and size + len(self._queue[0]) <= _BATCH_BYTES:
                size += len(self._queue[0])
                batch.append(self._queue.popleft())
            with library_faults("sending"):
                await self.secured.write(b"".join(batch))
            self._queued_bytes -= size
            self._drained.unpark_all()

    async def _read_loop(self) -> None:
        pending = bytearray()
        while True:
            with library_faults("receiving"):
                chunk = await self.secured.read()
            if not chunk:
                raise LinkFailed("closed by the other side")
            pending += chunk
            position = 0
            while len(pending) - position >= _HEADER.size:
                version, kind, flags, stream_id, length = _HEADER.unpack_from(pending, position)
                if version != 0 or kind > _GO_AWAY:
                    raise PeerBrokeRules("sent bytes that are not yamux")
                body_bytes = length if kind == _DATA else 0
                if body_bytes > _WINDOW_BYTES:
                    raise PeerBrokeRules("announced a frame over any window")
                end = position + _HEADER.size + body_bytes
                if len(pending) < end:
                    break
                body = bytes(pending[position + _HEADER.size : end])
                position = end
                self._on_frame(kind, flags, stream_id, length, body)
            del pending[:position]
            if self._queued_bytes > _QUEUED_BYTES_MAX:
                raise PeerBrokeRules("asks without end and reads no answer")

    def _on_frame(self, kind: int, flags: int, stream_id: int, length: int, body: bytes) -> None:
        if kind == _PING:
            if flags & _SYN:
                self.queue_frame(_PING, _ACK, 0, length)
            elif length == self._ping_count:
                self._pong.set()
        elif kind == _GO_AWAY:
            raise LinkFailed("the peer went away")
        elif flags & _SYN:
            self._on_new_stream(kind, flags, stream_id, length, body)
        else:
            stream = self._streams.get(stream_id)
            if stream is not None:
                stream.on_frame(kind, flags, length, body)

    def _on_new_stream(self, kind: int, flags: int, stream_id: int, length: int, body: bytes) -> None:
        remote_parity = 0 if self.secured.is_initiator else 1
        if stream_id == 0 or stream_id % 2 != remote_parity or stream_id in self._streams:
            raise PeerBrokeRules("opened a stream with a wrong number")
        inbound_count = sum(1 for known in self._streams if known % 2 == remote_parity)
        if inbound_count >= _INBOUND_STREAMS_MAX:
            self.queue_frame(_WINDOW, _RST, stream_id, 0)
            return
        stream = MuxedStream(self, stream_id)
        self._streams[stream_id] = stream
        self.queue_frame(_WINDOW, _ACK, stream_id, _WINDOW_BYTES - _INITIAL_WINDOW_BYTES)
        stream.on_frame(kind, flags, length, body)
        self._on_stream(stream)

    async def _ping_loop(self) -> None:
        while True:
            self._ping_count += 1
            self._pong = trio.Event()
            sent_at = trio.current_time()
            self.queue_frame(_PING, _SYN, 0, self._ping_count)
            with trio.move_on_after(self._ping_timeout_ms / 1000) as deadline:
                await self._pong.wait()
            if deadline.cancelled_caught:
                raise LinkFailed("answers no ping")
            self.round_trip_ms = Millis(round((trio.current_time() - sent_at) * 1000))
            await trio.sleep(self._ping_interval_ms / 1000)


def _first_of(group: BaseExceptionGroup[LinkFailed]) -> LinkFailed:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, LinkFailed) else LinkFailed(str(first))
