"""A stream whose protocol is still to be agreed on: nothing longer than a protocol's name is read from it.

The library reads whatever length a peer announces, and keeps it until it is complete.
"""

from typing import Final

from libp2p.io.abc import ReadWriteCloser

from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.muxer import MuxedStream

NAME_BYTES_MAX: Final = 1_024


class NamelessStream(ReadWriteCloser):
    """What the library's negotiation gets to see of a stream."""

    def __init__(self, stream: MuxedStream) -> None:
        self._stream = stream

    async def read(self, n: int | None = None) -> bytes:
        """Read as the stream does.

        Raises:
            LinkFailed: The peer has announced more than a name, or the stream was cut.
        """
        if n is None or n > NAME_BYTES_MAX:
            raise LinkFailed(f"announced a protocol's name of {n} bytes where {NAME_BYTES_MAX} are allowed")
        return await self._stream.read(n)

    async def write(self, data: bytes) -> None:
        """Write as the stream does."""
        await self._stream.write(data)

    async def close(self) -> None:
        """Close as the stream does."""
        await self._stream.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's IP address and port."""
        return self._stream.get_remote_address()
