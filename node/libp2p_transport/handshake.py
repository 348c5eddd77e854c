"""From a TCP connection to a multiplexed one with a known member at its other end, or to nothing.

Offers noise alone and yamux alone (never plaintext, TLS, SECIO or mplex, which the library's own host offers by
default) and refuses whoever is no member (L1), in both directions: right after the noise handshake has proved who it
is, and again when the connection is taken in, since members may have changed meanwhile. Every handshake has a deadline
and a byte limit, and only so many run at a time, in all and per IP address.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio
from libp2p.abc import ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair as create_ed25519_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL
from libp2p.transport.upgrader import TransportUpgrader

from node.errors import ConfigError
from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed, library_faults
from node.libp2p_transport.roster import Roster
from node.libp2p_transport.scores import PeerScores
from node.libp2p_transport.settings import TransportSettings
from node.libp2p_transport.sockets import TcpConnection
from node.peer_ids import member_to_peer_id, peer_id_to_member
from protocol.units import MemberId

_YAMUX: Final = TProtocol(YAMUX_PROTOCOL)


class NotWelcome(LinkFailed):
    """We know who it is and do not want it; the refusal is already logged."""


class Doorkeeper:
    """Performs handshakes and decides who comes in."""

    def __init__(
        self, settings: TransportSettings, roster: Roster, *, scores: PeerScores, complaints: Complaints
    ) -> None:
        key_pair = create_ed25519_key_pair(settings.signing_seed)
        self.member = MemberId(key_pair.public_key.to_bytes())
        self._settings = settings
        self._roster = roster
        self._scores = scores
        self._complaints = complaints
        noise = NoiseTransport(key_pair, noise_privkey=create_x25519_key_pair().private_key)
        self._upgrader = TransportUpgrader({NOISE_PROTOCOL: noise}, {})
        self._muxer_select = Multiselect({_YAMUX: None})
        self._running: Counter[str] = Counter()

    async def greet_inbound(self, raw: TcpConnection) -> tuple[MemberId, ISecureConn]:
        """Find out who called, and let only members in.

        Raises:
            LinkFailed: The handshake failed, took too long, or is not to be had with this caller.
        """
        address = raw.get_remote_address()[0]
        with self._take_place(address), self._bound_time():
            with library_faults("noise handshake"):
                secured = await self._upgrader.upgrade_security(raw, is_initiator=False)
            member = self._identify(secured, address)
            with library_faults("muxer negotiation"):
                await self._muxer_select.negotiate(MultiselectCommunicator(secured))
        raw.end_handshake()
        return member, secured

    async def greet_outbound(self, raw: TcpConnection, member: MemberId) -> ISecureConn:
        """Prove who we are to a member that we dialled, and have it prove who it is.

        Raises:
            LinkFailed: The handshake failed, took too long, or somebody else answered.
        """
        with self._bound_time():
            expected = ID.from_base58(member_to_peer_id(member))
            with library_faults("noise handshake"):
                secured = await self._upgrader.upgrade_security(raw, is_initiator=True, peer_id=expected)
            self.check_welcome(member, raw.get_remote_address()[0], is_outbound=True)
            with library_faults("muxer negotiation"):
                await MultiselectClient().select_one_of([_YAMUX], MultiselectCommunicator(secured))
        raw.end_handshake()
        return secured

    def is_known(self, member: MemberId) -> bool:
        """Return whether a connection with somebody is allowed now in one direction at least."""
        return member in self._roster.dialled

    def check_welcome(self, member: MemberId, address: str, *, is_outbound: bool) -> None:
        """Check that connections with this member are allowed now.

        Raises:
            NotWelcome: It is no member, or ourselves, or refused for its misbehaviour.
        """
        if not (self.is_known(member) if is_outbound else self._roster.has_member(member)):
            self._complaints.log("stranger_refused", about=member_to_peer_id(member), address=address)
            raise NotWelcome("not a member")
        if member == self.member or self._scores.get_refused_s(member):
            self._complaints.log("peer_refused", about=member_to_peer_id(member), address=address)
            raise NotWelcome("refused for now, for misbehaviour" if member != self.member else "it is ourselves")

    def _identify(self, secured: ISecureConn, address: str) -> MemberId:
        peer_id = str(secured.get_remote_peer())
        try:
            member = peer_id_to_member(peer_id)
        except ConfigError as error:
            self._complaints.log("stranger_refused", about=peer_id, address=address)
            raise NotWelcome("not an Ed25519 identity") from error
        self.check_welcome(member, address, is_outbound=False)
        return member

    @contextmanager
    def _take_place(self, address: str) -> Iterator[None]:
        limits = self._settings
        if (
            self._running.total() >= limits.handshakes_max
            or self._running[address] >= limits.handshakes_per_address_max
        ):
            self._complaints.log("handshake_refused", about=address)
            raise NotWelcome("too many handshakes at a time")
        self._running[address] += 1
        try:
            yield
        finally:
            self._running[address] -= 1
            if not self._running[address]:
                del self._running[address]

    @contextmanager
    def _bound_time(self) -> Iterator[None]:
        with trio.move_on_after(self._settings.handshake_timeout_ms / 1000) as deadline:
            yield
        if deadline.cancelled_caught:
            raise LinkFailed("the handshake took too long")
