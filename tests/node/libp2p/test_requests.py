"""Requests and responses over real connections (W5)."""

import pytest
import trio
from structlog.testing import capture_logs

from node.errors import PeerMisbehaved, PeerUnreachable
from node.libp2p_transport.frames import FrameReader, encode_frame
from node.libp2p_transport.muxer import MuxedStream
from node.libp2p_transport.network import Connection
from node.ports import RequestHandler, SendFrame, Service
from protocol.errors import InvariantViolation
from protocol.units import MemberId, Millis
from tests.node.libp2p.members import (
    Node,
    introduce,
    make_member,
    make_settings,
    open_node,
    open_nodes,
    open_rogue,
    wait_until,
    write_until_cut,
)

SECONDS_10 = Millis(10_000)


async def collect(client: Node, server: MemberId, request: bytes, *, timeout_ms: Millis = SECONDS_10) -> list[bytes]:
    frames: list[bytes] = []

    async def receive(frame: bytes) -> None:
        frames.append(frame)

    await client.transport.request(server, Service.SYNC, request, receive, timeout_ms=timeout_ms)
    return frames


async def echo(member: MemberId, request: bytes, send: SendFrame) -> None:
    """Send the request back as often as its first byte says."""
    for number in range(request[0]):
        await send(bytes([number]) + request)


@pytest.mark.parametrize("count", [0, 1, 200])
async def test_the_frames_of_a_response_arrive_in_order(count: int) -> None:
    async with open_nodes(2, services={Service.SYNC: echo}) as (client, server):
        request = bytes([count]) + b"please"
        assert await collect(client, server.member, request) == [bytes([number]) + request for number in range(count)]


async def test_the_server_knows_who_asks() -> None:
    async def whoami(member: MemberId, request: bytes, send: SendFrame) -> None:
        await send(member)

    async with open_nodes(2, services={Service.SYNC: whoami}) as (client, server):
        assert await collect(client, server.member, b"?") == [client.member]


async def test_frames_of_the_largest_size_pass_and_larger_ones_are_our_own_mistake() -> None:
    async def largest(member: MemberId, request: bytes, send: SendFrame) -> None:
        await send(bytes(524_288))

    async with open_nodes(2, services={Service.SYNC: largest}) as (client, server):
        assert await collect(client, server.member, bytes(524_288)) == [bytes(524_288)]
        with pytest.raises(InvariantViolation, match="over the limit"):
            await collect(client, server.member, bytes(524_289))


async def test_a_failing_handler_costs_only_its_own_request() -> None:
    started = trio.Event()

    async def fickle(member: MemberId, request: bytes, send: SendFrame) -> None:
        if request == b"fail":
            await send(b"half of an answer")
            await started.wait()
            raise ZeroDivisionError
        await send(b"slow answer")
        started.set()
        await send(b"and its end")

    slow: list[bytes] = []
    with capture_logs() as logs:
        async with open_nodes(2, services={Service.SYNC: fickle}) as (client, server), trio.open_nursery() as nursery:

            async def ask_slowly() -> None:
                slow.extend(await collect(client, server.member, b"slow"))

            nursery.start_soon(ask_slowly)
            with pytest.raises(PeerUnreachable, match="reset"):
                await collect(client, server.member, b"fail")
            assert await collect(client, server.member, b"again") == [b"slow answer", b"and its end"]
    assert slow == [b"slow answer", b"and its end"]
    failures = [entry for entry in logs if entry["event"] == "request_failed"]
    assert [(entry["log_level"], entry["service"]) for entry in failures] == [("error", "sync")]


async def test_a_response_that_takes_too_long_is_given_up_and_its_handler_learns_of_it() -> None:
    ended = trio.Event()

    async def endless(member: MemberId, request: bytes, send: SendFrame) -> None:
        try:
            while True:
                await send(bytes(1_000))
                await trio.sleep(0.01)
        finally:
            ended.set()

    async with open_nodes(2, services={Service.SYNC: endless}) as (client, server):
        with pytest.raises(PeerUnreachable, match="within 200 ms"):
            await collect(client, server.member, b"?", timeout_ms=Millis(200))
        with trio.fail_after(5):
            await ended.wait()


async def test_a_member_that_is_not_connected_is_unreachable() -> None:
    async with open_node(make_settings(0, count=2)) as client:
        with pytest.raises(PeerUnreachable, match="not connected"):
            await collect(client, make_member(1), b"?")


async def test_a_service_that_the_peer_does_not_offer_is_unreachable() -> None:
    async with open_nodes(2, services={Service.STATUS: echo}) as (client, server):
        with pytest.raises(PeerUnreachable, match="not supported"):
            await collect(client, server.member, b"?")


