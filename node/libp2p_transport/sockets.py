"""TCP underneath: multiaddresses to sockets, and a socket as the raw connection that libp2p's handshakes run on.

The raw connection reads from a buffer of its own, so that the two reads of each noise message cost one system call,
closes without waiting for anybody, and lets a stranger send only so many bytes before the handshake is done.
"""

import errno
import socket
from collections.abc import Sequence
from typing import Final

import trio
from libp2p.abc import IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.io.exceptions import ConnectionClosedError
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from node.errors import AddressUnavailable, ConfigError

_READ_BYTES: Final = 65_536
_HANDSHAKE_BYTES_MAX: Final = 16_384
_HOST_PROTOCOLS: Final = ("ip4", "ip6", "dns4", "dns6", "dns")


def parse_address(address: str, *, config_key: str) -> tuple[str, int]:
    """Return host and port of a TCP multiaddress such as ``/ip4/127.0.0.1/tcp/4001``; a peer id at its end is ignored.

    Raises:
        ConfigError: It is not a multiaddress, or not one of TCP.
    """
    try:
        parts = [(part.name, value) for part, value in Multiaddr(address).items()]
    except (MultiaddrError, ValueError) as error:
        raise ConfigError(f"{config_key}: {address!r} is not a multiaddress such as /ip4/192.0.2.7/tcp/4001") from error
    names = [name for name, _ in parts if name != "p2p"]
    if len(names) != 2 or names[0] not in _HOST_PROTOCOLS or names[1] != "tcp":
        raise ConfigError(f"{config_key}: {address!r} is not of TCP; write it as /ip4/192.0.2.7/tcp/4001")
    return str(parts[0][1]), int(str(parts[1][1]))


def format_address(host: str, port: int) -> str:
    """Return the multiaddress of a TCP socket name."""
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"


async def open_listener(address: str) -> Sequence[trio.SocketListener]:
    """Bind one listen address; a name may stand for several.

    Raises:
        ConfigError: The address does not parse.
        AddressUnavailable: The port is taken, not allowed, or the address is not of this machine.
    """
    host, port = parse_address(address, config_key="listen")
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=64)
    except OSError as error:
        raise AddressUnavailable(_explain_bind_failure(address, error)) from error


def get_listener_address(listener: trio.SocketListener) -> str:
    """Return the multiaddress that a listener is bound to, with its real port."""
    host, port = listener.socket.getsockname()[:2]
    return format_address(host, port)


def _explain_bind_failure(address: str, error: OSError) -> str:
    codes = {error.errno, *(part.errno for part in getattr(error, "exceptions", ()) if isinstance(part, OSError))}
    if errno.EADDRINUSE in codes:
        advice = "is in use by another program; stop it, or choose another port"
    elif errno.EADDRNOTAVAIL in codes or isinstance(error, socket.gaierror):
        advice = "is not an address of this machine; 0.0.0.0 means all of them"
    elif errno.EACCES in codes:
        advice = "needs privileges; choose a port above 1023"
    else:
        advice = f"cannot be bound: {error}"
    return f"{address} {advice} (config key 'listen')"


async def dial(address: str) -> "TcpConnection":
    """Connect to a TCP multiaddress; the caller bounds the time.

    Raises:
        ConfigError: The address does not parse.
        OSError: Nobody answers there.
    """
    host, port = parse_address(address, config_key="peers")
    return TcpConnection(await trio.open_tcp_stream(host, port), is_initiator=True)


class TcpConnection(IRawConnection):
    """One TCP connection, as the raw connection of libp2p."""

    def __init__(self, stream: trio.SocketStream, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.bytes_received = 0
        self.bytes_sent = 0
        self._stream = stream
        self._buffer = bytearray()
        self._handshake_bytes_left: int | None = _HANDSHAKE_BYTES_MAX
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, port = stream.socket.getpeername()[:2]
        self._remote = (str(host), int(port))

    def end_handshake(self) -> None:
        """Lift the limit on the bytes that a peer may send before we know who it is."""
        self._handshake_bytes_left = None

    async def read(self, n: int | None = None) -> bytes:
        """Return exactly ``n`` bytes, or with None whatever there is.

        Raises:
            ConnectionClosedError: The connection ended first, or a stranger sent too much.
        """
        wanted = 1 if n is None else n
        if self._handshake_bytes_left is not None and wanted > _HANDSHAKE_BYTES_MAX:
            raise ConnectionClosedError("more bytes announced than any handshake has")
        while len(self._buffer) < wanted:
            self._buffer += await self._receive()
        end = len(self._buffer) if n is None else n
        data = bytes(self._buffer[:end])
        del self._buffer[:end]
        return data

    async def _receive(self) -> bytes:
        try:
            chunk = await self._stream.receive_some(_READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("connection lost") from error
        if not chunk:
            raise ConnectionClosedError("closed by the other side")
        self.bytes_received += len(chunk)
        if self._handshake_bytes_left is not None:
            self._handshake_bytes_left -= len(chunk)
            if self._handshake_bytes_left < 0:
                raise ConnectionClosedError("more bytes than any handshake has")
        return bytes(chunk)

    async def write(self, data: bytes) -> None:
        """Send all of ``data``; one task at a time.

        Raises:
            ConnectionClosedError: The connection is gone.
        """
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("connection lost") from error
        self.bytes_sent += len(data)

    async def close(self) -> None:
        """Close at once."""
        self.abort()

    def abort(self) -> None:
        """Close at once, without waiting for bytes that a frozen peer would never take; wakes reader and writer."""
        self._stream.socket.close()

    def get_remote_address(self) -> tuple[str, int]:
        """Return the other side's IP address and port."""
        return self._remote

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the other side's address as a multiaddress."""
        return [Multiaddr(format_address(*self._remote))]

    def get_connection_type(self) -> ConnectionType:
        """Return that nobody relays this connection."""
        return ConnectionType.DIRECT
