"""Each fault of the library that we work around, shown on the installed version.

A test that fails here is good news: the library has mended the fault, and the workaround that the message names, its
cure and this test can go.
"""

import importlib
import inspect
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import libp2p
import pytest
import trio
from libp2p.abc import ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.io.abc import Reader
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.network import swarm
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.connection_gate import ConnectionGate
from libp2p.peer.id import ID
from libp2p.pubsub import gossipsub, pubsub
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.mcache import MessageCache
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.validators import signature_validator
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream
from libp2p.tools.timed_cache.last_seen_cache import LastSeenCache
from libp2p.utils.varint import read_delim, read_length_prefixed_protobuf, read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

from node.libp2p_transport.workarounds import CHECKED_VERSION, WORKAROUNDS
from tests.node.libp2p.test_muxer import DATA, PING, SYN, WINDOW, frame, make_pair

TOPIC = "topic"


def make_id(index: int) -> ID:
    return ID.from_pubkey(create_new_key_pair(bytes([index]) * 32).public_key)


PEERS = [make_id(index) for index in range(1, 4)]


def still_faulty(name: str, evidence: bool) -> None:
    place = WORKAROUNDS[name].place
    assert evidence, f"libp2p has mended this: delete workaround {name} and its cure in {place}"


def get_default(function: object, parameter: str) -> object:
    return inspect.signature(cast(type, function)).parameters[parameter].default


def make_router(**changes: object) -> GossipSub:
    """A stock router of the library with three subscribed peers, on a pubsub object that only keeps its books."""
    router = GossipSub([PROTOCOL_ID_V11], degree=2, degree_low=2, degree_high=4, **changes)  # type: ignore[arg-type]
    books = SimpleNamespace(peer_topics={TOPIC: set(PEERS)}, peers=dict.fromkeys(PEERS), peer_queues={})
    router.pubsub = cast(pubsub.Pubsub, books)
    router.peer_protocol = dict.fromkeys(PEERS, PROTOCOL_ID_V11)
    router.mesh[TOPIC] = set()
    return router


