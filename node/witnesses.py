"""Asks every other member, once a start, which votes of this node it has seen (C10).

A node whose database is an older one than its votes can learn it from the others only. Each member is asked until it
has answered; what it shows is passed on if the signatures are this node's, and what to make of it is the engine's
decision.
"""

from typing import Final

import structlog
import trio

from node.errors import PeerMisbehaved, PeerUnreachable
from node.inbox import Inbox
from node.ports import Service, Transport
from node.services import Progress, decode_progress
from protocol.errors import ProtocolError
from protocol.interface import WitnessHeard
from protocol.units import Digest, MemberId, Millis
from protocol.votes import Vote, check_vote

ANSWER_TIMEOUT_MS: Final = Millis(3_000)
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 2.0

_log = structlog.get_logger(__name__)


class WitnessAsker:
    """Puts one question to every other member, in the background."""

    def __init__(self, *, transport: Transport, inbox: Inbox, chain_id: Digest, member: MemberId) -> None:
        """Take the network, where answers go, and whose votes are asked about."""
        self._transport = transport
        self._inbox = inbox
        self._chain_id = chain_id
        self._member = member
        self._wanted = trio.Event()

    def want_answers(self) -> None:
        """Start asking; returns at once."""
        self._wanted.set()

    async def run(self) -> None:
        """Ask whoever is connected and has not answered yet, until cancelled."""
        await self._wanted.wait()
        answered: set[MemberId] = set()
        pause_s = PAUSE_FIRST_S
        while True:
            connected = [peer.member for peer in self._transport.get_peers() if peer.is_connected]
            async with trio.open_nursery() as nursery:
                for member in connected:
                    if member not in answered:
                        nursery.start_soon(self._ask, member, answered)
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _ask(self, member: MemberId, answered: set[MemberId]) -> None:
        frames: list[bytes] = []

        async def receive(frame: bytes) -> None:
            frames.append(frame)

        try:
            await self._transport.request(member, Service.STATUS, b"", receive, timeout_ms=ANSWER_TIMEOUT_MS)
            if not frames:
                return
            votes = self._check(decode_progress(frames[0]))
        except PeerUnreachable as error:
            _log.debug("witness_unreachable", member=member, reason=str(error))
            return
        except (PeerMisbehaved, ProtocolError) as error:
            _log.warning("peer_misbehaved", member=member, reason=str(error))
            self._transport.lower_score(member, by=10)
            return
        answered.add(member)
        await self._inbox.put(WitnessHeard(member=member, votes=votes))

    def _check(self, progress: Progress) -> tuple[Vote, ...]:
        """Return the votes of this node that an answer holds; others are nobody's business here.

        Raises:
            InvalidMessage: A signature is not this node's.
        """
        votes = tuple(vote for vote in progress.votes if vote.member == self._member)
        for vote in votes:
            check_vote(self._chain_id, vote)
        return votes
