"""Frames on a stream: each a varint length and its bytes, as libp2p delimits messages.

The library reads the length byte by byte, each a call through three layers; here both come from one buffer.
"""

from typing import Final

from libp2p.utils.varint import encode_uvarint

from node.libp2p_transport.faults import LinkFailed, PeerBrokeRules
from node.libp2p_transport.muxer import MuxedStream

_READ_BYTES: Final = 65_536
_LENGTH_BYTES_MAX: Final = 5


def encode_frame(body: bytes) -> bytes:
    """Return ``body`` with its length in front."""
    return encode_uvarint(len(body)) + body


class FrameReader:
    """Reads the frames of one stream."""

    def __init__(self, stream: MuxedStream, *, frame_bytes_max: int) -> None:
        self._stream = stream
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()
        self._position = 0

    async def read_frame(self) -> bytes | None:
        """Return the next frame, or None when the peer has ended the stream between two frames.

        Raises:
            PeerBrokeRules: The frame is announced longer than the limit; nothing of it is kept.
            LinkFailed: The stream was cut.
        """
        while True:
            frame = self._take_frame()
            if frame is not None:
                return frame
            del self._buffer[: self._position]
            self._position = 0
            chunk = await self._stream.read(_READ_BYTES)
            if not chunk:
                if self._buffer:
                    raise LinkFailed("the stream ended within a frame")
                return None
            self._buffer += chunk

    def _take_frame(self) -> bytes | None:
        length = 0
        for index in range(_LENGTH_BYTES_MAX):
            position = self._position + index
            if position >= len(self._buffer):
                return None
            byte = self._buffer[position]
            length |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                break
        else:
            raise PeerBrokeRules("sent a frame length that is no number")
        if length > self._frame_bytes_max:
            raise PeerBrokeRules(f"announced a frame of {length} bytes where {self._frame_bytes_max} are allowed")
        start = position + 1
        if len(self._buffer) < start + length:
            return None
        self._position = start + length
        return bytes(self._buffer[start : start + length])
