"""Connects to every other member, for ever: nothing in libp2p reconnects by itself.

Of two members the one with the lower id dials at once, and the other only if that has not worked after a pause, so that
they seldom dial across each other. Failed attempts are spaced by a growing, jittered pause; a connection that lasts, in
either direction, or a new address, starts it over. Who is a member, and where, is the roster's to say.
"""

from dataclasses import dataclass, field
from secrets import SystemRandom
from typing import Final

import trio

from node.errors import ConfigError
from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.handshake import NotWelcome
from node.libp2p_transport.network import Network
from node.libp2p_transport.roster import Roster
from node.libp2p_transport.scores import PeerScores
from node.libp2p_transport.settings import TransportSettings
from node.peer_ids import member_to_peer_id
from protocol.units import MemberId

_GROWTH: Final = 1.6
_SILENT_FAILURES: Final = 3
"""Failed dials in a row that are nobody's business yet: nodes that start together miss each other once or twice."""
_LASTING_S: Final = 5.0
"""A connection that ends sooner is a failed attempt: two nodes that cannot agree would connect again and again."""
_JITTER: Final = SystemRandom()


@dataclass(slots=True, kw_only=True, eq=False)
class _Charge:
    """A member that is to be kept connected."""

    member: MemberId
    addresses: tuple[str, ...]
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Ends the care for this member."""
    readdressed: trio.Event = field(default_factory=trio.Event)
    failures: int = 0
    """Failed dials in a row."""
    pause: float = 0.0
    """How long the next one waits, in seconds, before jitter."""


class Supervisor:
    """Dials whoever is missing."""

    def __init__(
        self,
        settings: TransportSettings,
        network: Network,
        roster: Roster,
        *,
        me: MemberId,
        scores: PeerScores,
        complaints: Complaints,
    ) -> None:
        self._settings = settings
        self._network = network
        self._roster = roster
        self._me = me
        self._scores = scores
        self._complaints = complaints
        self._charges: dict[MemberId, _Charge] = {}
        self._tasks: trio.Nursery | None = None
        """One per charge; None while nobody is cared for."""
        self._connections: trio.Nursery | None = None

    async def run(self, nursery: trio.Nursery) -> None:
        """Keep every member connected; the connections run in ``nursery``."""
        async with trio.open_nursery() as tasks:
            self._tasks, self._connections = tasks, nursery
            try:
                self.follow_roster()
                await trio.sleep_forever()
            finally:
                self._tasks = None

    def follow_roster(self) -> None:
        """Care for new members, stop it for those that left, and dial at once who is missing and has moved."""
        if self._tasks is None:
            return
        others = self._roster.dialled - {self._me}
        for member in sorted(self._charges.keys() - others):
            self._charges.pop(member).scope.cancel()
        for member in sorted(others):
            addresses = self._roster.get_addresses(member)
            charge = self._charges.get(member)
            if charge is None:
                charge = self._charges[member] = _Charge(member=member, addresses=addresses)
                self._tasks.start_soon(self._keep_connected, charge)
            elif charge.addresses != addresses:
                charge.addresses = addresses
                charge.readdressed.set()
                charge.readdressed = trio.Event()

    async def _keep_connected(self, charge: _Charge) -> None:
        member = charge.member
        shortest = charge.pause = self._settings.redial_min_ms / 1000
        first_pause = 0 if self._me < member else self._settings.dial_pause_ms / 1000
        with charge.scope:
            while True:
                if member in self._network.connections:
                    if await self._wait_disconnected(member) < _LASTING_S:
                        await self._rest(charge, charge.readdressed)
                    else:
                        charge.pause = shortest
                await self._sleep_unless_connected(member, first_pause)
                if member in self._network.connections:
                    continue
                refused_s = self._scores.get_refused_s(member)
                if refused_s:
                    await trio.sleep(refused_s)
                    continue
                readdressed = charge.readdressed
                if not await self._dial_any(charge):
                    await self._rest(charge, readdressed)

    async def _wait_disconnected(self, member: MemberId) -> float:
        """Return how long a connection lasted, in seconds, once there is none."""
        since = trio.current_time()
        while member in self._network.connections:
            await self._network.wait_change()
        return trio.current_time() - since

    async def _rest(self, charge: _Charge, readdressed: trio.Event) -> None:
        """Pause after an attempt that came to nothing, unless the member has moved since."""
        with trio.move_on_after(charge.pause * _JITTER.uniform(0.6, 1.4)):
            await readdressed.wait()
        shortest, longest = self._settings.redial_min_ms / 1000, self._settings.redial_max_ms / 1000
        charge.pause = shortest if readdressed.is_set() else min(charge.pause * _GROWTH, longest)

    async def _sleep_unless_connected(self, member: MemberId, seconds: float) -> None:
        with trio.move_on_after(seconds):
            while member not in self._network.connections:
                await self._network.wait_change()

    async def _dial_any(self, charge: _Charge) -> bool:
        for address in charge.addresses:
            try:
                connection = await self._network.connect(charge.member, address)
            except NotWelcome:
                continue
            except (LinkFailed, ConfigError) as error:
                charge.failures += 1
                if charge.failures > _SILENT_FAILURES:
                    self._complaints.log(
                        "dial_failed", about=member_to_peer_id(charge.member), address=address, reason=str(error)
                    )
            else:
                charge.failures = 0
                assert self._connections is not None
                self._connections.start_soon(self._network.serve_connection, connection)
                return True
        return False
