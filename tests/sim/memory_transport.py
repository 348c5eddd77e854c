"""The Transport port on a heap: nodes in one event loop that exchange bytes over links that tests can slow and cut.

Tier B's network. Time is trio's, so a mock clock makes it virtual; nothing here draws at random: what a link does to a
message is asked of whoever simulates faults. A message outlives its sender, as a packet does.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from node.errors import NodeError, PeerMisbehaved, PeerUnreachable
from node.ports import GossipHandler, PeerStatus, ReceiveFrame, RequestHandler, Service
from protocol.errors import ProtocolError
from protocol.gossip import Admission, Topic
from protocol.units import MemberId, Millis

FRAME_BYTES_MAX: Final = 524_288
GOSSIP_BYTES_MAX: Final = 262_144
REJECT_COST: Final = 10


def deliver_once() -> tuple[float, ...]:
    """Deliver a message once and at once."""
    return (0.0,)


def hear_nothing(_sender: MemberId, _topic: Topic, _message: bytes) -> None:
    """Let a message pass unseen."""


@dataclass(slots=True, kw_only=True)
class Link:
    """One direction between two nodes."""

    delay_s: float = 0.0
    """Of every gossip message and every frame."""
    is_cut: bool = False
    frames_max: int | None = None
    """The stream is cut after this many frames of a response; None is never."""
    draw_copies: Callable[[], tuple[float, ...]] = deliver_once
    """Gives the further delay of each copy of a gossip message, in seconds: none loses it, two double it."""
    thawed: trio.Event | None = None
    """While a link is frozen, nothing passes and nobody notices; what waits passes once this is set."""

    def freeze(self) -> None:
        """Stop everything on the way without breaking the connection, like a stopped process or a pulled cable."""
        if self.thawed is None:
            self.thawed = trio.Event()

    def thaw(self) -> None:
        """Let everything pass again."""
        thawed, self.thawed = self.thawed, None
        if thawed is not None:
            thawed.set()

    async def carry(self, further_s: float = 0.0) -> None:
        """Take the time that this link takes."""
        await trio.sleep(self.delay_s + further_s)
        while self.thawed is not None:
            await self.thawed.wait()


@dataclass(slots=True, kw_only=True)
class _Attached:
    gossip: GossipHandler
    services: Mapping[Service, RequestHandler]
    transport: "MemoryTransport"


@dataclass(slots=True)
class MemoryNetwork:
    """All nodes and the links between them."""

    members: tuple[MemberId, ...]
    """Whom every node takes for a member until it is told otherwise."""
    nursery: trio.Nursery
    links: dict[tuple[MemberId, MemberId], Link] = field(default_factory=dict)
    attached: dict[MemberId, _Attached] = field(default_factory=dict)
    exchanges: dict[trio.CancelScope, tuple[MemberId, MemberId]] = field(default_factory=dict)
    """Requests on their way, and whose they are."""
    requests: list[tuple[MemberId, MemberId, bytes]] = field(default_factory=list)
    """Every request ever made: from, to, bytes."""
    on_publish: Callable[[MemberId, Topic, bytes], None] = hear_nothing
    """Sees every gossip message when it leaves its author."""

    def get_link(self, source: MemberId, target: MemberId) -> Link:
        """Return one direction between two nodes; change it to change the network."""
        return self.links.setdefault((source, target), Link())

    def attach(
        self, member: MemberId, *, gossip: GossipHandler, services: Mapping[Service, RequestHandler]
    ) -> "MemoryTransport":
        """Bring a node up."""
        transport = MemoryTransport(network=self, member=member, addresses=dict.fromkeys(self.members, ()))
        self.attached[member] = _Attached(gossip=gossip, services=services, transport=transport)
        return transport

    def detach(self, member: MemberId) -> None:
        """Take a node down, with everything that it had under way."""
        self.attached.pop(member, None)
        for scope, ends in tuple(self.exchanges.items()):
            if member in ends:
                scope.cancel()

    def part(self, member: MemberId, other: MemberId) -> None:
        """End everything under way between two nodes of which one is no member for the other any more."""
        for scope, ends in tuple(self.exchanges.items()):
            if set(ends) == {member, other}:
                scope.cancel()

    def is_connected(self, source: MemberId, target: MemberId) -> bool:
        """Return whether both nodes are up, each takes the other for a member, and neither direction is cut."""
        ends = self.attached.get(source), self.attached.get(target)
        if ends[0] is None or ends[1] is None:
            return False
        are_members = target in ends[0].transport.addresses and source in ends[1].transport.addresses
        return are_members and not self.is_cut(source, target)

    def is_cut(self, source: MemberId, target: MemberId) -> bool:
        """Return whether either direction is cut: there is no half of a connection."""
        return self.get_link(source, target).is_cut or self.get_link(target, source).is_cut


@dataclass(slots=True, kw_only=True)
class MemoryTransport:
    """One node's end of the network; implements the Transport port."""

    network: MemoryNetwork
    member: MemberId
    addresses: dict[MemberId, tuple[str, ...]]
    """Of every member; nothing is dialled here."""
    scores: dict[MemberId, int] = field(default_factory=dict)

    async def publish(self, topic: Topic, message: bytes) -> None:
        """See the port."""
        assert type(message) is bytes
        assert len(message) <= GOSSIP_BYTES_MAX
        await trio.lowlevel.checkpoint()
        holder = self.network.attached.get(self.member)
        if holder is None or holder.transport is not self:
            # The node is down; only its dying tasks do not know it yet.
            return
        self.network.on_publish(self.member, topic, message)
        for target in self.addresses:
            if target != self.member and self.network.is_connected(self.member, target):
                for further_s in self.network.get_link(self.member, target).draw_copies():
                    self.network.nursery.start_soon(self._deliver, target, topic, message, further_s)

    async def request(
        self, member: MemberId, service: Service, request: bytes, receive: ReceiveFrame, *, timeout_ms: Millis
    ) -> None:
        """See the port."""
        network = self.network
        network.requests.append((self.member, member, request))
        await trio.lowlevel.checkpoint()
        if not network.is_connected(self.member, member):
            raise PeerUnreachable("not connected")
        is_finished = False
        with trio.move_on_after(timeout_ms / 1000) as scope:
            network.exchanges[scope] = (self.member, member)
            try:
                await self._exchange(member, service, request, receive)
                is_finished = True
            finally:
                del network.exchanges[scope]
        if not is_finished:
            raise PeerUnreachable("too slow, or the peer went down or is no member any more")

    def get_peers(self) -> tuple[PeerStatus, ...]:
        """See the port."""
        return tuple(
            PeerStatus(
                member=peer,
                is_connected=self.network.is_connected(self.member, peer),
                addresses=self.addresses[peer],
                bytes_received=0,
                bytes_sent=0,
                score=self.scores.get(peer, 0),
                round_trip_ms=None,
            )
            for peer in sorted(self.addresses)
            if peer != self.member
        )

    def lower_score(self, member: MemberId, *, by: int) -> None:
        """See the port."""
        if member in self.addresses:
            self.scores[member] = self.scores.get(member, 0) - by

    def set_members(self, members: Mapping[MemberId, tuple[str, ...]]) -> None:
        """See the port."""
        for left in sorted(self.addresses.keys() - members.keys()):
            self.scores.pop(left, None)
            self.network.part(self.member, left)
        self.addresses = dict(members)

    async def _deliver(self, target: MemberId, topic: Topic, message: bytes, further_s: float) -> None:
        await self.network.get_link(self.member, target).carry(further_s)
        receiver = self.network.attached.get(target)
        if receiver is None or self.network.is_cut(self.member, target):
            return
        if self.member not in receiver.transport.addresses:
            return
        if receiver.gossip(topic, self.member, message) is Admission.REJECT:
            receiver.transport.lower_score(self.member, by=REJECT_COST)

    async def _exchange(self, target: MemberId, service: Service, request: bytes, receive: ReceiveFrame) -> None:
        link = self.network.get_link(target, self.member)
        await self.network.get_link(self.member, target).carry()
        holder = self.network.attached.get(target)
        handler = None if holder is None else holder.services.get(service)
        if handler is None:
            raise PeerUnreachable(f"the peer does not serve {service}")
        frames_count = 0
        refusals: list[NodeError] = []
        """What the requester raised, as opposed to what the handler raised."""

        async def send(frame: bytes) -> None:
            nonlocal frames_count
            frames_count += 1
            await link.carry()
            try:
                if link.frames_max is not None and frames_count > link.frames_max:
                    raise PeerUnreachable("the stream was cut before its end")
                if len(frame) > FRAME_BYTES_MAX:
                    raise PeerMisbehaved("a frame over the limit")
                await receive(bytes(frame))
            except NodeError as error:
                refusals.append(error)
                raise

        try:
            await handler(self.member, request, send)
        except (ProtocolError, NodeError) as error:
            if error in refusals:
                raise
            raise PeerUnreachable(f"the peer reset the stream: {error}") from error


@asynccontextmanager
async def open_memory_network(*members: MemberId) -> AsyncIterator[MemoryNetwork]:
    """Run a network of these members; leaving drops what is on its way."""
    async with trio.open_nursery() as nursery:
        yield MemoryNetwork(members=members, nursery=nursery)
        nursery.cancel_scope.cancel()
