"""The Transport port on a heap: nodes in one event loop that exchange bytes over links that tests can slow and cut.

Tier B's network. Time is trio's, so a mock clock makes it virtual. A message outlives its sender, as a packet does; a
request does not. Limits are those of the real transport: how much may wait for a slow peer, how many requests run at a
time, how much misbehaviour is borne and for how long its author is refused afterwards.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from node.errors import PeerUnreachable
from node.ports import GossipHandler, PeerStatus, ReceiveFrame, RequestHandler, Service
from protocol.gossip import Admission, Topic
from protocol.units import MemberId, Millis
from tests.sim.memory_links import Link, Stream

GOSSIP_BYTES_MAX: Final = 262_144
OUTBOX_BYTES_MAX: Final = 8_388_608
REQUESTS_PER_PEER_MAX: Final = 8
REQUEST_IDLE_S: Final = 30.0
REJECT_COST: Final = 10
SCORE_LIMIT: Final = -100


def hear_nothing(_sender: MemberId, _topic: Topic, _message: bytes) -> None:
    """Let a message pass unseen."""


@dataclass(slots=True, kw_only=True)
class _Attached:
    gossip: GossipHandler
    services: Mapping[Service, RequestHandler]
    transport: "MemoryTransport"
    context: Context
    """In which this node's handlers run."""


@dataclass(slots=True)
class MemoryNetwork:
    """All nodes and the links between them."""

    members: tuple[MemberId, ...]
    """Whom every node takes for a member until it is told otherwise."""
    nursery: trio.Nursery
    links: dict[tuple[MemberId, MemberId], Link] = field(default_factory=dict)
    attached: dict[MemberId, _Attached] = field(default_factory=dict)
    streams: dict[Stream, None] = field(default_factory=dict)
    """Handlers that run."""
    streams_most: dict[tuple[MemberId, MemberId, Service], int] = field(default_factory=dict)
    """How many ever ran at a time for one requester, server and service."""
    requesting: dict[trio.CancelScope, MemberId] = field(default_factory=dict)
    """Requests on their way, and whose they are."""
    requests: list[tuple[MemberId, MemberId, bytes]] = field(default_factory=list)
    """Every request ever made: from, to, bytes."""
    refused_until_s: dict[tuple[MemberId, MemberId], float] = field(default_factory=dict)
    """Until when a member refuses another one for its misbehaviour."""
    strays: set[MemberId] = field(default_factory=set)
    """Members that run another network."""
    request_idle_s: float = REQUEST_IDLE_S
    penalty_s: float = 60.0
    score_recovery_s: float = 1.0
    """How long it takes a lowered score to rise by one."""
    on_publish: Callable[[MemberId, Topic, bytes], None] = hear_nothing
    """Sees every gossip message when it leaves its author."""
    _context: Context = field(default_factory=copy_context)

    def get_link(self, source: MemberId, target: MemberId) -> Link:
        """Return one direction between two nodes; change it to change the network."""
        return self.links.setdefault((source, target), Link())

    def attach(
        self, member: MemberId, *, gossip: GossipHandler, services: Mapping[Service, RequestHandler]
    ) -> "MemoryTransport":
        """Bring a node up; its handlers run in the context of whoever calls this."""
        transport = MemoryTransport(network=self, member=member, addresses=dict.fromkeys(self.members, ()))
        self.attached[member] = _Attached(
            gossip=gossip, services=services, transport=transport, context=copy_context()
        )
        for pair in [pair for pair in self.refused_until_s if pair[0] == member]:
            # Whom it held what against was in its memory only.
            del self.refused_until_s[pair]
        return transport

    def detach(self, member: MemberId) -> None:
        """Take a node down, with everything that it had under way."""
        self.attached.pop(member, None)
        for stream in tuple(self.streams):
            if stream.server == member:
                stream.reset("the peer went down")
        for scope, requester in tuple(self.requesting.items()):
            if requester == member:
                scope.cancel()

    def cut(self, source: MemberId, target: MemberId) -> None:
        """Break the connection between two nodes, and what runs over it."""
        self.get_link(source, target).is_cut = True
        self._reset_between(source, target)

    def part(self, member: MemberId, other: MemberId) -> None:
        """End everything between two nodes of which one is no member for the other any more, and what it remembers."""
        self.refused_until_s.pop((member, other), None)
        self._reset_between(member, other)

    def is_connected(self, source: MemberId, target: MemberId) -> bool:
        """Return whether both nodes are up, take each other for members, and nothing is cut or refused."""
        ends = self.attached.get(source), self.attached.get(target)
        if ends[0] is None or ends[1] is None:
            return False
        are_members = target in ends[0].transport.addresses and source in ends[1].transport.addresses
        return are_members and not self.is_cut(source, target)

    def is_cut(self, source: MemberId, target: MemberId) -> bool:
        """Return whether either direction is cut: there is no half of a connection."""
        ends = ((source, target), (target, source))
        now_s = trio.current_time()
        return any(self.get_link(*pair).is_cut or self.refused_until_s.get(pair, 0.0) > now_s for pair in ends)

    def refuse(self, judge: MemberId, offender: MemberId) -> None:
        """Disconnect a member that another one has had enough of, for a while."""
        self.refused_until_s[judge, offender] = trio.current_time() + self.penalty_s
        self._reset_between(judge, offender)

    def count_streams(self, requester: MemberId, server: MemberId, service: Service) -> int:
        """Return how many requests of one member another one is serving."""
        ends = (requester, server, service)
        return sum((stream.requester, stream.server, stream.service) == ends for stream in self.streams)

    def start(self, run: Callable[[], Awaitable[None]], *, context: Context | None = None) -> None:
        """Run something beside whoever asks for it, in the context of a node or of the network."""
        (context or self._context).run(self.nursery.start_soon, run)

    async def serve(self, stream: Stream, handler: RequestHandler, request: bytes) -> None:
        """Run a handler and remember for how long."""
        try:
            await stream.serve(handler, request)
        finally:
            del self.streams[stream]

    def _reset_between(self, one: MemberId, other: MemberId) -> None:
        for stream in tuple(self.streams):
            if {stream.requester, stream.server} == {one, other}:
                stream.reset("the connection broke")


