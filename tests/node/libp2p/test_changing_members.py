"""Members come and go while the transport runs (L1, L9): who gets in from when on, who is cut off, what is kept."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

import pytest
import trio
import trio.testing
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.noise.transport import PROTOCOL_ID, Transport
from libp2p.transport.upgrader import TransportUpgrader
from structlog.testing import capture_logs

from node.libp2p_transport.frames import encode_frame
from node.libp2p_transport.sockets import TcpConnection
from node.peer_ids import member_to_peer_id
from node.ports import SendFrame, Service
from protocol.gossip import Admission, Topic
from protocol.units import MemberId, Millis
from tests.node.libp2p.members import (
    Node,
    Rogue,
    get_port,
    make_member,
    make_settings,
    open_node,
    open_nodes,
    open_rogue,
    wait_until,
)

NEWCOMER = 2
"""The index of who is no member at first."""


def where(*nodes: Node) -> dict[MemberId, tuple[str, ...]]:
    return {node.member: node.transport.get_listen_addresses() for node in nodes}


def count_refusals(logs: Sequence[Mapping[str, object]]) -> int:
    return [entry["event"] for entry in logs].count("stranger_refused")


async def test_a_newcomer_that_dials_is_refused_until_it_is_a_member_and_let_in_from_then_on() -> None:
    with capture_logs() as logs:
        async with (
            open_node(make_settings(0, count=2)) as node,
            open_node(make_settings(NEWCOMER, count=3)) as newcomer,
        ):
            newcomer.update_addresses(node.member, node.transport.get_listen_addresses())
            await wait_until(lambda: count_refusals(logs) > 0)
            assert not newcomer.is_connected(node.member)
            node.set_members({**node.members, newcomer.member: ()})
            await node.transport.wait_connected(1)
            await newcomer.transport.publish(Topic.CONSENSUS, b"here I am")
            await wait_until(lambda: node.mailbox.get_bodies() == [b"here I am"])


@pytest.mark.parametrize(("us", "newcomer_index"), [(0, 1), (1, 0)], ids=["lower id joins", "higher id joins"])
async def test_a_newcomer_that_waits_is_dialled_as_soon_as_it_is_a_member(us: int, newcomer_index: int) -> None:
    alone = make_settings(us, count=10, members=frozenset({make_member(us)}))
    async with open_node(alone) as node, open_node(make_settings(newcomer_index, count=2)) as newcomer:
        node.set_members(where(node, newcomer))
        with trio.fail_after(5):
            await node.transport.wait_connected(1)
            await newcomer.transport.wait_connected(1)


async def test_a_member_that_left_is_cut_off_at_once_and_refused_whoever_dials() -> None:
    with capture_logs() as logs:
        async with open_nodes(3) as (first, second, leaver):
            first.set_members(where(first, second))
            assert not first.is_connected(leaver.member)
            with trio.fail_after(2):
                await wait_until(lambda: not leaver.is_connected(first.member))
            await wait_until(lambda: count_refusals(logs) > 0)
            assert leaver.is_connected(second.member)
            assert first.is_connected(second.member)
    ended = [entry["reason"] for entry in logs if entry["event"] == "peer_disconnected"]
    assert "no member any more" in ended


def is_cut_off(rogue: Rogue) -> bool:
    return not rogue.is_connected()


async def test_what_a_member_said_before_it_left_is_not_listened_to_any_more() -> None:
    heard: list[bytes] = []

    def part_with_it(_topic: Topic, _neighbour: MemberId, data: bytes) -> Admission:
        heard.append(data)
        target.set_members({target.member: ()})
        return Admission.ACCEPT

    settings = make_settings(1, count=2)
    topic = settings.get_topic_name(Topic.CONSENSUS)
    first, *others = (rpc_pb2.Message(topicIDs=[topic], data=b"%d" % number) for number in range(6))
    said = [rpc_pb2.RPC(publish=[first, others[0]]), *(rpc_pb2.RPC(publish=[message]) for message in others[1:])]
    said.append(rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic)]))
    # It arrives while the two still agree on the stream of the other direction, but not at the same point every time.
    for _ in range(12):
        heard.clear()
        async with open_node(make_settings(0, count=2), on_gossip=part_with_it) as target:
            async with open_rogue(settings, target) as rogue:
                stream = await rogue.open_gossip_stream()
                await stream.write(b"".join(encode_frame(rpc.SerializeToString()) for rpc in said))
                await wait_until(partial(is_cut_off, rogue))
            assert heard == [b"0"]
            assert find_traces(target) == {}


async def test_a_handshake_that_outlasts_the_membership_ends_in_nothing() -> None:
    key_pair = create_new_key_pair(make_settings(1, count=2).signing_seed)
    noise = Transport(key_pair, create_noise_key_pair().private_key)
    with capture_logs() as logs:
        async with open_node(make_settings(0, count=2)) as target:
            raw = TcpConnection(await trio.open_tcp_stream("127.0.0.1", get_port(target)), is_initiator=True)
            secured = await TransportUpgrader({PROTOCOL_ID: noise}, {}).upgrade_security(
                raw, is_initiator=True, peer_id=ID.from_base58(member_to_peer_id(target.member))
            )
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert count_refusals(logs) == 0
            target.set_members({target.member: ()})
            with trio.fail_after(5), suppress(MultiselectClientError, ConnectionClosedError):
                await MultiselectClient().select_one_of([TProtocol("/yamux/1.0.0")], MultiselectCommunicator(secured))
                await secured.read()
            raw.abort()
    assert count_refusals(logs) == 1
    assert "peer_connected" not in [entry["event"] for entry in logs]


async def test_a_dial_under_way_to_a_member_that_leaves_is_given_up() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    settings = make_settings(0, count=2, addresses={make_member(1): (f"/ip4/127.0.0.1/tcp/{port}",)})
    async with open_node(settings) as node, listeners[0]:
        dialled = await listeners[0].accept()
        async with dialled:
            assert await dialled.receive_some(1)
            node.set_members({node.member: ()})
            with trio.fail_after(2):
                while await dialled.receive_some():
                    pass
        with trio.move_on_after(1) as patience:
            await listeners[0].accept()
        assert patience.cancelled_caught


async def test_a_changed_address_is_used_from_the_next_dial_on() -> None:
    async with open_nodes(2) as (node, other):
        node.update_addresses(other.member, ("/ip4/127.0.0.1/tcp/1",))
        await trio.sleep(0.3)
        assert node.is_connected(other.member)
    unknown = make_settings(
        0, count=2, addresses={make_member(1): ("/ip4/127.0.0.1/tcp/1",)}, redial_min_ms=Millis(9_000)
    )
    async with open_node(unknown) as node, open_node(make_settings(1, count=2)) as other:
        await trio.sleep(0.3)
        node.set_members(where(node, other))
        with trio.fail_after(5):
            await node.transport.wait_connected(1)


async def test_the_operators_own_addresses_win_over_the_ledgers() -> None:
    async with open_node(make_settings(1, count=2)) as other:
        settings = make_settings(0, count=2, fixed_addresses=where(other), redial_min_ms=Millis(9_000))
        async with open_node(settings) as node:
            node.set_members({node.member: (), other.member: ("/ip4/127.0.0.1/tcp/1",)})
            with trio.fail_after(5):
                await node.transport.wait_connected(1)


def open_guided(guide: Node) -> AbstractAsyncContextManager[Node]:
    """Open a node that knows no member which is up, and whose operator has named somebody."""
    return open_node(make_settings(0, count=2, fixed_addresses=where(guide)))


async def test_whoever_the_operator_names_and_no_ledger_knows_guides_until_there_is_nothing_to_learn_from_it() -> None:
    """A node that was away for long may know only members that have left."""
    async with open_node(make_settings(3, count=4)) as guide, open_guided(guide) as node:
        with trio.fail_after(5):
            await node.transport.wait_connected(1)
        node.set_members({node.member: (), make_member(NEWCOMER): ()})
        assert node.is_connected(guide.member)
        node.transport.note_caught_up(guide.member)
        assert [peer.member for peer in node.transport.get_peers()] == [make_member(NEWCOMER)]
        await wait_until(lambda: not guide.is_connected(node.member))


async def test_a_guide_that_dials_is_refused_like_any_stranger() -> None:
    with capture_logs() as logs:
        nowhere = {make_member(3): ("/ip4/127.0.0.1/tcp/1",)}
        async with (
            open_node(make_settings(0, count=2, fixed_addresses=nowhere)) as node,
            open_node(make_settings(3, count=4)) as guide,
        ):
            guide.update_addresses(node.member, node.transport.get_listen_addresses())
            await wait_until(lambda: count_refusals(logs) > 0)
            assert not node.is_connected(guide.member)


async def test_a_guide_becomes_a_member_without_a_new_connection_and_leaves_for_good() -> None:
    with capture_logs() as logs:
        async with open_node(make_settings(3, count=4)) as guide, open_guided(guide) as node:
            await node.transport.wait_connected(1)
            node.set_members({node.member: (), guide.member: ()})
            node.transport.note_caught_up(guide.member)
            assert node.is_connected(guide.member)
            node.set_members({node.member: ()})
            assert node.transport.get_peers() == ()
            guide.update_addresses(node.member, node.transport.get_listen_addresses())
            await wait_until(lambda: count_refusals(logs) > 0)
            assert not node.is_connected(guide.member)


async def test_an_address_of_the_ledger_that_nobody_can_dial_is_complained_about_and_no_more() -> None:
    with capture_logs() as logs:
        async with open_nodes(2) as (node, other):
            node.set_members({**node.members, make_member(NEWCOMER): ("/ip4/192.0.2.1/udp/1/quic-v1", "nonsense")})
            await wait_until(lambda: any(entry["event"] == "dial_failed" for entry in logs))
            await node.transport.publish(Topic.CONSENSUS, b"life goes on")
            await wait_until(lambda: other.mailbox.get_bodies() == [b"life goes on"])


async def test_nothing_is_kept_of_those_that_left() -> None:
    async def answer(_member: MemberId, _request: bytes, send: SendFrame) -> None:
        await send(b"answer")

    async def ignore(_frame: bytes) -> None:
        pass

    services = {Service.SYNC: answer}
    async with open_node(make_settings(0, count=2), services=services) as stays:
        others = dict(stays.members)
        await trio.testing.wait_all_tasks_blocked(0.02)
        tasks_before = trio.lowlevel.current_statistics().tasks_living
        for index in range(2, 7):
            async with open_node(make_settings(index, count=10), services=services) as guest:
                guest.set_members(where(stays))
                stays.set_members({**others, **where(guest)})
                await stays.transport.wait_connected(1)
                await guest.transport.wait_connected(1)
                for asking, asked in ((stays, guest), (guest, stays)):
                    await asking.transport.request(asked.member, Service.SYNC, b"", ignore, timeout_ms=Millis(5_000))
                stays.transport.lower_score(guest.member, by=5)
                guest_id = ID.from_base58(member_to_peer_id(guest.member))
                for topic in stays.transport._gossip._mesh.mesh:
                    stays.transport._gossip._mesh._add_back_off(guest_id, topic, False)
                stays.set_members(others)
                stays.transport.lower_score(guest.member, by=5)
        await wait_until(lambda: trio.lowlevel.current_statistics().tasks_living == tasks_before)
        assert find_traces(stays) == {}


def find_traces(node: Node) -> dict[str, object]:
    """Return the books of a node's parts that are not empty, though nobody is connected and one member was never up."""
    transport = node.transport
    gossip = transport._gossip
    books: dict[str, object] = {
        "connections": transport._network.connections,
        "seen addresses": transport._network.seen_addresses,
        "bytes": transport._network._past_bytes,
        "scores": transport._scores._accounts,
        "limits": transport._client._limiters,
        "served": transport._server._running,
        "links": gossip._links,
        "peers": gossip.peers,
        "subscribers": set().union(*gossip.peer_topics.values()),
        "mesh": set().union(*gossip._mesh.mesh.values()),
        "protocols": gossip._mesh.peer_protocol,
        "back-off": [peer for until in gossip._mesh.back_off.values() for peer in until],
        "charges": transport._supervisor._charges.keys() - {make_member(1)},
    }
    return {name: book for name, book in books.items() if book}
