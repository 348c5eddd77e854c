"""Who gets in, and what happens to everybody else (L1)."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID, Transport
from libp2p.transport.upgrader import TransportUpgrader
from structlog.testing import capture_logs

from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.frames import encode_frame
from node.libp2p_transport.sockets import TcpConnection
from node.peer_ids import member_to_peer_id
from node.ports import SendFrame, Service
from protocol.gossip import Topic
from protocol.units import MemberId, Millis
from tests.node.libp2p.members import (
    Node,
    get_port,
    introduce,
    make_member,
    make_settings,
    open_node,
    open_nodes,
    open_rogue,
    wait_until,
)

STRANGER = make_settings(9, count=10)


def count_events(logs: Sequence[Mapping[str, object]], event: str) -> int:
    return [entry["event"] for entry in logs].count(event)


async def assert_gossip_flows(sender: Node, receiver: Node) -> None:
    await sender.transport.publish(Topic.CONSENSUS, b"still here")
    await wait_until(lambda: b"still here" in receiver.mailbox.get_bodies())


async def test_a_stranger_with_a_valid_identity_is_closed_at_once_and_logged_once() -> None:
    with capture_logs() as logs:
        async with open_nodes(2) as (target, witness):
            started_at = trio.current_time()
            for _ in range(5):
                with pytest.raises(LinkFailed):
                    async with open_rogue(STRANGER, target):
                        pass
            assert trio.current_time() - started_at < 2
            assert len(target.transport.get_peers()) == 1
            await assert_gossip_flows(target, witness)
    refusals = [entry for entry in logs if entry["event"] == "stranger_refused"]
    assert [entry["about"] for entry in refusals] == [member_to_peer_id(make_member(9))]


async def test_a_stranger_that_answers_at_a_members_address_is_not_talked_to() -> None:
    with capture_logs() as logs:
        async with open_node(make_settings(0, count=2)) as node, open_node(STRANGER) as stranger:
            node.update_addresses(make_member(1), stranger.transport.get_listen_addresses())
            await wait_until(lambda: count_events(logs, "dial_failed") > 0)
            await trio.sleep(0.5)
            assert not node.is_connected(make_member(1))
            assert not stranger.is_connected(node.member)
    assert count_events(logs, "dial_failed") == 1
    assert count_events(logs, "peer_connected") == 0


async def test_a_member_of_another_chain_is_no_neighbour() -> None:
    """W3: topics and protocols name the chain, so two networks of the same members never mix."""
    other_chain = make_settings(1, count=2, chain_id=bytes(32))
    async with open_node(make_settings(0, count=2)) as node, open_node(other_chain) as other:
        introduce(node, other)
        with trio.move_on_after(1) as patience:
            await node.transport.wait_connected(1)
        assert patience.cancelled_caught


@contextmanager
def negotiating(is_accepted: bool) -> Iterator[None]:
    if is_accepted:
        yield
    else:
        with pytest.raises(MultiselectClientError, match="not supported"):
            yield


async def open_raw(target: Node) -> TcpConnection:
    return TcpConnection(await trio.open_tcp_stream("127.0.0.1", get_port(target)), is_initiator=True)


@pytest.mark.parametrize(
    ("protocol", "is_accepted"),
    [("/plaintext/2.0.0", False), ("/tls/1.0.0", False), ("/secio/1.0.0", False), ("/noise", True)],
)
async def test_no_security_but_noise_is_agreed_to(protocol: str, is_accepted: bool) -> None:
    async with open_node(make_settings(0, count=2)) as target:
        raw = await open_raw(target)
        with negotiating(is_accepted):
            await MultiselectClient().select_one_of([TProtocol(protocol)], MultiselectCommunicator(raw))
        raw.abort()


@pytest.mark.parametrize(("protocol", "is_accepted"), [("/mplex/6.7.0", False), ("/yamux/1.0.0", True)])
async def test_no_muxer_but_yamux_is_agreed_to(protocol: str, is_accepted: bool) -> None:
    async with open_node(make_settings(0, count=2)) as target:
        noise = Transport(
            create_new_key_pair(make_settings(1, count=2).signing_seed), create_noise_key_pair().private_key
        )
        raw = await open_raw(target)
        peer = ID.from_base58(member_to_peer_id(target.member))
        secured = await TransportUpgrader({PROTOCOL_ID: noise}, {}).upgrade_security(
            raw, is_initiator=True, peer_id=peer
        )
        with negotiating(is_accepted):
            await MultiselectClient().select_one_of([TProtocol(protocol)], MultiselectCommunicator(secured))
        raw.abort()


ANSWER = encode_frame(b"\x00hello " + make_member(1)[:4]) + encode_frame(b"\x01")


@pytest.mark.parametrize(("index", "outcome"), [(1, ANSWER.hex()), (9, "refused")])
async def test_the_librarys_own_host_gets_in_as_a_member_and_not_as_a_stranger(index: int, outcome: str) -> None:
    async def answer(member: MemberId, request: bytes, send: SendFrame) -> None:
        await send(request + b" " + member[:4])

    async with open_node(make_settings(0, count=2), services={Service.STATUS: answer}) as target:
        address = target.transport.get_listen_addresses()[0]
        module = [sys.executable, "-m", "tests.node.libp2p.stock_host"]
        with trio.fail_after(30):
            host = await trio.run_process(
                [*module, str(index), member_to_peer_id(target.member), address], capture_stdout=True
            )
        assert host.stdout.decode().strip() == outcome


async def read_to_end(stream: trio.SocketStream) -> float:
    """Return after how many seconds the other side has closed."""
    started_at = trio.current_time()
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass
    return trio.current_time() - started_at


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="http"),
        pytest.param(b"\xff" * 100_000, id="a length without end"),
        pytest.param(b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", id="an enormous length"),
        pytest.param(b"\x13/multistream/1.0.0\n\x03\xff\xfe\n", id="no utf-8"),
        pytest.param(b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x20" + bytes(32), id="noise that is none"),
        pytest.param(os.urandom(1_000_000), id="a megabyte of noise"),
    ],
)
async def test_garbage_on_the_port_is_refused_and_logged_once(garbage: bytes) -> None:
    with capture_logs() as logs:
        async with open_nodes(2, handshake_timeout_ms=Millis(400)) as (target, witness):
            for _ in range(3):
                stream = await trio.open_tcp_stream("127.0.0.1", get_port(target))
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(garbage)
                assert await read_to_end(stream) < 2
                await stream.aclose()
            await assert_gossip_flows(target, witness)
    assert count_events(logs, "inbound_failed") == 1


async def test_a_handshake_that_does_not_begin_ends_at_its_deadline() -> None:
    async with open_node(make_settings(0, count=2, handshake_timeout_ms=Millis(300))) as target:
        stream = await trio.open_tcp_stream("127.0.0.1", get_port(target))
        async with stream:
            assert 0.2 < await read_to_end(stream) < 2


async def test_only_so_many_handshakes_of_one_address_run_at_a_time() -> None:
    settings = make_settings(0, count=2, handshakes_per_address_max=3, handshake_timeout_ms=Millis(1_500))
    async with open_node(settings) as target, open_node(make_settings(1, count=2)) as member:
        with ExitStack() as sockets:
            for _ in range(3):
                stream = await trio.open_tcp_stream("127.0.0.1", get_port(target))
                sockets.callback(stream.socket.close)
                assert await stream.receive_some(1)
            refused = await trio.open_tcp_stream("127.0.0.1", get_port(target))
            async with refused:
                assert await read_to_end(refused) < 1
        introduce(target, member)
        await target.transport.wait_connected(1)
