"""The Transport port on a heap: nodes in one event loop that exchange bytes over links that tests can slow and cut.

The beginnings of tier B's network. Time is trio's, so a mock clock makes it virtual; nothing here draws at random.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from node.errors import PeerMisbehaved, PeerUnreachable
from node.ports import GossipHandler, PeerStatus, ReceiveFrame, RequestHandler, Service
from protocol.errors import ProtocolError
from protocol.gossip import Admission, Topic
from protocol.units import MemberId, Millis

FRAME_BYTES_MAX: Final = 524_288
GOSSIP_BYTES_MAX: Final = 262_144
REJECT_COST: Final = 10


@dataclass(slots=True, kw_only=True)
class Link:
    """One direction between two nodes."""

    delay_s: float = 0.0
    """Of every gossip message and every frame."""
    is_cut: bool = False
    frames_max: int | None = None
    """The stream is cut after this many frames of a response; None is never."""


@dataclass(slots=True, kw_only=True)
class _Attached:
    gossip: GossipHandler
    services: Mapping[Service, RequestHandler]
    transport: "MemoryTransport"


@dataclass(slots=True)
class MemoryNetwork:
    """All nodes and the links between them."""

    members: tuple[MemberId, ...]
    nursery: trio.Nursery
    links: dict[tuple[MemberId, MemberId], Link] = field(default_factory=dict)
    attached: dict[MemberId, _Attached] = field(default_factory=dict)
    exchanges: dict[trio.CancelScope, tuple[MemberId, MemberId]] = field(default_factory=dict)
    """Requests on their way, and whose they are."""
    requests: list[tuple[MemberId, MemberId, bytes]] = field(default_factory=list)
    """Every request ever made: from, to, bytes."""

    def get_link(self, source: MemberId, target: MemberId) -> Link:
        """Return one direction between two nodes; change it to change the network."""
        return self.links.setdefault((source, target), Link())

    def attach(
        self, member: MemberId, *, gossip: GossipHandler, services: Mapping[Service, RequestHandler]
    ) -> "MemoryTransport":
        """Bring a node up."""
        transport = MemoryTransport(network=self, member=member)
        self.attached[member] = _Attached(gossip=gossip, services=services, transport=transport)
        return transport

    def detach(self, member: MemberId) -> None:
        """Take a node down, with everything that it had under way."""
        self.attached.pop(member, None)
        for scope, ends in tuple(self.exchanges.items()):
            if member in ends:
                scope.cancel()

    def is_connected(self, source: MemberId, target: MemberId) -> bool:
        """Return whether both nodes are up and neither direction is cut."""
        are_up = source in self.attached and target in self.attached
        return are_up and not self.get_link(source, target).is_cut and not self.get_link(target, source).is_cut


@dataclass(slots=True, kw_only=True)
class MemoryTransport:
    """One node's end of the network; implements the Transport port."""

    network: MemoryNetwork
    member: MemberId
    scores: dict[MemberId, int] = field(default_factory=dict)

    async def publish(self, topic: Topic, message: bytes) -> None:
        """See the port."""
        assert type(message) is bytes
        assert len(message) <= GOSSIP_BYTES_MAX
        await trio.lowlevel.checkpoint()
        for target in self.network.members:
            if target != self.member and self.network.is_connected(self.member, target):
                self.network.nursery.start_soon(self._deliver, target, topic, message)

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
            raise PeerUnreachable("too slow, or the peer went down")

    def get_peers(self) -> tuple[PeerStatus, ...]:
        """See the port."""
        return tuple(
            PeerStatus(
                member=peer,
                is_connected=self.network.is_connected(self.member, peer),
                addresses=(),
                bytes_received=0,
                bytes_sent=0,
                score=self.scores.get(peer, 0),
                round_trip_ms=None,
            )
            for peer in sorted(self.network.members)
            if peer != self.member
        )

    def lower_score(self, member: MemberId, *, by: int) -> None:
        """See the port."""
        self.scores[member] = self.scores.get(member, 0) - by

    async def _deliver(self, target: MemberId, topic: Topic, message: bytes) -> None:
        await trio.sleep(self.network.get_link(self.member, target).delay_s)
        if not self.network.is_connected(self.member, target):
            return
        receiver = self.network.attached[target]
        if receiver.gossip(topic, self.member, message) is Admission.REJECT:
            receiver.transport.lower_score(self.member, by=REJECT_COST)

    async def _exchange(self, target: MemberId, service: Service, request: bytes, receive: ReceiveFrame) -> None:
        link = self.network.get_link(target, self.member)
        await trio.sleep(self.network.get_link(self.member, target).delay_s)
        handler = self.network.attached[target].services.get(service)
        if handler is None:
            raise PeerUnreachable(f"the peer does not serve {service}")
        frames_count = 0

        async def send(frame: bytes) -> None:
            nonlocal frames_count
            frames_count += 1
            await trio.sleep(link.delay_s)
            if link.frames_max is not None and frames_count > link.frames_max:
                raise PeerUnreachable("the stream was cut before its end")
            if len(frame) > FRAME_BYTES_MAX:
                raise PeerMisbehaved("a frame over the limit")
            await receive(bytes(frame))

        try:
            await handler(self.member, request, send)
        except ProtocolError as error:
            raise PeerUnreachable(f"the peer reset the stream: {error}") from error


@asynccontextmanager
async def open_memory_network(*members: MemberId) -> AsyncIterator[MemoryNetwork]:
    """Run a network of these members; leaving drops what is on its way."""
    async with trio.open_nursery() as nursery:
        yield MemoryNetwork(members=members, nursery=nursery)
        nursery.cancel_scope.cancel()
