"""The port under readers that are slow, many, or send what is no HTTP."""

from contextlib import suppress

import pytest
import structlog.testing
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from node.errors import AddressUnavailable
from node.http import server
from node.http.server import CONNECTIONS_MAX, PIECE_BYTES, HttpServer, open_http_listeners
from tests.helpers import LedgerBuilder
from tests.node.control_desks import FOUNDERS
from tests.node.http.sites import open_site

HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WHOLE_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def read_all(stream: trio.SocketStream) -> bytes:
    received = bytearray()
    with trio.fail_after(20):
        with suppress(trio.BrokenResourceError):
            async for chunk in stream:
                received += chunk
    return bytes(received)


async def exchange(port: int, sent: bytes) -> bytes:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(sent)
            await stream.send_eof()
        return await read_all(stream)


async def test_a_reader_that_takes_nothing_is_cut_off_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SEND_WAIT_S", 0.2)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(64 << 20)})

    listeners = await open_http_listeners("127.0.0.1", 0)
    served = HttpServer(app, listeners)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.run)
        async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
            await stream.send_all(WHOLE_REQUEST)
            with trio.fail_after(20):
                while served.connection_count != 1:
                    await trio.sleep(0.01)
                while served.connection_count:
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_a_reader_that_is_slow_but_takes_something_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SEND_WAIT_S", 2.0)
    body = bytes(24 << 20)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    listeners = await open_http_listeners("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(HttpServer(app, listeners).run)
        async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
            await stream.send_all(WHOLE_REQUEST)
            taken = 0
            # The body takes longer than the wait, each part of it less.
            for _ in range(12):
                await trio.sleep(0.25)
                taken += len(await stream.receive_some(1 << 20))
            assert taken + len(await read_all(stream)) > len(body)
        nursery.cancel_scope.cancel()


async def test_the_end_of_the_daemon_cuts_off_a_reader_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SEND_WAIT_S", 30.0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(64 << 20)})

    listeners = await open_http_listeners("127.0.0.1", 0)
    served = HttpServer(app, listeners)
    async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(served.run)
                await stream.send_all(WHOLE_REQUEST)
                received = bytearray()
                while len(received) < PIECE_BYTES:
                    received += await stream.receive_some()
                nursery.cancel_scope.cancel()
        assert served.connection_count == 0


async def test_the_end_of_the_daemon_does_not_wait_for_a_reader() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        stream = await trio.open_tcp_stream("127.0.0.1", site.port)
        await stream.send_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await stream.receive_some(1)
    # Leaving the block above cancels the server, while the stream is open and reads no more.
    await stream.aclose()


async def test_a_mistake_in_a_page_ends_with_its_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/broken":
            raise LookupError("our own mistake")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"well"})

    listeners = await open_http_listeners("127.0.0.1", 0)
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(HttpServer(app, listeners).run)
        with structlog.testing.capture_logs() as lines:
            assert b" 500 " in await exchange(port, WHOLE_REQUEST.replace(b"/healthz", b"/broken"))
            assert b"well" in await exchange(port, WHOLE_REQUEST)
        assert [line["event"] for line in lines] == ["page_failed"]
        nursery.cancel_scope.cancel()


async def test_connections_are_bounded_and_idle_ones_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_WAIT_S", 1)
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        idle = [await trio.open_tcp_stream("127.0.0.1", site.port) for _ in range(CONNECTIONS_MAX)]
        assert await exchange(site.port, WHOLE_REQUEST) == b""
        for stream in idle:
            assert await read_all(stream) == b""
            await stream.aclose()
        assert b"200" in await exchange(site.port, WHOLE_REQUEST)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /%zz%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HTTP_2 + bytes(range(64)),
        HTTP_2 + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x04\x08\x00\x00\x00\x01\x00\x00\x00\x00",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"HTTP2-Settings: AAMAAABkAAQ\r\n\r\n\x00\x00\x00\x01",
        b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_request_hurts_nobody(sent: bytes) -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        await exchange(site.port, sent)
        assert (await site.get("/healthz")).status_code == 200


@settings(max_examples=10)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([b"GET / HTTP/1.1\r\n", b"Host: localhost\r\n", b"\r\n", HTTP_2]),
        ),
        max_size=8,
    )
)
async def test_any_bytes_hurt_nobody(pieces: list[bytes]) -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        await exchange(site.port, b"".join(pieces))
        assert (await site.get("/healthz")).status_code == 200


async def test_a_port_that_is_taken_is_told_with_the_key_that_names_it() -> None:
    listeners = await open_http_listeners("127.0.0.1", 0)
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(AddressUnavailable, match=rf"127.0.0.1 port {port} is in use .*http_port"):
        await open_http_listeners("127.0.0.1", port)
    with pytest.raises(AddressUnavailable, match=r"not an address of this machine.*http_host"):
        await open_http_listeners("192.0.2.7", 0)
    for listener in listeners:
        await listener.aclose()
