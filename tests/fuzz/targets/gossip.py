"""W3, W4: gossip envelopes of a connected member: judged, forwarded or charged for; only LinkFailed ends the stream.

An input is what comes on the gossip stream: envelopes in libp2p's protobuf, each behind its length.
"""

import random
from contextlib import suppress
from functools import cache
from typing import Final, cast

import trio
import trio.testing
from libp2p.pubsub.pb import rpc_pb2

from node.libp2p_transport import mesh
from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.frames import encode_frame
from node.libp2p_transport.gossip import Gossip
from node.libp2p_transport.muxer import MuxedStream
from node.libp2p_transport.network import Connection, Network
from protocol.gossip import Admission, Topic
from protocol.units import MemberId, Millis
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.driving import hush_logs, run_virtually
from tests.fuzz.recording import record
from tests.fuzz.target import Target
from tests.fuzz.targets.streams import FedStream, make_settings

SENDER: Final = MemberId(bytes([7] * 32))
OTHERS: Final = (MemberId(bytes([8] * 32)), MemberId(bytes([9] * 32)))
GOES_ON_S: Final = 3.0


class FakeConnection:
    """A connection, as far as gossip looks at it."""

    def __init__(self, member: MemberId) -> None:
        self.member = member
        self.end_reason: str | None = None

    def drop(self, reason: str) -> None:
        self.end_reason = reason


class FakeNetwork:
    """Opens streams that take everything, and counts what members are charged for."""

    def __init__(self) -> None:
        self.streams: dict[MemberId, FedStream] = {}
        self.strays: set[MemberId] = set()
        self.costs = 0

    async def open_stream(self, member: MemberId, _protocol: str) -> FedStream:
        return self.streams.setdefault(member, FedStream(b"", chunk_bytes=1))

    def punish(self, _member: MemberId, cost: int, _reason: str) -> None:
        self.costs += cost


def run(data: bytes) -> None:
    """Let a member send these bytes, and go on for some heartbeats."""
    hush_logs()
    run_virtually(lambda: _gossip(data))


async def _gossip(data: bytes) -> None:
    network = FakeNetwork()
    settings = make_settings()
    gossip = Gossip(settings, cast(Network, network), Complaints(interval_ms=Millis(1)), on_gossip=_judge)
    connection = FakeConnection(SENDER)
    async with trio.open_nursery() as nursery:
        for member in (SENDER, *OTHERS):
            link = connection if member == SENDER else FakeConnection(member)
            nursery.start_soon(gossip.run_connection, cast(Connection, link))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(gossip.run_heartbeat)
        stream = FedStream(data, chunk_bytes=65_536)
        with suppress(LinkFailed):
            await gossip.serve_stream(cast(Connection, connection), cast(MuxedStream, stream))
        await trio.sleep(GOES_ON_S)
        _check_bounds(gossip)
        nursery.cancel_scope.cancel()


def _judge(_topic: Topic, _member: MemberId, message: bytes) -> Admission:
    return tuple(Admission)[len(message) % 3]


def _check_bounds(gossip: Gossip) -> None:
    known = {make_settings().get_topic_name(topic) for topic in Topic}
    assert gossip.peer_topics.keys() <= known, "a topic of the peer's own is remembered"
    assert gossip._mesh.mesh.keys() <= known, "the mesh has a topic of the peer's own"
    for link in gossip._links.values():
        assert link.outbox._bytes <= make_settings().outbox_bytes_max, "an outbox is over its limit"
    assert len(gossip.seen_messages._expiries) <= mesh._SEEN_MAX


def _get_topic(topic: Topic) -> str:
    return make_settings().get_topic_name(topic)


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return envelopes that honest members send."""
    message = record().get_messages(Topic.OPERATIONS)[0]
    topics = [_get_topic(topic) for topic in Topic]
    hello = rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=name) for name in topics])
    publish = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=message, topicIDs=[topics[1]], seqno=b"\x00\x03")])
    message_id = mesh.compute_message_id(publish.publish[0])
    control = rpc_pb2.RPC(
        control=rpc_pb2.ControlMessage(
            ihave=[rpc_pb2.ControlIHave(topicID=topics[0], messageIDs=[message_id])],
            iwant=[rpc_pb2.ControlIWant(messageIDs=[message_id])],
            graft=[rpc_pb2.ControlGraft(topicID=topics[0])],
            prune=[rpc_pb2.ControlPrune(topicID=topics[1], backoff=10)],
        )
    )
    frames = [encode_frame(envelope.SerializeToString()) for envelope in (hello, publish, control)]
    return b"".join(frames), frames[1], frames[2]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change bytes, or one envelope in its own terms, or add one."""
    if chance.random() < 0.3:
        return mutate_bytes(data, chance)
    envelope = rpc_pb2.RPC()
    for _ in range(chance.choice([1, 1, 2, 4])):
        _add_part(envelope, chance)
    body = envelope.SerializeToString()
    if chance.random() < 0.2:
        body = mutate_bytes(body, chance)
    return encode_frame(body) + data if chance.random() < 0.5 else data + encode_frame(body)


def _add_part(envelope: rpc_pb2.RPC, chance: random.Random) -> None:
    topics = [*(_get_topic(topic) for topic in Topic), "", "another", "\x00" * 900]
    ids = [chance.randbytes(chance.choice([0, 8, 20, 60])) for _ in range(chance.choice([1, 2, 40]))]
    topic = chance.choice(topics)
    match chance.randrange(7):
        case 0:
            named = [topic] * chance.choice([0, 1, 1, 1, 2])
            number = chance.choice([b"", b"\x00\x01", b"\xff\xff", bytes(40)])
            data = chance.randbytes(chance.choice([0, 1, 2, 300]))
            envelope.publish.append(rpc_pb2.Message(data=data, topicIDs=named, seqno=number))
        case 1:
            count = chance.choice([1, 100])
            asked = chance.random() < 0.7
            envelope.subscriptions.extend([rpc_pb2.RPC.SubOpts(subscribe=asked, topicid=topic)] * count)
        case 2:
            envelope.control.ihave.append(rpc_pb2.ControlIHave(topicID=topic, messageIDs=ids))
        case 3:
            envelope.control.iwant.append(rpc_pb2.ControlIWant(messageIDs=ids))
        case 4:
            envelope.control.graft.extend([rpc_pb2.ControlGraft(topicID=topic)] * chance.choice([1, 70]))
        case 5:
            backoff = chance.choice([0, 1, 10, 2**63, 2**64 - 1])
            peers = [rpc_pb2.PeerInfo(peerID=chance.randbytes(34), signedPeerRecord=b"record")]
            envelope.control.prune.append(rpc_pb2.ControlPrune(topicID=topic, backoff=backoff, peers=peers))
        case _:
            envelope.control.idontwant.append(rpc_pb2.ControlIDontWant(messageIDs=ids))


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate)
