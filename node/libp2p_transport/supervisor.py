"""Connects to every other member, for ever: nothing in libp2p reconnects by itself.

Of two members the one with the lower id dials at once, and the other only if that has not worked after a pause, so that
they seldom dial across each other. Failed attempts are spaced by a growing, jittered pause; a connection that comes up
in either direction, or a new address, starts it over.
"""

from collections import Counter
from collections.abc import Mapping
from secrets import SystemRandom
from typing import Final

import trio

from node.errors import ConfigError
from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.handshake import NotWelcome
from node.libp2p_transport.network import Network
from node.libp2p_transport.scores import PeerScores
from node.libp2p_transport.settings import TransportSettings
from node.peer_ids import member_to_peer_id
from protocol.units import MemberId

_GROWTH: Final = 1.6
_SILENT_FAILURES: Final = 3
"""Failed dials in a row that are nobody's business yet: nodes that start together miss each other once or twice."""
_JITTER: Final = SystemRandom()


class Supervisor:
    """Dials whoever is missing."""

    def __init__(
        self,
        settings: TransportSettings,
        network: Network,
        *,
        me: MemberId,
        scores: PeerScores,
        complaints: Complaints,
    ) -> None:
        self._settings = settings
        self._network = network
        self._scores = scores
        self._me = me
        self._addresses: dict[MemberId, tuple[str, ...]] = {}
        self._complaints = complaints
        self._failures: Counter[MemberId] = Counter()
        self._readdressed = {member: trio.Event() for member in settings.members if member != self._me}
        self._update_all(settings.addresses)

    def get_addresses(self, member: MemberId) -> tuple[str, ...]:
        """Return where a member is dialled."""
        return self._addresses.get(member, ())

    def update_addresses(self, member: MemberId, addresses: tuple[str, ...]) -> None:
        """Dial a member at other addresses from now on, at once if it is missing."""
        if member in self._readdressed and addresses != self._addresses.get(member):
            self._addresses[member] = addresses
            self._readdressed[member].set()
            self._readdressed[member] = trio.Event()

    async def run(self, nursery: trio.Nursery) -> None:
        """Keep every member connected; the connections run in ``nursery``."""
        async with trio.open_nursery() as own:
            for member in sorted(self._readdressed):
                own.start_soon(self._keep_connected, nursery, member)

    def _update_all(self, addresses: Mapping[MemberId, tuple[str, ...]]) -> None:
        self._addresses.update({member: known for member, known in addresses.items() if member in self._readdressed})

    async def _keep_connected(self, nursery: trio.Nursery, member: MemberId) -> None:
        shortest, longest = self._settings.redial_min_ms / 1000, self._settings.redial_max_ms / 1000
        pause = shortest
        first_pause = 0 if self._me < member else self._settings.dial_pause_ms / 1000
        while True:
            while member in self._network.connections:
                await self._network.wait_change()
                pause = shortest
            await self._sleep_unless_connected(member, first_pause)
            if member in self._network.connections:
                continue
            refused_s = self._scores.get_refused_s(member)
            if refused_s:
                await trio.sleep(refused_s)
                continue
            if not await self._dial_any(nursery, member):
                readdressed = self._readdressed[member]
                with trio.move_on_after(pause * _JITTER.uniform(0.6, 1.4)):
                    await readdressed.wait()
                pause = shortest if readdressed.is_set() else min(pause * _GROWTH, longest)

    async def _sleep_unless_connected(self, member: MemberId, seconds: float) -> None:
        with trio.move_on_after(seconds):
            while member not in self._network.connections:
                await self._network.wait_change()

    async def _dial_any(self, nursery: trio.Nursery, member: MemberId) -> bool:
        for address in self._addresses.get(member, ()):
            try:
                connection = await self._network.connect(member, address)
            except NotWelcome:
                continue
            except (LinkFailed, ConfigError) as error:
                self._failures[member] += 1
                if self._failures[member] > _SILENT_FAILURES:
                    self._complaints.log(
                        "dial_failed", about=member_to_peer_id(member), address=address, reason=str(error)
                    )
            else:
                self._failures[member] = 0
                nursery.start_soon(self._network.serve_connection, connection)
                return True
        return False
