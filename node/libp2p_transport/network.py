"""The connections: one per member, made in either direction, each with its muxer, its streams and its end.

Two connections with one member happen when both dial at once, or when the old one is dead and nobody has noticed. Of
two that crossed, both sides keep the one that the member with the lower id made; an old one always gives way to a
new one.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog
import trio
from libp2p.abc import ISecureConn
from libp2p.custom_types import TProtocol
from libp2p.protocol_muxer.exceptions import ProtocolNotSupportedError
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed, PeerBrokeRules, ProtocolUnknown, library_faults
from node.libp2p_transport.handshake import Doorkeeper, NotWelcome
from node.libp2p_transport.muxer import MuxedStream, Muxer
from node.libp2p_transport.negotiation import NamelessStream
from node.libp2p_transport.scores import PeerScores
from node.libp2p_transport.settings import TransportSettings
from node.libp2p_transport.sockets import TcpConnection, dial, format_address
from node.peer_ids import member_to_peer_id
from protocol.units import MemberId, Millis

_CROSSED_S: Final = 5.0
"""Connections in opposite directions made within this time are taken to have crossed each other."""
_NEGOTIATE_S: Final = 10.0
BROKEN_RULES_COST: Final = 1_000
"""Points for bytes that no correct peer sends: enough for the penalty box at any limit in use."""

StreamHandler: TypeAlias = Callable[["Connection", MuxedStream], Awaitable[None]]
"""Serves one stream that a member opened; :class:`LinkFailed` resets it."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class Connection:
    """A live connection with a member."""

    member: MemberId
    is_outbound: bool
    opened_at: float
    raw: TcpConnection
    muxer: Muxer
    """Opens streams and fails them."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Ends everything that runs for this connection."""
    end_reason: str | None = None

    def drop(self, reason: str) -> None:
        """End the connection without asking anybody; a frozen peer cannot hold it up."""
        if self.end_reason is None:
            self.end_reason = reason
            self.raw.abort()
            self.scope.cancel()


