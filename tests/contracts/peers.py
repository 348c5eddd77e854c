"""Three connected nodes, on libp2p over loopback or on the simulated network, that tests can take down."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from node.ports import RequestHandler, SendFrame, Service, Transport
from protocol.units import MemberId, Millis
from tests.node.libp2p.members import Mailbox, Node, introduce, make_member, make_settings, open_node
from tests.sim.memory_transport import MemoryNetwork, open_memory_network

MEMBER_COUNT = 4
ABSENT = make_member(MEMBER_COUNT - 1)
"""A member that is never up."""
PATIENCE_MS = Millis(20_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How much a node bears, and for how long; short, so that tests see the end of it."""

    request_idle_ms: Millis = Millis(30_000)
    penalty_ms: Millis = Millis(60_000)
    score_recovery_ms: Millis = Millis(1_000)


@dataclass(slots=True, kw_only=True)
class Peer:
    """One node's end of the network."""

    member: MemberId
    mailbox: Mailbox = field(default_factory=Mailbox)
    up: Transport | None = None
    addresses: tuple[str, ...] = ()
    """Where the others dial it."""
    bring_down: Callable[[], None] = lambda: None

    @property
    def transport(self) -> Transport:
        assert self.up is not None
        return self.up

    def get_score(self, of: MemberId) -> int:
        return next(peer.score for peer in self.transport.get_peers() if peer.member == of)

    def is_connected(self, to: MemberId) -> bool:
        return any(peer.member == to and peer.is_connected for peer in self.transport.get_peers())

    async def ask(self, of: MemberId, request: bytes = b"", *, service: Service = Service.SYNC) -> list[bytes]:
        """Return the frames of an answer."""
        frames: list[bytes] = []

        async def receive(frame: bytes) -> None:
            frames.append(frame)

        await self.transport.request(of, service, request, receive, timeout_ms=PATIENCE_MS)
        return frames


async def echo(member: MemberId, request: bytes, send: SendFrame) -> None:
    """Answer with the requester and the request."""
    await send(member)
    await send(request)


@asynccontextmanager
async def open_peers(
    kind: str, handler: RequestHandler = echo, patience: Patience | None = None
) -> AsyncIterator[tuple[Peer, Peer, Peer]]:
    """Run three nodes that are connected, each with the same SYNC handler and no other service."""
    services: Mapping[Service, RequestHandler] = {Service.SYNC: handler}
    peers = tuple(Peer(member=make_member(index)) for index in range(MEMBER_COUNT - 1))
    async with trio.open_nursery() as nursery:
        if kind == "libp2p":
            nodes = [
                await nursery.start(_run_node, index, peer, services, patience or Patience())
                for index, peer in enumerate(peers)
            ]
            introduce(*nodes)
            with trio.fail_after(PATIENCE_MS / 1000):
                for node in nodes:
                    await node.transport.wait_connected(MEMBER_COUNT - 2)
        else:
            network = await nursery.start(_run_network, patience or Patience())
            for peer in peers:
                _attach(network, peer, services)
        first, second, third = peers
        yield first, second, third
        nursery.cancel_scope.cancel()


async def _run_node(
    index: int,
    peer: Peer,
    services: Mapping[Service, RequestHandler],
    patience: Patience,
    *,
    task_status: trio.TaskStatus[Node],
) -> None:
    settings = make_settings(
        index,
        count=MEMBER_COUNT,
        request_idle_ms=patience.request_idle_ms,
        penalty_ms=patience.penalty_ms,
        score_recovery_ms=patience.score_recovery_ms,
    )
    with trio.CancelScope() as life:
        async with open_node(settings, services=services, on_gossip=peer.mailbox) as node:
            peer.up, peer.bring_down = node.transport, life.cancel
            peer.addresses = node.transport.get_listen_addresses()
            task_status.started(node)
            await trio.sleep_forever()


async def _run_network(patience: Patience, *, task_status: trio.TaskStatus[MemoryNetwork]) -> None:
    async with open_memory_network(*[make_member(index) for index in range(MEMBER_COUNT)]) as network:
        network.request_idle_s = patience.request_idle_ms / 1_000
        network.penalty_s = patience.penalty_ms / 1_000
        network.score_recovery_s = patience.score_recovery_ms / 1_000
        task_status.started(network)
        await trio.sleep_forever()


def _attach(network: MemoryNetwork, peer: Peer, services: Mapping[Service, RequestHandler]) -> None:
    peer.up = network.attach(peer.member, gossip=peer.mailbox, services=services)
    peer.bring_down = lambda: network.detach(peer.member)
