"""Dialling an address to see who is there: a member, somebody else, something else, nobody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from node.libp2p_transport.probe import ask_identity
from tests.node.libp2p.members import introduce, make_member, make_settings, open_node, wait_until


@asynccontextmanager
async def open_server(greeting: bytes | None) -> AsyncIterator[str]:
    """Listen with a server that says something else than a node, or nothing and hangs up."""

    async def serve(stream: trio.SocketStream) -> None:
        if greeting is not None:
            await stream.send_all(greeting)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_node_proves_who_it_is_and_its_connections_stay_as_they_are() -> None:
    async with open_node(make_settings(0, count=2)) as node, open_node(make_settings(1, count=2)) as other:
        introduce(node, other)
        await wait_until(lambda: node.is_connected(other.member))
        changes = []

        async def watch() -> None:
            while True:
                await node.transport._network.wait_change()
                changes.append(node.is_connected(other.member))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            for index, asked in enumerate((node, other)):
                answer = await ask_identity(asked.transport.get_listen_addresses()[0], timeout_s=10.0)
                assert answer.member == make_member(index)
            nursery.cancel_scope.cancel()
        assert changes == []
        assert node.is_connected(other.member)


async def test_where_nobody_is_the_reason_is_told() -> None:
    async with open_server(b"") as address:
        pass
    answer = await ask_identity(address, timeout_s=10.0)
    assert (answer.member, answer.reason) == (None, "Connection refused")


async def test_what_is_no_node_is_told_from_nobody() -> None:
    async with open_server(None) as hanging_up, open_server(b"\x0fnot what you want") as talking:
        for address in (hanging_up, talking):
            answer = await ask_identity(address, timeout_s=10.0)
            assert answer.member is None
            assert answer.reason == "what answers there is no pnyx node"


async def test_who_never_answers_is_given_up() -> None:
    async with open_server(b"") as silent:
        answer = await ask_identity(silent, timeout_s=0.2)
    assert (answer.member, answer.reason) == (None, "connected, but no handshake in time")