class Network:
    """Keeps the connections and hands their streams to whoever serves the protocol."""

    def __init__(
        self, settings: TransportSettings, doorkeeper: Doorkeeper, *, scores: PeerScores, complaints: Complaints
    ) -> None:
        self.connections: dict[MemberId, Connection] = {}
        self.seen_addresses: dict[MemberId, str] = {}
        self.strays: set[MemberId] = set()
        """Members that are there, and run another network: they know no protocol of this chain."""
        self._past_bytes: dict[MemberId, tuple[int, int]] = {}
        self._settings = settings
        self._doorkeeper = doorkeeper
        self._scores = scores
        self._complaints = complaints
        self._handlers: dict[str, StreamHandler] = {}
        self._multiselect = Multiselect({})
        self._on_connected: Callable[[Connection], Awaitable[None]] | None = None
        self._changed = trio.lowlevel.ParkingLot()

    def serve(
        self, handlers: Mapping[str, StreamHandler], *, on_connected: Callable[[Connection], Awaitable[None]]
    ) -> None:
        """Say who serves which protocol and what runs while a connection lives; call it once, before anything else."""
        self._handlers = dict(handlers)
        for protocol in handlers:
            self._multiselect.add_handler(TProtocol(protocol), None)
        self._on_connected = on_connected

    async def serve_inbound(self, stream: trio.SocketStream) -> None:
        """Serve one accepted socket until its connection ends; raises nothing that a peer could cause."""
        try:
            raw = TcpConnection(stream, is_initiator=False)
        except OSError:
            stream.socket.close()
            return
        try:
            member, secured = await self._doorkeeper.greet_inbound(raw)
            await self.serve_connection(self._admit(member, raw, secured))
        except NotWelcome:
            pass
        except LinkFailed as error:
            self._complaints.log("inbound_failed", about=raw.get_remote_address()[0], reason=error.reason)
        finally:
            raw.abort()

    async def connect(self, member: MemberId, address: str) -> Connection:
        """Dial a member; the caller must pass what it gets to :meth:`serve_connection`.

        Raises:
            LinkFailed: Nobody there, or not this member, or not in time, or connected otherwise meanwhile.
        """
        raw = None
        with trio.move_on_after(self._settings.dial_timeout_ms / 1000):
            try:
                raw = await dial(address)
            except OSError as error:
                raise LinkFailed(str(error)) from error
        if raw is None:
            raise LinkFailed("no answer in time")
        connection = None
        try:
            secured = await self._doorkeeper.greet_outbound(raw, member)
            connection = self._admit(member, raw, secured)
        finally:
            if connection is None:
                raw.abort()
        return connection

    async def serve_connection(self, connection: Connection) -> None:
        """Serve a connection until it ends; raises nothing that a peer could cause."""
        try:
            with connection.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._run_muxer, connection, nursery)
                    if self._on_connected is not None:
                        nursery.start_soon(self._on_connected, connection)
        finally:
            connection.raw.abort()
            self._remove(connection)

    async def open_stream(self, member: MemberId, protocol: str) -> MuxedStream:
        """Open a stream with a connected member and agree on its protocol.

        Raises:
            ProtocolUnknown: The peer does not speak this protocol.
            LinkFailed: Not connected, or the peer is too slow.
        """
        connection = self.connections.get(member)
        if connection is None:
            raise LinkFailed("not connected")
        stream = connection.muxer.open_stream()
        is_agreed = False
        try:
            with trio.move_on_after(_NEGOTIATE_S), library_faults("protocol negotiation"):
                nameless = MultiselectCommunicator(NamelessStream(stream))
                client = MultiselectClient()
                await client.handshake(nameless)
                try:
                    await client.try_select(nameless, TProtocol(protocol))
                except ProtocolNotSupportedError as error:
                    raise ProtocolUnknown(f"not supported by the peer: {protocol}") from error
                is_agreed = True
        finally:
            if not is_agreed:
                stream.reset_nowait()
        if not is_agreed:
            raise LinkFailed("protocol negotiation took too long")
        return stream

    def drop(self, member: MemberId, reason: str) -> None:
        """End the connection with a member, if there is one."""
        connection = self.connections.get(member)
        if connection is not None:
            connection.drop(reason)

    def forget(self, member: MemberId) -> None:
        """Cut off somebody who is no member any more, and keep nothing about it."""
        connection = self.connections.pop(member, None)
        self.seen_addresses.pop(member, None)
        self.strays.discard(member)
        self._past_bytes.pop(member, None)
        self._scores.forget(member)
        if connection is not None:
            connection.drop("no member any more")
            self._changed.unpark_all()

    def punish(self, member: MemberId, cost: int, reason: str) -> None:
        """Lower a member's score; at the limit, disconnect the peer and refuse it for a while."""
        if self._doorkeeper.is_known(member) and self._scores.charge(member, cost):
            self._complaints.log("peer_banned", about=member_to_peer_id(member), reason=reason)
            self.drop(member, reason)

    def get_bytes(self, member: MemberId) -> tuple[int, int]:
        """Return how many bytes were received from and sent to a member over all its connections."""
        received, sent = self._past_bytes.get(member, (0, 0))
        connection = self.connections.get(member)
        if connection is not None:
            received, sent = received + connection.raw.bytes_received, sent + connection.raw.bytes_sent
        return received, sent

    def get_round_trip_ms(self, member: MemberId) -> Millis | None:
        """Return how long the last answered ping took."""
        connection = self.connections.get(member)
        return None if connection is None else connection.muxer.round_trip_ms

    async def wait_change(self) -> None:
        """Wait until any connection comes or goes."""
        await self._changed.park()

    async def _run_muxer(self, connection: Connection, nursery: trio.Nursery) -> None:
        try:
            await connection.muxer.run(lambda stream: nursery.start_soon(self._serve_stream, connection, stream))
        except PeerBrokeRules as error:
            connection.drop(error.reason)
            self.punish(connection.member, BROKEN_RULES_COST, error.reason)
        except LinkFailed as error:
            connection.drop(error.reason)

    async def _serve_stream(self, connection: Connection, stream: MuxedStream) -> None:
        try:
            with library_faults("protocol negotiation"):
                nameless = MultiselectCommunicator(NamelessStream(stream))
                protocol, _ = await self._multiselect.negotiate(nameless, round(_NEGOTIATE_S))
            if protocol is not None:
                await self._handlers[protocol](connection, stream)
        except PeerBrokeRules as error:
            connection.drop(error.reason)
            self.punish(connection.member, BROKEN_RULES_COST, error.reason)
        except LinkFailed as error:
            _log.debug("stream_failed", member=connection.member.hex()[:8], reason=error.reason)
        finally:
            stream.reset_nowait()

    def _admit(self, member: MemberId, raw: TcpConnection, secured: ISecureConn) -> Connection:
        self._doorkeeper.check_welcome(member, raw.get_remote_address()[0], is_outbound=raw.is_initiator)
        now = trio.current_time()
        old = self.connections.get(member)
        if old is not None:
            has_crossed = old.is_outbound != raw.is_initiator and now - old.opened_at < _CROSSED_S
            if has_crossed and raw.is_initiator != (self._doorkeeper.member < member):
                raise NotWelcome("connected already, the other way round")
            old.drop("replaced by a newer connection")
        muxer = Muxer(
            secured,
            ping_interval_ms=self._settings.ping_interval_ms,
            ping_timeout_ms=self._settings.ping_timeout_ms,
        )
        new = Connection(member=member, is_outbound=raw.is_initiator, opened_at=now, raw=raw, muxer=muxer)
        self.connections[member] = new
        self.seen_addresses[member] = format_address(*raw.get_remote_address())
        self._changed.unpark_all()
        _log.info("peer_connected", member=member.hex()[:8], is_outbound=new.is_outbound)
        return new

    def _remove(self, connection: Connection) -> None:
        member = connection.member
        if self._doorkeeper.is_known(member):
            received, sent = self._past_bytes.get(member, (0, 0))
            self._past_bytes[member] = (received + connection.raw.bytes_received, sent + connection.raw.bytes_sent)
        if self.connections.get(member) is connection:
            del self.connections[member]
        self._changed.unpark_all()
        _log.info("peer_disconnected", member=member.hex()[:8], reason=connection.end_reason or "shutdown")
