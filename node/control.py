"""The control socket: how commands on this machine talk to a running daemon.

A Unix socket in the home, readable by its owner only. A request is one line of JSON with a ``command``; the answer is
one line, or for a stream one line per item, each ``{"ok": true, "result": ...}`` or ``{"ok": false, "error": ...}``.
Unix limits a socket's path to about a hundred bytes, so a home with a longer path keeps its socket in a private
directory and a pointer to it in the home.
"""

import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import structlog
import trio

from node.errors import ConfigError, DaemonUnreachable, NodeError
from node.json_values import JsonObject, JsonValue, get_object
from node.nesting import check_nesting
from protocol.errors import ProtocolError

SOCKET_NAME: Final = "control.sock"
POINTER_NAME: Final = "control.sock.path"
SOCKET_PATH_BYTES_MAX: Final = 100
LINE_BYTES_MAX: Final = 16 << 20
REQUEST_BYTES_MAX: Final = 64 << 10
REQUEST_WAIT_S: Final = 10.0
RECEIVE_BYTES: Final = 64 << 10

SendResult: TypeAlias = Callable[[JsonValue], Awaitable[None]]
"""Sends one result to the client; waits while the client is slow."""

ControlHandler: TypeAlias = Callable[[JsonObject, SendResult], Awaitable[None]]
"""Answers one request; returning ends the answer, a NodeError or ProtocolError becomes the client's error."""

_log = structlog.get_logger(__name__)


@contextmanager
def place_socket(home: Path) -> Iterator[Path]:
    """Give the path that a daemon listens at, and remove what it leaves there at the end."""
    path, pointer = home / SOCKET_NAME, home / POINTER_NAME
    directory: Path | None = None
    path.unlink(missing_ok=True)
    pointer.unlink(missing_ok=True)
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        directory = Path(tempfile.mkdtemp(prefix="pnyx-"))
        path = directory / SOCKET_NAME
        pointer.write_text(str(path), encoding="utf-8")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        pointer.unlink(missing_ok=True)
        if directory is not None:
            directory.rmdir()


def find_socket(home: Path) -> Path:
    """Return where the daemon of a home listens, if one runs."""
    pointer = home / POINTER_NAME
    if pointer.exists():
        return Path(pointer.read_text(encoding="utf-8"))
    return home / SOCKET_NAME


async def serve_control(
    path: Path, handler: ControlHandler, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the socket until cancelled; reports itself started once clients can connect."""
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as listening:
        previous_mask = os.umask(0o177)
        try:
            await listening.bind(str(path))
        finally:
            os.umask(previous_mask)
        listening.listen(64)
        task_status.started()

        async def serve(stream: trio.SocketStream) -> None:
            async with stream:
                await _serve_client(stream, handler)

        await trio.serve_listeners(serve, [trio.SocketListener(listening)])


async def _serve_client(stream: trio.SocketStream, handler: ControlHandler) -> None:
    async def send(result: JsonValue) -> None:
        await stream.send_all(_encode_line({"ok": True, "result": result}))

    try:
        with trio.fail_after(REQUEST_WAIT_S):
            line = await _LineReader(stream, bytes_max=REQUEST_BYTES_MAX).read_line()
        if line is None:
            return
        await _answer(line, handler, send, stream)
    except (trio.BrokenResourceError, trio.TooSlowError, ValueError) as error:
        _log.debug("control_request_dropped", reason=str(error))


async def _answer(line: bytes, handler: ControlHandler, send: SendResult, stream: trio.SocketStream) -> None:
    """Run the handler beside a watch on the client, whose leaving ends the answer."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_wait_client_left, stream, nursery.cancel_scope)
        try:
            await handler(_parse_request(line), send)
        except NodeError as error:
            await stream.send_all(_encode_line({"ok": False, "error": str(error), "exit_code": error.exit_code}))
        except ValueError as error:
            await _refuse(stream, f"malformed request: {error}")
        except ProtocolError as error:
            # What was asked for breaks a rule: that is the client's business and no reason to stop a daemon.
            await _refuse(stream, str(error))
        except trio.BrokenResourceError:
            _log.debug("control_client_left")
        nursery.cancel_scope.cancel()


def _parse_request(line: bytes) -> JsonObject:
    try:
        request = get_object(json.loads(line))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_nesting(request, where="malformed request")
    return request


async def _refuse(stream: trio.SocketStream, message: str) -> None:
    await stream.send_all(_encode_line({"ok": False, "error": message, "exit_code": ConfigError.exit_code}))


async def _wait_client_left(stream: trio.SocketStream, answering: trio.CancelScope) -> None:
    try:
        while await stream.receive_some(RECEIVE_BYTES):
            pass
    except trio.BrokenResourceError:
        pass
    answering.cancel()


class ControlClient:
    """One request to a daemon."""

    def __init__(self, stream: trio.SocketStream) -> None:
        """Take a connected stream; see :func:`open_request`."""
        self._reader = _LineReader(stream, bytes_max=LINE_BYTES_MAX)

    async def read_result(self) -> JsonValue:
        """Return the next result.

        Raises:
            NodeError: The daemon refused; its message and exit code are the daemon's.
            DaemonUnreachable: It stopped before it answered.
        """
        line = await self._reader.read_line()
        if line is None:
            raise DaemonUnreachable("the daemon stopped before it answered")
        answer = get_object(json.loads(line))
        if answer.get("ok") is not True:
            raise _RefusedError(str(answer.get("error")), answer.get("exit_code"))
        return answer["result"]


class _RefusedError(NodeError):
    """The daemon's own error, as it told it."""

    def __init__(self, message: str, exit_code: JsonValue) -> None:
        super().__init__(message)
        if isinstance(exit_code, int):
            self.exit_code = exit_code  # type: ignore[misc]  # the daemon's class is not known here, only its code


@asynccontextmanager
async def open_request(home: Path, request: JsonObject) -> AsyncIterator[ControlClient]:
    """Send a request to the daemon of a home and give the reader of its answer.

    Raises:
        DaemonUnreachable: No daemon runs on the home.
    """
    try:
        stream = await trio.open_unix_socket(str(find_socket(home)))
    except OSError as error:
        raise DaemonUnreachable(f"no daemon runs on {home}; start it with: pnyx run --home {home}") from error
    async with stream:
        try:
            await stream.send_all(_encode_line(request))
            yield ControlClient(stream)
        except trio.BrokenResourceError as error:
            raise DaemonUnreachable(f"the daemon on {home} stopped before it answered") from error


async def call(home: Path, request: JsonObject) -> JsonValue:
    """Return a daemon's one answer; errors as :func:`open_request` and :meth:`ControlClient.read_result`."""
    async with open_request(home, request) as client:
        return await client.read_result()


class _LineReader:
    """Cuts a byte stream into lines of bounded length."""

    def __init__(self, stream: trio.SocketStream, *, bytes_max: int) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self._pending = bytearray()

    async def read_line(self) -> bytes | None:
        """Return the next line, or None at the end of the stream."""
        while True:
            end = self._pending.find(b"\n")
            if end >= 0:
                line = bytes(self._pending[:end])
                del self._pending[: end + 1]
                return line
            if len(self._pending) > self._bytes_max:
                raise ValueError(f"a line of more than {self._bytes_max} bytes on the control socket")
            received = await self._stream.receive_some(RECEIVE_BYTES)
            if not received:
                return None
            self._pending += received


def _encode_line(value: JsonObject) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
