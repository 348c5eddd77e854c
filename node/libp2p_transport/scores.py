"""How much misbehaviour of a peer is borne, and for how long it is refused afterwards.

A score starts at 0, falls with each rejected message and rises slowly by itself. At the limit the peer goes into the
penalty box: disconnected, and refused in both directions until its time is up; then it may come back with half of the
limit used up, so that one that goes on is refused sooner.
"""

from dataclasses import dataclass

import trio

from protocol.units import MemberId, Millis


@dataclass(slots=True, kw_only=True)
class _Account:
    score: float = 0
    updated_at: float = 0
    refused_until: float = 0


class PeerScores:
    """The scores of all peers."""

    def __init__(self, *, limit: int, penalty_ms: Millis, recovery_ms: Millis) -> None:
        self._limit = limit
        self._penalty_s = penalty_ms / 1000
        self._recovery_s = recovery_ms / 1000
        self._accounts: dict[MemberId, _Account] = {}

    def charge(self, member: MemberId, cost: int) -> bool:
        """Lower a score by ``cost`` points; return whether this put the peer into the penalty box."""
        account = self._accounts.setdefault(member, _Account())
        now = trio.current_time()
        account.score = self._recover(account, now) - cost
        account.updated_at = now
        if account.score > self._limit or now < account.refused_until:
            return False
        account.score = self._limit / 2
        account.refused_until = now + self._penalty_s
        return True

    def forget(self, member: MemberId) -> None:
        """Drop what is known of a peer."""
        self._accounts.pop(member, None)

    def get_score(self, member: MemberId) -> int:
        """Return a score: 0 is good, the limit is where patience ends."""
        account = self._accounts.get(member)
        return 0 if account is None else round(self._recover(account, trio.current_time()))

    def get_refused_s(self, member: MemberId) -> float:
        """Return for how many seconds more this peer is refused; 0 if it is welcome."""
        account = self._accounts.get(member)
        return 0 if account is None else max(0.0, account.refused_until - trio.current_time())

    def _recover(self, account: _Account, now: float) -> float:
        return min(0.0, account.score + (now - account.updated_at) / self._recovery_s)
