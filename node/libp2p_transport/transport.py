"""The transport as the rest of the node sees it: :class:`node.ports.Transport` over real connections."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import structlog
import trio

from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.gossip import Gossip
from node.libp2p_transport.handshake import Doorkeeper
from node.libp2p_transport.network import Network
from node.libp2p_transport.requests import RequestClient, RequestServer
from node.libp2p_transport.roster import Roster
from node.libp2p_transport.scores import PeerScores
from node.libp2p_transport.settings import TransportSettings
from node.libp2p_transport.sockets import get_listener_address, open_listener, parse_address
from node.libp2p_transport.supervisor import Supervisor
from node.libp2p_transport.workarounds import check_library_version, quiet_library_logs
from node.ports import GossipHandler, PeerStatus, ReceiveFrame, RequestHandler, Service
from protocol.gossip import Topic
from protocol.units import MemberId, Millis

_log = structlog.get_logger(__name__)


class Libp2pTransport:
    """Gossip to all members, requests to one; made by :func:`open_transport`."""

    def __init__(
        self,
        settings: TransportSettings,
        *,
        on_gossip: GossipHandler,
        services: Mapping[Service, RequestHandler],
        listeners: list[trio.SocketListener],
    ) -> None:
        complaints = Complaints(interval_ms=settings.log_interval_ms)
        self._listeners = listeners
        self._roster = Roster(settings)
        self._scores = PeerScores(
            limit=settings.score_limit, penalty_ms=settings.penalty_ms, recovery_ms=settings.score_recovery_ms
        )
        doorkeeper = Doorkeeper(settings, self._roster, scores=self._scores, complaints=complaints)
        self._network = Network(settings, doorkeeper, scores=self._scores, complaints=complaints)
        self._gossip = Gossip(settings, self._network, complaints, on_gossip=on_gossip)
        self._client = RequestClient(settings, self._network)
        self._supervisor = Supervisor(
            settings, self._network, self._roster, me=doorkeeper.member, scores=self._scores, complaints=complaints
        )
        self._server = RequestServer(settings, services)
        handlers = self._server.get_handlers()
        handlers[settings.get_gossip_protocol()] = self._gossip.serve_stream
        self._network.serve(handlers, on_connected=self._gossip.run_connection)
        self.member = doorkeeper.member

    async def run(self) -> None:
        """Serve the network until cancelled; our own failures, and only those, come out of here."""
        async with trio.open_nursery() as nursery:
            for listener in self._listeners:
                nursery.start_soon(trio.serve_listeners, self._network.serve_inbound, [listener])
            nursery.start_soon(self._gossip.run_heartbeat)
            nursery.start_soon(self._supervisor.run, nursery)

    async def publish(self, topic: Topic, message: bytes) -> None:
        """Send a message to every connected member; see :class:`node.ports.Transport`."""
        self._gossip.publish(topic, message)
        await trio.lowlevel.checkpoint()

    async def request(
        self, member: MemberId, service: Service, request: bytes, receive: ReceiveFrame, *, timeout_ms: Millis
    ) -> None:
        """Ask one member; see :class:`node.ports.Transport`."""
        await self._client.request(member, service, request, receive, timeout_ms=timeout_ms)

    def get_peers(self) -> tuple[PeerStatus, ...]:
        """Return one entry for every other member, sorted by member."""
        return tuple(self._get_peer(member) for member in sorted(self._roster.dialled - {self.member}))

    def lower_score(self, member: MemberId, *, by: int) -> None:
        """Note misbehaviour that only the caller could see; at the limit the peer is disconnected for a while."""
        self._network.punish(member, by, "misbehaved")

    def set_members(self, members: Mapping[MemberId, tuple[str, ...]]) -> None:
        """Let exactly these members connect from now on; see :class:`node.ports.Transport`.

        An address that does not parse is complained about when it would be dialled: it is another member's mistake.
        """
        before = self._roster.members
        left = self._roster.replace(members)
        for member in left:
            self._forget(member)
        self._supervisor.follow_roster()
        joined = sorted(self._roster.members - before)
        if joined or left:
            _log.info("members_changed", joined=_shorten(joined), left=_shorten(left), count=len(members))

    def note_caught_up(self, member: MemberId) -> None:
        """Let go of a guide that has no block that we lack; see :class:`node.ports.Transport`."""
        if self._roster.dismiss_guide(member):
            self._forget(member)
            self._supervisor.follow_roster()
            _log.info("guide_dismissed", member=member.hex()[:8])

    def get_listen_addresses(self) -> tuple[str, ...]:
        """Return the addresses that we listen on, with their real ports."""
        return tuple(get_listener_address(listener) for listener in self._listeners)

    async def wait_connected(self, count: int) -> None:
        """Wait until gossip flows in both directions with at least ``count`` other members."""
        await self._gossip.wait_ready(count)

    def get_dropped_count(self) -> int:
        """Return how many gossip messages were dropped because a peer was too slow to take them."""
        return self._gossip.dropped_count

    def _forget(self, member: MemberId) -> None:
        self._network.forget(member)
        self._gossip.forget(member)
        self._client.forget(member)

    def _get_peer(self, member: MemberId) -> PeerStatus:
        received, sent = self._network.get_bytes(member)
        seen = self._network.seen_addresses.get(member)
        addresses = dict.fromkeys((*((seen,) if seen else ()), *self._roster.get_addresses(member)))
        return PeerStatus(
            member=member,
            is_connected=member in self._network.connections and member not in self._network.strays,
            addresses=tuple(addresses),
            bytes_received=received,
            bytes_sent=sent,
            score=self._scores.get_score(member),
            round_trip_ms=self._network.get_round_trip_ms(member),
            dialled=self._roster.get_addresses(member),
            is_stray=member in self._network.strays,
        )


@asynccontextmanager
async def open_transport(
    settings: TransportSettings, *, on_gossip: GossipHandler, services: Mapping[Service, RequestHandler]
) -> AsyncIterator[Libp2pTransport]:
    """Listen, connect to the other members, and serve until the block is left.

    Args:
        settings: Who we are, who the others are, and the limits.
        on_gossip: Judges each message before it is forwarded. It must not raise: what it raises ends the transport.
        services: Who answers the requests of other members.

    Yields:
        The transport; already listening, not yet connected.

    Raises:
        AddressUnavailable: A listen address is taken or not of this machine.
        ConfigError: An address does not parse.
        ExceptionGroup: A part of the transport failed, or the block did.
    """
    check_library_version()
    quiet_library_logs()
    # Those that the ledger tells are other members' business: nobody's typing error may keep a node from starting.
    for addresses in settings.fixed_addresses.values():
        for address in addresses:
            parse_address(address, config_key="peers")
    listeners: list[trio.SocketListener] = []
    try:
        for address in settings.listen:
            listeners.extend(await open_listener(address))
        transport = Libp2pTransport(settings, on_gossip=on_gossip, services=services, listeners=listeners)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.run)
            _log.info("transport_started", listen=transport.get_listen_addresses())
            yield transport
            nursery.cancel_scope.cancel()
    finally:
        for listener in listeners:
            listener.socket.close()


def _shorten(members: Iterable[MemberId]) -> list[str]:
    return [member.hex()[:8] for member in members]
