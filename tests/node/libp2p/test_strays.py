"""Two networks of the same members: somebody has another genesis document, and both sides are told so."""

import trio
from structlog.testing import capture_logs

from protocol.units import Digest
from tests.node.libp2p.members import Node, introduce, make_settings, open_node, wait_until


def is_stray(node: Node) -> bool:
    return any(peer.is_stray and not peer.is_connected for peer in node.transport.get_peers())


async def test_a_member_of_another_network_is_told_from_one_that_is_away() -> None:
    other_chain = Digest(b"d" * 32)
    with capture_logs() as logs:
        async with (
            open_node(make_settings(0, count=3)) as node,
            open_node(make_settings(1, count=3, chain_id=other_chain)) as other,
        ):
            introduce(node, other)
            await wait_until(lambda: is_stray(node) and is_stray(other))
            assert [peer.is_stray for peer in node.transport.get_peers()].count(True) == 1
    assert [entry["event"] for entry in logs].count("other_network") == 2


async def test_members_that_cannot_agree_do_not_connect_again_and_again() -> None:
    with capture_logs() as logs:
        async with (
            open_node(make_settings(0, count=2)) as node,
            open_node(make_settings(1, count=2, chain_id=Digest(b"d" * 32))) as other,
        ):
            introduce(node, other)
            await wait_until(lambda: is_stray(node) and is_stray(other))
            await trio.sleep(2.0)
    # Without a pause there are hundreds a second.
    assert [entry["event"] for entry in logs].count("peer_connected") < 20


async def test_who_comes_back_to_the_network_is_no_stray_any_more() -> None:
    async with open_node(make_settings(0, count=2)) as node:
        async with open_node(make_settings(1, count=2, chain_id=Digest(b"d" * 32))) as other:
            introduce(node, other)
            await wait_until(lambda: is_stray(node))
        async with open_node(make_settings(1, count=2)) as back:
            introduce(node, back)
            await wait_until(lambda: node.is_connected(back.member))
            assert not is_stray(node)