@dataclass(slots=True, kw_only=True)
class MemoryTransport:
    """One node's end of the network; implements the Transport port."""

    network: MemoryNetwork
    member: MemberId
    addresses: dict[MemberId, tuple[str, ...]]
    """Of every member; nothing is dialled here."""
    scores: dict[MemberId, int] = field(default_factory=dict)
    """All that was ever held against the others."""
    requests_max: int = REQUESTS_PER_PEER_MAX
    """How many requests to one member and service may be under way."""
    caught_up: list[MemberId] = field(default_factory=list)
    """Who was said to have no block that this node lacks, in turn."""
    _standings: dict[MemberId, tuple[float, float]] = field(default_factory=dict)
    """Scores as the others show in, which rise again, and when they were that."""
    _limiters: dict[tuple[MemberId, Service], trio.Semaphore] = field(default_factory=dict)
    _received: dict[MemberId, int] = field(default_factory=dict)
    _sent: dict[MemberId, int] = field(default_factory=dict)

    async def publish(self, topic: Topic, message: bytes) -> None:
        """See the port."""
        assert type(message) is bytes
        assert len(message) <= GOSSIP_BYTES_MAX
        await trio.lowlevel.checkpoint()
        network = self.network
        if not self._is_up():
            # The node is down; only its dying tasks do not know it yet.
            return
        network.on_publish(self.member, topic, message)
        for target in self.addresses:
            if target == self.member:
                continue
            if network.is_connected(self.member, target):
                self.send(target, topic, message)
            else:
                network.get_link(self.member, target).lost_count += 1

    def send(self, target: MemberId, topic: Topic, message: bytes) -> None:
        """Send a gossip message to one member, as nobody honest does."""
        link = self.network.get_link(self.member, target)
        for further_s in link.draw_copies():
            if link.is_deaf:
                link.lost_count += 1
                continue
            if link.waiting_bytes + len(message) > OUTBOX_BYTES_MAX:
                link.dropped_count += 1
                continue
            link.waiting_bytes += len(message)
            link.waiting_bytes_max = max(link.waiting_bytes_max, link.waiting_bytes)
            self._sent[target] = self._sent.get(target, 0) + len(message)
            self.network.start(partial(self._deliver, target, topic, message, further_s))

    async def request(
        self, member: MemberId, service: Service, request: bytes, receive: ReceiveFrame, *, timeout_ms: Millis
    ) -> None:
        """See the port."""
        self.network.requests.append((self.member, member, request))
        await trio.lowlevel.checkpoint()
        limiter = self._limiters.setdefault((member, service), trio.Semaphore(self.requests_max))
        is_finished = False
        with trio.move_on_after(timeout_ms / 1000) as scope:
            self.network.requesting[scope] = self.member
            try:
                async with limiter:
                    await self._exchange(member, service, request, receive)
                is_finished = True
            finally:
                del self.network.requesting[scope]
        if not is_finished:
            raise PeerUnreachable("too slow, or this node went down")

    def get_peers(self) -> tuple[PeerStatus, ...]:
        """See the port."""
        return tuple(
            PeerStatus(
                member=peer,
                is_connected=self.network.is_connected(self.member, peer) and peer not in self.network.strays,
                addresses=self.addresses[peer],
                bytes_received=self._received.get(peer, 0),
                bytes_sent=self._sent.get(peer, 0),
                score=round(self._get_standing(peer)),
                round_trip_ms=None,
                dialled=self.addresses[peer],
                is_stray=peer in self.network.strays,
            )
            for peer in sorted(self.addresses)
            if peer != self.member
        )

    def lower_score(self, member: MemberId, *, by: int) -> None:
        """See the port."""
        if member not in self.addresses:
            return
        self.scores[member] = self.scores.get(member, 0) - by
        standing, now_s = self._get_standing(member) - by, trio.current_time()
        if standing <= SCORE_LIMIT and self.network.refused_until_s.get((self.member, member), 0.0) <= now_s:
            standing = SCORE_LIMIT / 2
            self.network.refuse(self.member, member)
        self._standings[member] = (standing, now_s)

    def set_members(self, members: Mapping[MemberId, tuple[str, ...]]) -> None:
        """See the port."""
        for left in sorted(self.addresses.keys() - members.keys()):
            self.scores.pop(left, None)
            self._standings.pop(left, None)
            self.network.part(self.member, left)
        self.addresses = dict(members)

    def note_caught_up(self, member: MemberId) -> None:
        """See the port; there are no guides here."""
        self.caught_up.append(member)

    def _get_standing(self, member: MemberId) -> float:
        standing, then_s = self._standings.get(member, (0.0, 0.0))
        return min(0.0, standing + (trio.current_time() - then_s) / self.network.score_recovery_s)

    def _is_up(self) -> bool:
        holder = self.network.attached.get(self.member)
        return holder is not None and holder.transport is self

    def _note_received(self, member: MemberId, count: int) -> None:
        self._received[member] = self._received.get(member, 0) + count

    async def _deliver(self, target: MemberId, topic: Topic, message: bytes, further_s: float) -> None:
        link = self.network.get_link(self.member, target)
        await link.carry(further_s)
        link.waiting_bytes -= len(message)
        receiver = self.network.attached.get(target)
        if receiver is None or self.network.is_cut(self.member, target):
            return
        if self.member not in receiver.transport.addresses:
            return
        receiver.transport._note_received(self.member, len(message))
        if receiver.gossip(topic, self.member, message) is Admission.REJECT:
            receiver.transport.lower_score(self.member, by=REJECT_COST)

    async def _exchange(self, target: MemberId, service: Service, request: bytes, receive: ReceiveFrame) -> None:
        network = self.network
        if not network.is_connected(self.member, target):
            raise PeerUnreachable("not connected")
        await network.get_link(self.member, target).carry_frame()
        holder = network.attached.get(target)
        if holder is None or not network.is_connected(self.member, target):
            raise PeerUnreachable("the connection broke")
        handler = holder.services.get(service)
        if handler is None:
            raise PeerUnreachable(f"the peer does not serve {service}")
        if network.count_streams(self.member, target, service) >= REQUESTS_PER_PEER_MAX:
            raise PeerUnreachable("busy: too many requests at a time")
        stream = Stream(
            requester=self.member,
            server=target,
            service=service,
            link=network.get_link(target, self.member),
            idle_s=network.request_idle_s,
        )
        network.streams[stream] = None
        ends = (self.member, target, service)
        network.streams_most[ends] = max(network.streams_most.get(ends, 0), network.count_streams(*ends))
        network.start(partial(network.serve, stream, handler, request), context=holder.context)
        self._sent[target] = self._sent.get(target, 0) + len(request)

        async def receive_counted(frame: bytes) -> None:
            self._note_received(target, len(frame))
            await receive(frame)

        await stream.read(receive_counted)


@asynccontextmanager
async def open_memory_network(*members: MemberId) -> AsyncIterator[MemoryNetwork]:
    """Run a network of these members; leaving drops what is on its way."""
    async with trio.open_nursery() as nursery:
        yield MemoryNetwork(members=members, nursery=nursery)
        nursery.cancel_scope.cancel()
