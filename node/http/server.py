"""The port: listens, bounds what strangers can take, and lets Hypercorn speak HTTP on each connection.

Connections are accepted here and not by Hypercorn, for three bounds that it does not have: on how many there are, on
how long a reader may take nothing (its own sends wait for ever, even while the daemon stops), and on how far a mistake
in the protocol reaches (:mod:`node.http.faults`).
"""

import errno
import socket
from collections.abc import Sequence
from typing import Final, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from starlette.types import ASGIApp, Receive, Scope, Send

from node.errors import AddressUnavailable
from node.http.faults import page_faults

CONNECTIONS_MAX: Final = 128
SEND_WAIT_S: Final = 5.0
"""How long a reader may take nothing, or less than a piece, before it is cut off."""
PIECE_BYTES: Final = 1 << 16
"""So much is sent at once, since the wait above is for each piece: a large answer may take longer on a slow line."""
REQUEST_WAIT_S: Final = 5
"""How long a connection may be idle before, and between, requests."""
BACKLOG: Final = 64

_log = structlog.get_logger("http")


class _BoundedStream:
    """A connection whose sends end: Hypercorn's shield them from cancellation."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket = stream.socket

    async def send_all(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), PIECE_BYTES):
                with trio.fail_after(SEND_WAIT_S):
                    await self._stream.send_all(data[start : start + PIECE_BYTES])
        except trio.TooSlowError as error:
            self._stream.socket.close()
            raise trio.BrokenResourceError("the reader takes nothing") from error

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class HttpServer:
    """Serves one application on listeners that are bound already."""

    def __init__(self, app: ASGIApp, listeners: Sequence[trio.SocketListener]) -> None:
        """Take what is served and where; nothing is accepted before :meth:`run`."""
        self._app = app
        self._wrapped = ASGIWrapper(cast(ASGIFramework, self._answer))
        self._listeners = listeners
        self._config = HypercornConfig()
        self._config.errorlog = None
        self._config.include_server_header = False
        self._config.keep_alive_timeout = REQUEST_WAIT_S
        self._context = WorkerContext(None)
        self._streams: set[trio.SocketStream] = set()

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._streams)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cut_off_at_the_end)
            await trio.serve_listeners(self._serve, list(self._listeners))

    async def _cut_off_at_the_end(self) -> None:
        """Let the daemon's end wait for no reader: it does not reach a send, which Hypercorn shields."""
        try:
            await trio.sleep_forever()
        finally:
            for stream in self._streams:
                stream.socket.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; where no page did, Hypercorn says 500."""
        with page_faults("answer"):
            await self._app(scope, receive, send)

    async def _serve(self, stream: trio.SocketStream) -> None:
        if self.connection_count >= CONNECTIONS_MAX:
            _log.debug("connection_refused", count=self.connection_count)
            await trio.aclose_forcefully(stream)
            return
        self._streams.add(stream)
        try:
            with page_faults("serve"):
                bounded = cast("trio.SSLStream[trio.SocketStream]", _BoundedStream(stream))
                await TCPServer(self._wrapped, self._config, self._context, ConnectionState({}), bounded).run()
        finally:
            self._streams.discard(stream)
            stream.socket.close()


async def open_http_listeners(host: str, port: int) -> Sequence[trio.SocketListener]:
    """Bind the port.

    Raises:
        AddressUnavailable: It is taken, not allowed, or the host is not of this machine.
    """
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        raise AddressUnavailable(_explain(host, port, error)) from error


def _explain(host: str, port: int, error: OSError) -> str:
    codes = {error.errno, *(part.errno for part in getattr(error, "exceptions", ()) if isinstance(part, OSError))}
    where = f"{host} port {port}"
    if errno.EADDRINUSE in codes:
        return f"{where} is in use by another program; stop it, or choose another port (config key 'http_port')"
    if errno.EADDRNOTAVAIL in codes or isinstance(error, socket.gaierror):
        return f"{where}: this is not an address of this machine; 0.0.0.0 means all of them (config key 'http_host')"
    if errno.EACCES in codes:
        return f"{where} needs privileges; choose a port above 1023 (config key 'http_port')"
    return f"{where} cannot be bound: {error} (config keys 'http_host', 'http_port')"