class ByteReader(Reader):
    """Hands out bytes and counts how it is asked."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[int | None] = []

    async def read(self, n: int | None = None) -> bytes:
        self.asked.append(n)
        taken, self.data = self.data[:n], self.data[len(self.data) if n is None else n :]
        return taken


def import_longest(place: str) -> object:
    """Import as much of a dotted path as is modules."""
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError:
        return import_longest(place.rpartition(".")[0])


def count_modules(preparation: str) -> int:
    """Return how many modules a fresh process holds after it has imported the transport."""
    code = f"{preparation}; import sys, node.libp2p_transport; print(len(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    return int(done.stdout)


def test_the_entries_were_checked_on_the_installed_version() -> None:
    assert libp2p.__version__ == CHECKED_VERSION


def test_every_entry_names_a_cure_that_exists_and_has_a_test() -> None:
    for entry in WORKAROUNDS.values():
        package = "" if entry.place.startswith("node.") else "node.libp2p_transport."
        found = import_longest(package + entry.place)
        path = (package + entry.place).removeprefix(cast(ModuleType, found).__name__).strip(".").split(".")
        for name in path:
            found = getattr(found, name)
    shown = re.findall(r'still_faulty\(\s*"(\w+)"', Path(__file__).read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(WORKAROUNDS)


def test_spam_protection() -> None:
    router = make_router()
    message = rpc_pb2.Message(topicIDs=[TOPIC])
    passed = sum(router._check_spam_protection(PEERS[0], message) for _ in range(50))
    still_faulty("spam_protection", passed < 50)


def test_adaptive_gossip() -> None:
    slowest = cast(int, get_default(GossipSub, "heartbeat_interval"))
    still_faulty("adaptive_gossip", slowest > 10 or get_default(GossipSub, "adaptive_gossip_enabled") is True)


def test_eclipse_protection() -> None:
    still_faulty("eclipse_protection", get_default(GossipSub, "eclipse_protection_enabled") is True)


async def test_peer_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    router = make_router(do_px=False)
    dialled: list[rpc_pb2.PeerInfo] = []

    async def dial(peers: list[rpc_pb2.PeerInfo]) -> None:
        dialled.extend(peers)

    monkeypatch.setattr(router, "_do_px", dial)
    named = rpc_pb2.PeerInfo(peerID=PEERS[2].to_bytes())
    await router.handle_prune(rpc_pb2.ControlPrune(topicID=TOPIC, peers=[named]), PEERS[0])
    still_faulty("peer_exchange", dialled == [named])


async def test_accumulating_control(monkeypatch: pytest.MonkeyPatch) -> None:
    router = make_router()
    sent: dict[ID, list[str]] = {}

    async def emit(control: rpc_pb2.ControlMessage, peer: ID) -> None:
        sent[peer] = [graft.topicID for graft in control.graft]

    monkeypatch.setattr(router, "emit_control_message", emit)
    await router._emit_control_msgs({PEERS[0]: ["first"], PEERS[1]: ["second"]}, {}, {})
    still_faulty("accumulating_control", sent[PEERS[1]] != ["second"])


def test_ihave_not_in_back_off() -> None:
    router = make_router(adaptive_gossip_enabled=False)
    router.mcache.put(rpc_pb2.Message(topicIDs=[TOPIC], from_id=b"a", seqno=b"1"))
    router._add_back_off(PEERS[0], TOPIC, is_unsubscribe=False)
    still_faulty("ihave_not_in_back_off", set(router.gossip_heartbeat()) == set(PEERS[1:]))


def test_cache_ignores_message_ids() -> None:
    cache = MessageCache(3, 5)
    for data in (b"one", b"other"):
        cache.put(rpc_pb2.Message(topicIDs=[TOPIC], data=data))
    still_faulty("cache_ignores_message_ids", len(cache.window(TOPIC)) == 1)


def test_seen_cache_thread() -> None:
    before = threading.active_count()
    cache = LastSeenCache(120)
    started = threading.active_count() - before
    cache.stop()
    still_faulty("seen_cache_thread", started == 1 and ".stop()" not in inspect.getsource(pubsub))


def test_whole_second_sequence_numbers() -> None:
    still_faulty("whole_second_sequence_numbers", "int(time.time())" in inspect.getsource(pubsub.Pubsub.__init__))


def test_short_subscription_channel() -> None:
    still_faulty("short_subscription_channel", pubsub.SUBSCRIPTION_CHANNEL_SIZE < 1_000)


def test_short_send_queue() -> None:
    queue = RpcQueue()
    still_faulty("short_send_queue", not all(queue.push(rpc_pb2.RPC()) for _ in range(1_000)))


def test_record_in_every_envelope() -> None:
    emitters = (GossipSub.publish, GossipSub.emit_control_message, GossipSub.handle_iwant)
    still_faulty(
        "record_in_every_envelope", all("env_to_send_in_RPC" in inspect.getsource(emitter) for emitter in emitters)
    )
    assert "env_to_send_in_RPC" in vars(gossipsub)


def test_validator_errors_stop_pubsub() -> None:
    message = rpc_pb2.Message(data=b"x", topicIDs=[TOPIC], from_id=b"\x12\x20" + bytes(32), signature=b"s", key=b"\xff")
    try:
        signature_validator(message)
    except Exception:  # noqa: BLE001 - that it may be anything is the point
        is_raised = True
    else:
        is_raised = False
    guarded = re.search(r"try:\s+(if not )?signature_validator", inspect.getsource(pubsub.Pubsub.push_msg))
    still_faulty("validator_errors_stop_pubsub", is_raised and guarded is None)


async def test_length_read_byte_by_byte() -> None:
    reader = ByteReader(b"\x80\x01" + bytes(128))
    await read_varint_prefixed_bytes_limited(reader, 1_000)
    still_faulty("length_read_byte_by_byte", reader.asked[:2] == [1, 1])


async def test_unbounded_negotiation() -> None:
    reader = ByteReader(b"\xff\xff\xff\xff\xff\x7f")
    with pytest.raises(Exception, match=r"."):
        await read_delim(reader)
    still_faulty("unbounded_negotiation", max(n or 0 for n in reader.asked) > 2**40)


async def test_silent_write_after_close() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    stream = TrioTCPStream(await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]))
    await stream.close()
    is_silent = False
    with suppress(ConnectionClosedError):
        await stream.write(b"into the void")
        is_silent = True
    still_faulty("silent_write_after_close", is_silent)
    await listeners[0].aclose()


def test_plaintext_offered() -> None:
    host = libp2p.new_host(key_pair=create_new_key_pair(bytes(32)))
    upgrader = cast(swarm.Swarm, host.get_network()).upgrader
    offered = set(upgrader.security_multistream.transports)
    still_faulty("plaintext_offered", TProtocol("/plaintext/2.0.0") in offered)


def test_no_member_gate() -> None:
    parameters = [
        str(inspect.signature(member)) for _, member in inspect.getmembers(ConnectionGate, inspect.isfunction)
    ]
    still_faulty("no_member_gate", not any("ID" in signature or "peer" in signature for signature in parameters))


async def test_ignored_listen_failure() -> None:
    host = libp2p.new_host(key_pair=create_new_key_pair(bytes(32)))
    foreign = Multiaddr("/ip4/192.0.2.1/tcp/4001")
    async with host.run(listen_addrs=[foreign]):
        is_silent = not host.get_addrs()
    still_faulty("ignored_listen_failure", is_silent)


def test_inbound_slots_never_returned() -> None:
    source = inspect.getsource(swarm.Swarm._do_handle_inbound_connection)
    held = re.search(r"upgrade_inbound_raw_conn\(.*\)\s+(#.*\s+)?await self\.manager\.wait_finished\(\)", source)
    still_faulty("inbound_slots_never_returned", held is not None)


def test_negative_dial_cache() -> None:
    cache = swarm._NegativePeerCache()
    cache.mark_failed("peer")
    still_faulty("negative_dial_cache", cache.is_blocked("peer"))


def test_dial_head_start() -> None:
    still_faulty("dial_head_start", swarm._HAPPY_EYEBALLS_DELAY > 0)


def test_unguarded_stream_handlers() -> None:
    callers = inspect.getsource(SwarmConn._handle_muxed_stream) + inspect.getsource(BasicHost._swarm_stream_handler)
    after_handler = (
        callers.split("await handler(net_stream)")[1] + callers.split("common_stream_handler(net_stream)")[1]
    )
    still_faulty("unguarded_stream_handlers", "except" not in after_handler.split("async def")[0])


async def test_window_overrun_only_logged() -> None:
    rogue, end = make_pair(capacity=100)
    muxer = Yamux(cast(ISecureConn, end), PEERS[0], is_initiator=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxer.start)
        await rogue.write(frame(WINDOW, SYN, 1, 0))
        for _ in range(20):
            await rogue.write(frame(DATA, 0, 1, 60_000, bytes(60_000)))
        await trio.testing.wait_all_tasks_blocked(0.05)
        still_faulty("window_overrun_only_logged", len(muxer.stream_buffers[1]) == 1_200_000)
        nursery.cancel_scope.cancel()


def test_five_second_window_wait() -> None:
    write = inspect.getsource(YamuxStream.write)
    still_faulty("five_second_window_wait", "move_on_after(5.0)" in write and "sleep(0.01)" in write)


async def test_close_waits_for_the_peer() -> None:
    _, end = make_pair()
    muxer = Yamux(cast(ISecureConn, end), PEERS[0], is_initiator=True)
    with trio.move_on_after(0.5) as scope:
        await muxer.close()
    still_faulty("close_waits_for_the_peer", scope.cancelled_caught)


async def test_goes_on_after_write_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rogue, end = make_pair(capacity=10)
    muxer = Yamux(cast(ISecureConn, end), PEERS[0], is_initiator=False)

    async def fail(data: bytes) -> None:
        raise ConnectionClosedError("gone")

    monkeypatch.setattr(end, "write", fail)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxer.start)
        await rogue.write(frame(PING, SYN, 0, 1))
        await trio.sleep(0.1)
        still_faulty("goes_on_after_write_error", not muxer.event_shutting_down.is_set())
        nursery.cancel_scope.cancel()


def test_pings_without_deadline() -> None:
    loop = inspect.getsource(Yamux._measure_rtt_loop)
    still_faulty("pings_without_deadline", "cancelled_caught" not in loop and "close" not in loop.split("except")[0])


async def test_faults_of_any_class() -> None:
    with pytest.raises(Exception, match="No length prefix") as caught:
        await read_length_prefixed_protobuf(cast(libp2p.abc.INetStream, ByteReader(b"")))
    still_faulty("faults_of_any_class", caught.type is Exception)


def test_heavy_package_code() -> None:
    lean = "from node.lean_import import *; skip_package_code(*LIBP2P_PACKAGES)"
    still_faulty("heavy_package_code", count_modules("pass") > count_modules(lean) + 200)
