"""Gossip (W3): publishing to all, judging before forwarding, and the streams that carry it.

Each pair of connected members has one stream per direction. What we publish goes to every connected member, and says
to how many. What we accept goes on to our neighbours in the mesh, unless it came straight from a publisher that reached
as many members as we could: in a healthy network no message is sent twice, and that is most of what gossip costs. What
somebody still missed it learns of from the next heartbeat. A message is judged synchronously by the handler before
anything else happens with it, once per content.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, cast

import structlog
import trio
from google.protobuf.message import DecodeError
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub

from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed, PeerBrokeRules, ProtocolUnknown, library_faults
from node.libp2p_transport.frames import FrameReader, encode_frame
from node.libp2p_transport.mesh import Mesh, SeenMessages, compute_message_id
from node.libp2p_transport.muxer import MuxedStream
from node.libp2p_transport.network import Connection, Network
from node.libp2p_transport.settings import TransportSettings
from node.peer_ids import member_to_peer_id
from node.ports import GossipHandler
from protocol.errors import InvariantViolation
from protocol.gossip import Admission, Topic
from protocol.units import MemberId

_REJECT_COST: Final = 10
_REACH_BYTES: Final = 2
"""The field for the sequence number carries, from the publisher itself only, to how many members it went."""
_FRAMES_PER_TURN: Final = 8
_WRITE_BYTES: Final = 65_536
_CONTROL_ENTRIES_MAX: Final = 64
_CONTROL_IDS_MAX: Final = 2_000
_HEARTBEAT_RESTART_S: Final = 1.0
_STRAY_S: Final = 1.0
"""How long a connection with a member of another network is kept, so that its side learns of it as well."""

_log = structlog.get_logger(__name__)


class Outbox:
    """The frames that wait for one peer, bounded in bytes; control goes first."""

    def __init__(self, *, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._urgent: deque[bytes] = deque()
        self._frames: deque[bytes] = deque()
        self._filled = trio.lowlevel.ParkingLot()

    def put_nowait(self, frame: bytes, *, is_urgent: bool) -> bool:
        """Add a frame unless the outbox is full; return whether it was added."""
        if self._bytes + len(frame) > self._bytes_max:
            return False
        (self._urgent if is_urgent else self._frames).append(frame)
        self._bytes += len(frame)
        self._filled.unpark_all()
        return True

    async def take(self) -> bytes:
        """Wait for frames and return as many as make one decent write."""
        while not self._bytes:
            await self._filled.park()
        batch: list[bytes] = []
        size = 0
        while (queue := self._urgent or self._frames) and (not batch or size + len(queue[0]) <= _WRITE_BYTES):
            size += len(queue[0])
            batch.append(queue.popleft())
        self._bytes -= size
        return b"".join(batch)


@dataclass(slots=True, kw_only=True, eq=False)
class _Link:
    """One peer's half of the gossip state."""

    connection: Connection
    peer: ID
    outbox: Outbox
    topics: set[str] = field(default_factory=set)
    """What the peer subscribes to."""
    is_reading: bool = False
    is_writing: bool = False


