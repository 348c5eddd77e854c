"""Connections that come back: after a restart, a freeze, a new address; and never two where one is enough."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import trio
from structlog.testing import capture_logs

from protocol.gossip import Topic
from protocol.units import Millis
from tests.node.libp2p.members import (
    Node,
    introduce,
    make_member,
    make_settings,
    open_node,
    open_nodes,
    wait_until,
)


@contextmanager
def run_lone_node(index: int, count: int, friend: Node) -> Iterator[subprocess.Popen[str]]:
    address = friend.transport.get_listen_addresses()[0]
    arguments = [sys.executable, "-m", "tests.node.libp2p.lone_node", str(index), str(count), address]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def read_address(stdout: IO[str] | None) -> str:
    assert stdout is not None
    with trio.fail_after(20):
        while True:
            line: str = await trio.to_thread.run_sync(stdout.readline, abandon_on_cancel=True)
            assert line, "the node ended early"
            if line.startswith("/ip4"):
                return line.strip()


async def test_members_that_dial_at_the_same_time_keep_one_connection() -> None:
    with capture_logs() as logs:
        async with open_nodes(5, dial_pause_ms=Millis(0)) as nodes:
            connected = {
                node.member: {p.member for p in node.transport.get_peers() if p.is_connected} for node in nodes
            }
            await trio.sleep(0.5)
            assert all(len(others) == 4 for others in connected.values())
            assert all(node.is_connected(other) for node in nodes for other in connected[node.member])
            for node in nodes:
                await node.transport.publish(Topic.CONSENSUS, node.member)
            await wait_until(lambda: all(len(node.mailbox.messages) == 4 for node in nodes))
    replaced = [entry for entry in logs if "replaced" in str(entry.get("reason"))]
    # Each of the ten pairs gives up at most one connection, which both of its members see.
    assert len(replaced) <= 20


async def test_a_restarted_member_is_found_again_at_its_new_address() -> None:
    async with open_node(make_settings(0, count=2)) as stays:
        for _ in range(3):
            async with open_node(make_settings(1, count=2)) as restarted:
                introduce(stays, restarted)
                with trio.fail_after(5):
                    await stays.transport.wait_connected(1)
                    await restarted.transport.wait_connected(1)
                await stays.transport.publish(Topic.CONSENSUS, b"welcome back")
                await wait_until(lambda: restarted.mailbox.get_bodies() == [b"welcome back"])
            await wait_until(lambda: not stays.is_connected(make_member(1)))


async def test_one_side_that_knows_the_address_is_enough_whoever_has_the_lower_id() -> None:
    for knowing, known in ((0, 1), (1, 0)):
        async with (
            open_node(make_settings(knowing, count=2)) as dialler,
            open_node(make_settings(known, count=2)) as dialled,
        ):
            dialler.update_addresses(dialled.member, dialled.transport.get_listen_addresses())
            with trio.fail_after(5):
                await dialled.transport.wait_connected(1)


async def test_a_frozen_process_is_dropped_without_blocking_anybody_and_comes_back() -> None:
    changes = {"ping_interval_ms": Millis(100), "ping_timeout_ms": Millis(600), "outbox_bytes_max": 500_000}
    async with (
        open_node(make_settings(0, count=3, **changes)) as node,
        open_node(make_settings(1, count=3, **changes)) as witness,
    ):
        introduce(node, witness)
        await node.transport.wait_connected(1)
        with run_lone_node(2, 3, node) as process:
            await wait_until(lambda: node.is_connected(make_member(2)))
            await node.transport.wait_connected(2)
            process.send_signal(signal.SIGSTOP)
            started_at = trio.current_time()
            sent = 0
            while node.is_connected(make_member(2)):
                # More than a frozen peer's socket buffers take, so that writers do block on it.
                with trio.fail_after(1):
                    await node.transport.publish(Topic.CONSENSUS, b"%08d" % sent + bytes(100_000))
                sent += 1
                await trio.sleep(0.01)
            assert trio.current_time() - started_at < 5
            assert sent > 20
            await wait_until(lambda: len([b for b in witness.mailbox.get_bodies() if len(b) > 50_000]) == sent)
            process.send_signal(signal.SIGCONT)
            await wait_until(lambda: node.is_connected(make_member(2)))


async def test_a_killed_process_is_noticed_and_its_successor_is_heard() -> None:
    """Nothing of a quick restart is taken for a repetition: the first message of the new process arrives."""
    async with open_node(make_settings(0, count=2)) as node:
        for _ in range(2):
            with run_lone_node(1, 2, node) as process:
                await read_address(process.stdout)
                await node.transport.wait_connected(1)
                node.mailbox.messages.clear()
                await wait_until(lambda: len(node.mailbox.messages) > 3)
            await wait_until(lambda: not node.is_connected(make_member(1)))


async def test_pings_measure_the_round_trip_and_traffic_is_counted() -> None:
    async with open_nodes(2, ping_interval_ms=Millis(50)) as (node, other):
        await node.transport.publish(Topic.CONSENSUS, bytes(50_000))
        await wait_until(lambda: bool(other.mailbox.messages))
        (peer,) = node.transport.get_peers()
        await wait_until(lambda: node.transport.get_peers()[0].round_trip_ms is not None)
        assert peer.member == other.member
        assert peer.bytes_sent > 50_000
        assert peer.bytes_received > 100
        assert other.transport.get_listen_addresses()[0] in peer.addresses