async def test_a_sender_waits_for_a_slow_requester() -> None:
    sent = 0

    async def pour(member: MemberId, request: bytes, send: SendFrame) -> None:
        nonlocal sent
        for _ in range(100):
            await send(bytes(100_000))
            sent += 1

    gate = trio.Event()
    received = 0

    async def receive(frame: bytes) -> None:
        nonlocal received
        await gate.wait()
        received += 1

    async with open_nodes(2, services={Service.SYNC: pour}) as (client, server), trio.open_nursery() as nursery:

        async def ask() -> None:
            await client.transport.request(server.member, Service.SYNC, b"?", receive, timeout_ms=SECONDS_10)

        nursery.start_soon(ask)
        await wait_until(lambda: sent > 0)
        await trio.sleep(0.3)
        assert sent < 15
        gate.set()
        await wait_until(lambda: received == 100)


async def test_a_handler_is_freed_from_a_requester_that_never_reads() -> None:
    ended = trio.Event()

    async def pour(member: MemberId, request: bytes, send: SendFrame) -> None:
        try:
            while True:
                await send(bytes(100_000))
        finally:
            ended.set()

    settings = make_settings(0, count=2, request_idle_ms=Millis(200))
    async with (
        open_node(settings, services={Service.SYNC: pour}) as server,
        open_rogue(make_settings(1, count=2), server) as rogue,
    ):
        stream = await rogue.open_service_stream(Service.SYNC)
        await stream.write(encode_frame(b"?"))
        with trio.fail_after(5):
            await ended.wait()


async def test_requests_over_the_limit_wait_their_turn_at_the_client() -> None:
    running = 0
    most = 0

    async def count(member: MemberId, request: bytes, send: SendFrame) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(0.02)
        running -= 1

    async with open_nodes(2, services={Service.SYNC: count}) as (client, server), trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(collect, client, server.member, b"?")
    assert most == 8


async def test_requests_over_the_limit_are_refused_by_the_server() -> None:
    release = trio.Event()
    running = 0

    async def hold(member: MemberId, request: bytes, send: SendFrame) -> None:
        nonlocal running
        running += 1
        await release.wait()

    async with (
        open_node(make_settings(0, count=2), services={Service.SYNC: hold}) as server,
        open_rogue(make_settings(1, count=2), server) as rogue,
    ):
        streams = [await rogue.open_service_stream(Service.SYNC) for _ in range(9)]
        for stream in streams:
            await stream.write(encode_frame(b"?"))
        await wait_until(lambda: running == 8)
        release.set()
        answers = [await FrameReader(stream, frame_bytes_max=100).read_frame() for stream in streams]
        assert sorted(answer or b"" for answer in answers) == [b"\x01"] * 8 + [b"\x02"]


@pytest.mark.parametrize(
    ("chunks", "error", "message"),
    [
        pytest.param(
            [encode_frame(b"\x00half"), b"\x50only a part"], PeerUnreachable, "within a frame", id="cut within"
        ),
        pytest.param([encode_frame(b"\x00half")], PeerUnreachable, "cut before its end", id="cut between"),
        pytest.param([b"\xff\xff\xff\x7f"], PeerMisbehaved, "are allowed", id="frame over the limit"),
        pytest.param([encode_frame(b"\x07?")], PeerMisbehaved, "no known kind", id="unknown kind"),
        pytest.param([encode_frame(b"")], PeerMisbehaved, "no known kind", id="empty frame"),
    ],
)
async def test_a_broken_response_is_told_from_a_finished_one(
    chunks: list[bytes], error: type[Exception], message: str
) -> None:
    settings = make_settings(1, count=2)

    async def answer(connection: Connection, stream: MuxedStream) -> None:
        await FrameReader(stream, frame_bytes_max=1_000).read_frame()
        for chunk in chunks:
            await stream.write(chunk)
        await stream.close()
        await stream.read()

    async with open_node(make_settings(0, count=2)) as client:
        handlers = {settings.get_service_protocol(Service.SYNC): answer}
        async with open_rogue(settings, client, handlers=handlers) as rogue:
            await wait_until(lambda: client.is_connected(make_member(1)))
            with pytest.raises(error, match=message):
                await collect(client, make_member(1), b"?")
            assert rogue.is_connected()


async def test_a_request_over_the_limit_gets_its_sender_banned() -> None:
    async with (
        open_node(make_settings(0, count=2), services={Service.SYNC: echo}) as server,
        open_rogue(make_settings(1, count=2), server) as rogue,
    ):
        stream = await rogue.open_service_stream(Service.SYNC)
        assert await write_until_cut(stream, [b"\xff\xff\xff\x7f", *[bytes(60_000)] * 100]) < 1_000_000
        await wait_until(lambda: not server.is_connected(make_member(1)))


async def test_a_disconnection_ends_a_running_request() -> None:
    asked = trio.Event()

    async def hold(member: MemberId, request: bytes, send: SendFrame) -> None:
        asked.set()
        await trio.sleep_forever()

    services: dict[Service, RequestHandler] = {Service.SYNC: hold}
    async with open_node(make_settings(0, count=2)) as client, trio.open_nursery() as nursery:

        async def serve_until_asked() -> None:
            async with open_node(make_settings(1, count=2), services=services) as server:
                introduce(client, server)
                await asked.wait()

        nursery.start_soon(serve_until_asked)
        await client.transport.wait_connected(1)
        with pytest.raises(PeerUnreachable):
            await collect(client, make_member(1), b"?")