class Gossip:
    """The gossip of all topics; also what the library's router takes for its pubsub object."""

    def __init__(
        self, settings: TransportSettings, network: Network, complaints: Complaints, *, on_gossip: GossipHandler
    ) -> None:
        self.peers: dict[ID, MemberId] = {}
        self.peer_topics: dict[str, set[ID]] = {}
        self.seen_messages = SeenMessages()
        self.dropped_count = 0
        self._settings = settings
        self._network = network
        self._complaints = complaints
        self._on_gossip = on_gossip
        self._topics = {settings.get_topic_name(topic): topic for topic in Topic}
        self._links: dict[MemberId, _Link] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self._mesh = Mesh(degree=settings.mesh_degree, heartbeat_s=settings.heartbeat_ms / 1000, send=self._send)
        self._mesh.attach(cast(Pubsub, self))
        self._mesh.mesh.update({name: set() for name in self._topics})

    # What the library's router asks of its pubsub object.

    def get_message_id(self, message: rpc_pb2.Message) -> bytes:
        """Return the id under which the router knows a message."""
        return compute_message_id(message)

    # What the transport asks.

    def publish(self, topic: Topic, data: bytes) -> None:
        """Queue a message for every connected member.

        Raises:
            InvariantViolation: It is larger than any node would take.
        """
        if len(data) > self._settings.gossip_bytes_max:
            raise InvariantViolation(f"a gossip message of {len(data)} bytes is over the limit")
        message = rpc_pb2.Message(data=data, topicIDs=[self._settings.get_topic_name(topic)])
        self.seen_messages.add(compute_message_id(message))
        self._mesh.mcache.put(message)
        reach = len(self._links).to_bytes(_REACH_BYTES, "big")
        original = rpc_pb2.Message(data=data, topicIDs=message.topicIDs, seqno=reach)
        frame = encode_frame(rpc_pb2.RPC(publish=[original]).SerializeToString())
        for link in self._links.values():
            self._put(link, frame, is_urgent=False)

    def get_ready_count(self) -> int:
        """Return the number of members with which gossip flows in both directions."""
        return sum(
            link.is_reading and link.is_writing and len(link.topics) == len(self._topics)
            for link in self._links.values()
        )

    async def wait_ready(self, count: int) -> None:
        """Wait until gossip flows with at least ``count`` members."""
        while self.get_ready_count() < count:
            await self._changed.park()

    async def run_heartbeat(self) -> None:
        """Care for the mesh for ever; a fault of the library costs one heartbeat, not the node."""
        while True:
            try:
                with library_faults("gossip heartbeat"):
                    await self._mesh.heartbeat()
            except LinkFailed as error:
                _log.error("heartbeat_failed", reason=error.reason, exc_info=error.__cause__)
                await trio.sleep(_HEARTBEAT_RESTART_S)

    async def run_connection(self, connection: Connection) -> None:
        """Open our stream to a new peer and send it what its outbox gets, until the connection ends."""
        try:
            self._get_link(connection)
            stream = await self._network.open_stream(connection.member, self._settings.get_gossip_protocol())
            await stream.write(encode_frame(self._make_hello()))
            # Meanwhile the connection may have ended, and its link with it.
            link = self._get_link(connection)
            self.peers[link.peer] = connection.member
            self._mesh.add_peer(link.peer, PROTOCOL_ID_V11)
            link.is_writing = True
            self._network.strays.discard(connection.member)
            self._changed.unpark_all()
            for topic in tuple(link.topics):
                await self._mesh.on_peer_subscribed(link.peer, topic)
            while True:
                await stream.write(await link.outbox.take())
        except ProtocolUnknown:
            self._network.strays.add(connection.member)
            self._complaints.log("other_network", about=member_to_peer_id(connection.member))
            await trio.sleep(_STRAY_S)
            connection.drop("it runs another network")
        except LinkFailed as error:
            connection.drop(error.reason)
        finally:
            self._forget(connection)

    async def serve_stream(self, connection: Connection, stream: MuxedStream) -> None:
        """Read a peer's gossip stream until it ends; then the connection is of no use."""
        link = self._get_link(connection)
        if link.is_reading:
            raise PeerBrokeRules("opened a second gossip stream")
        link.is_reading = True
        self._changed.unpark_all()
        frames = FrameReader(stream, frame_bytes_max=self._settings.get_rpc_bytes_max())
        count = 0
        while (frame := await frames.read_frame()) is not None:
            await self._on_rpc(link, frame)
            count += 1
            if count % _FRAMES_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        connection.drop("the peer ended its gossip stream")

    def forget(self, member: MemberId) -> None:
        """Drop everything about somebody who is no member any more."""
        link = self._links.get(member)
        if link is not None:
            self._forget(link.connection)
        self._mesh.forget(ID.from_base58(member_to_peer_id(member)))

    def _get_link(self, connection: Connection) -> _Link:
        if connection.end_reason is not None:
            raise LinkFailed(connection.end_reason)
        link = self._links.get(connection.member)
        if link is None or link.connection is not connection:
            link = _Link(
                connection=connection,
                peer=ID.from_base58(member_to_peer_id(connection.member)),
                outbox=Outbox(bytes_max=self._settings.outbox_bytes_max),
            )
            self._links[connection.member] = link
        return link

    def _forget(self, connection: Connection) -> None:
        link = self._links.get(connection.member)
        if link is None or link.connection is not connection:
            return
        del self._links[connection.member]
        self.peers.pop(link.peer, None)
        for subscribers in self.peer_topics.values():
            subscribers.discard(link.peer)
        self._mesh.remove_peer(link.peer)
        self._changed.unpark_all()

    def _make_hello(self) -> bytes:
        subscriptions = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid=name) for name in self._topics]
        return rpc_pb2.RPC(subscriptions=subscriptions).SerializeToString()

    async def _on_rpc(self, link: _Link, frame: bytes) -> None:
        try:
            rpc = rpc_pb2.RPC.FromString(frame)
        except DecodeError as error:
            raise PeerBrokeRules("sent a gossip envelope that does not decode") from error
        for message in rpc.publish:
            self._on_message(link, message)
        if link.connection.end_reason is not None:
            # It ended while this lay in a buffer, or by what it said; its link may be forgotten already.
            return
        for subscription in rpc.subscriptions[:_CONTROL_ENTRIES_MAX]:
            await self._on_subscription(link, subscription)
        if rpc.HasField("control"):
            self._trim_control(rpc.control)
            with library_faults("gossip control"):
                await self._mesh.handle_rpc(rpc, link.peer)

    async def _on_subscription(self, link: _Link, subscription: rpc_pb2.RPC.SubOpts) -> None:
        topic = subscription.topicid
        if topic not in self._topics:
            return
        subscribers = self.peer_topics.setdefault(topic, set())
        if subscription.subscribe:
            link.topics.add(topic)
            subscribers.add(link.peer)
            with library_faults("gossip subscription"):
                await self._mesh.on_peer_subscribed(link.peer, topic)
        else:
            link.topics.discard(topic)
            subscribers.discard(link.peer)
        self._changed.unpark_all()

    def _on_message(self, link: _Link, message: rpc_pb2.Message) -> None:
        if link.connection.end_reason is not None:
            return
        member = link.connection.member
        topic = self._topics.get(message.topicIDs[0]) if len(message.topicIDs) == 1 else None
        if topic is None or len(message.data) > self._settings.gossip_bytes_max:
            self._network.punish(member, _REJECT_COST, "sent gossip of no known topic or over the limit")
            return
        if not self.seen_messages.add(compute_message_id(message)):
            return
        match self._on_gossip(topic, member, message.data):
            case Admission.ACCEPT:
                self._forward(message, forwarder=member)
            case Admission.IGNORE:
                pass
            case Admission.REJECT:
                self._network.punish(member, _REJECT_COST, "sent gossip that breaks the rules")

    def _forward(self, message: rpc_pb2.Message, *, forwarder: MemberId) -> None:
        plain = rpc_pb2.Message(data=message.data, topicIDs=message.topicIDs)
        self._mesh.mcache.put(plain)
        if message.seqno and int.from_bytes(message.seqno[:_REACH_BYTES], "big") >= len(self._links):
            return
        frame = encode_frame(rpc_pb2.RPC(publish=[plain]).SerializeToString())
        for peer in self._mesh.mesh[message.topicIDs[0]]:
            member = self.peers.get(peer)
            if member is not None and member != forwarder:
                self._put(self._links[member], frame, is_urgent=False)

    def _trim_control(self, control: rpc_pb2.ControlMessage) -> None:
        """Keep of a peer's control only what concerns our topics, and not more of it than any honest peer sends."""
        for entries in (control.graft, control.prune, control.ihave):
            kept = [entry for entry in entries if entry.topicID in self._topics][:_CONTROL_ENTRIES_MAX]
            del entries[:]
            entries.extend(kept)  # type: ignore[arg-type]  # each list gets its own entries back
        del control.iwant[_CONTROL_ENTRIES_MAX:]
        control.ClearField("idontwant")
        for told in control.ihave:
            del told.messageIDs[_CONTROL_IDS_MAX:]
        for asked in control.iwant:
            del asked.messageIDs[_CONTROL_IDS_MAX:]

    def _send(self, peer: ID, rpc: rpc_pb2.RPC) -> None:
        member = self.peers.get(peer)
        if member is not None:
            self._put(self._links[member], encode_frame(rpc.SerializeToString()), is_urgent=rpc.HasField("control"))

    def _put(self, link: _Link, frame: bytes, *, is_urgent: bool) -> None:
        if not link.outbox.put_nowait(frame, is_urgent=is_urgent):
            self.dropped_count += 1
            self._complaints.log("gossip_overflowed", about=member_to_peer_id(link.connection.member))
