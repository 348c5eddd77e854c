"""Which members to ask for an artifact: those connected, the likeliest first, without liars and recent failures."""

from collections.abc import Callable
from typing import Final

from node.ports import Transport
from protocol.units import Digest, MemberId

RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 15.0


class Sources:
    """The members that one fetch may ask."""

    def __init__(
        self, transport: Transport, digest: Digest, hint: MemberId | None, get_time_s: Callable[[], float]
    ) -> None:
        """Take where members come from, what is fetched, who should hold it, and a clock in seconds."""
        self._transport = transport
        self._hint = hint
        self._spread = int.from_bytes(digest[:4], "big")
        self._get_time_s = get_time_s
        self._failures: dict[MemberId, int] = {}
        self._retry_at_s: dict[MemberId, float] = {}
        self._liars: set[MemberId] = set()

    def get_usable(self) -> list[MemberId]:
        """Return whom to ask now: the hinted member first, the others from a place that differs by artifact.

        So that the members share the work when many artifacts are fetched from them at a time.
        """
        now_s = self._get_time_s()
        members = [
            peer.member
            for peer in self._transport.get_peers()
            if peer.is_connected and peer.member not in self._liars and self._retry_at_s.get(peer.member, 0.0) <= now_s
        ]
        if members:
            start = self._spread % len(members)
            members = members[start:] + members[:start]
        if self._hint in members:
            members.remove(self._hint)
            members.insert(0, self._hint)
        return members

    def note_failure(self, member: MemberId) -> None:
        """Leave a member alone for a while, longer with each failure."""
        failures = self._failures.get(member, 0)
        self._failures[member] = failures + 1
        pause_s = min(RETRY_MIN_S * 2 ** min(failures, 10), RETRY_MAX_S)
        self._retry_at_s[member] = self._get_time_s() + pause_s

    def note_success(self, member: MemberId) -> None:
        """Forget a member's failures."""
        self._failures.pop(member, None)

    def note_lie(self, member: MemberId) -> None:
        """Never ask a member again in this fetch."""
        self._liars.add(member)
