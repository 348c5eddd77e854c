"""Members for the tests: real transports on loopback, and one that speaks the protocols by hand to misbehave."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import trio
from nacl.signing import SigningKey

from node.libp2p_transport import Libp2pTransport, TransportSettings, open_transport
from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.handshake import Doorkeeper
from node.libp2p_transport.muxer import MuxedStream
from node.libp2p_transport.network import Connection, Network
from node.libp2p_transport.roster import Roster
from node.libp2p_transport.scores import PeerScores
from node.ports import GossipHandler, RequestHandler, Service
from protocol.gossip import Admission, Topic
from protocol.units import Digest, MemberId, Millis

CHAIN = Digest(b"c" * 32)
DEADLINE_S = 20.0


def make_seed(index: int) -> bytes:
    return bytes([index + 1]) * 32


def make_member(index: int) -> MemberId:
    return MemberId(bytes(SigningKey(make_seed(index)).verify_key))


def make_settings(index: int, *, count: int, **changes: object) -> TransportSettings:
    """Settings of member ``index`` of ``count``, with every pause short."""
    settings = TransportSettings(
        chain_id=CHAIN,
        signing_seed=make_seed(index),
        members=frozenset(make_member(other) for other in range(count)),
        listen=("/ip4/127.0.0.1/tcp/0",),
        addresses={},
        redial_min_ms=Millis(50),
        redial_max_ms=Millis(200),
        dial_pause_ms=Millis(300),
        heartbeat_ms=Millis(100),
    )
    return replace(settings, **changes)  # type: ignore[arg-type]  # the tests name the fields


@dataclass(slots=True, kw_only=True)
class Mailbox:
    """A gossip handler that keeps what it is shown."""

    admission: Admission = Admission.ACCEPT
    messages: list[tuple[Topic, MemberId, bytes]] = field(default_factory=list)

    def __call__(self, topic: Topic, neighbour: MemberId, data: bytes) -> Admission:
        self.messages.append((topic, neighbour, data))
        return self.admission

    def get_bodies(self) -> list[bytes]:
        return [data for _, _, data in self.messages]


@dataclass(slots=True, kw_only=True)
class Node:
    member: MemberId
    transport: Libp2pTransport
    mailbox: Mailbox
    members: dict[MemberId, tuple[str, ...]]
    """What the transport was told last."""

    def set_members(self, members: Mapping[MemberId, tuple[str, ...]]) -> None:
        self.members = dict(members)
        self.transport.set_members(self.members)

    def update_addresses(self, member: MemberId, addresses: tuple[str, ...]) -> None:
        assert member in self.members
        self.set_members({**self.members, member: addresses})

    def get_score(self, of: MemberId) -> int:
        return next(peer.score for peer in self.transport.get_peers() if peer.member == of)

    def is_connected(self, to: MemberId) -> bool:
        return any(peer.member == to and peer.is_connected for peer in self.transport.get_peers())


@asynccontextmanager
async def open_node(
    settings: TransportSettings,
    *,
    services: Mapping[Service, RequestHandler] | None = None,
    on_gossip: GossipHandler | None = None,
) -> AsyncIterator[Node]:
    mailbox = Mailbox()
    async with open_transport(settings, on_gossip=on_gossip or mailbox, services=services or {}) as transport:
        members = {member: settings.addresses.get(member, ()) for member in settings.members}
        yield Node(member=transport.member, transport=transport, mailbox=mailbox, members=members)


def introduce(*nodes: Node) -> None:
    """Tell each node where to dial all the others."""
    for node in nodes:
        for other in nodes:
            if other is not node:
                node.update_addresses(other.member, other.transport.get_listen_addresses())


@asynccontextmanager
async def open_nodes(
    count: int, *, services: Mapping[Service, RequestHandler] | None = None, **changes: object
) -> AsyncIterator[list[Node]]:
    """Open ``count`` nodes, all connected to all."""
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(open_node(make_settings(index, count=count, **changes), services=services))
            for index in range(count)
        ]
        introduce(*nodes)
        with trio.fail_after(DEADLINE_S):
            for node in nodes:
                await node.transport.wait_connected(count - 1)
        yield nodes


async def wait_until(condition: Callable[[], bool], *, seconds: float = DEADLINE_S) -> None:
    """Wait until a condition holds; fail the test when it takes too long."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.005)


@dataclass(slots=True, kw_only=True)
class Rogue:
    """A member with a real key that does by hand what no correct node does."""

    settings: TransportSettings
    network: Network
    connection: Connection
    victim: MemberId

    async def open_gossip_stream(self) -> MuxedStream:
        return await self.network.open_stream(self.victim, self.settings.get_gossip_protocol())

    async def open_service_stream(self, service: Service) -> MuxedStream:
        return await self.network.open_stream(self.victim, self.settings.get_service_protocol(service))

    def is_connected(self) -> bool:
        return self.connection.end_reason is None


@asynccontextmanager
async def open_rogue(
    settings: TransportSettings,
    victim: Node,
    *,
    handlers: Mapping[str, Callable[[Connection, MuxedStream], Awaitable[None]]] | None = None,
) -> AsyncIterator[Rogue]:
    """Connect a rogue to a node; it accepts the node's gossip stream and ignores what comes."""

    async def swallow(connection: Connection, stream: MuxedStream) -> None:
        while await stream.read(65_536):
            pass

    async def stay(connection: Connection) -> None:
        await trio.sleep_forever()

    scores = PeerScores(limit=-100, penalty_ms=Millis(1), recovery_ms=Millis(1))
    complaints = Complaints(interval_ms=Millis(60_000))
    network = Network(
        settings,
        Doorkeeper(settings, Roster(settings), scores=scores, complaints=complaints),
        scores=scores,
        complaints=complaints,
    )
    network.serve({settings.get_gossip_protocol(): swallow, **(handlers or {})}, on_connected=stay)
    connection = await network.connect(victim.member, victim.transport.get_listen_addresses()[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.serve_connection, connection)
        yield Rogue(settings=settings, network=network, connection=connection, victim=victim.member)
        nursery.cancel_scope.cancel()


async def write_until_cut(stream: MuxedStream, chunks: Sequence[bytes]) -> int:
    """Write chunks until the other side hangs up; return how many bytes went out."""
    written = 0
    try:
        for chunk in chunks:
            await stream.write(chunk)
            written += len(chunk)
    except LinkFailed:
        pass
    return written


def get_port(node: Node) -> int:
    return int(node.transport.get_listen_addresses()[0].rsplit("/", 1)[1])
