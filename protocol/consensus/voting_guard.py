"""Whether this node remembers all that it ever signed, and so may vote at all (C10).

Two things can be wrong. The vote log is gone: the store says so. Or the whole database is an old one, restored from a
backup, which nothing on this machine can tell. So after every start the others are asked which votes of this node
they have seen, and nothing is signed before members with a quorum of the weight, this node included, have answered:
with fewer of them nothing could be decided anyway, so asking costs no progress. A vote of its own that a node does
not remember convicts its memory, whoever shows it and whenever: its signature cannot be forged.

A node in doubt is suspended until a block is final whose time shows that its certificate was formed after the doubt
arose, and then votes only well above that block's view.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from protocol.crypto import SigningKey
from protocol.interface import AskWitnesses, Effect, Observe, Persist
from protocol.journal import OwnVoteRecord, Record, VotingFloorRecord
from protocol.observations import VotingResumed, VotingSuspended
from protocol.parameters import Parameters
from protocol.units import Digest, Epoch, MemberId, Millis, View
from protocol.validators import ValidatorSet
from protocol.votes import Vote, VoteKind

AMNESIA_VIEWS: Final = 16
"""How far above a certificate formed after the doubt a suspended node begins to vote again."""

REMEMBERED_MAX: Final = 4_096
"""Own votes of this start that are remembered; what is older counts as known."""

LOG_IS_GONE: Final = (
    "the log of this node's votes is gone; it votes again once the network is well past all it may have signed"
)
LOG_IS_OLD: Final = (
    "another member has a vote of this node that its own log does not hold: its database was restored from an older"
    " backup, or a second node runs with the same key; it votes again once the network is well past all it may have"
    " signed"
)

_Position: TypeAlias = tuple[Epoch, View]


class VotingGuard:
    """One node's right to vote, across epochs."""

    def __init__(
        self, key: SigningKey, parameters: Parameters, *, started_ms: Millis, tip: _Position, has_vote_log: bool
    ) -> None:
        """Take what the disk said: everything up to the finalized tip is taken for known."""
        self._member = key.member
        self._drift_ms = parameters.clock_drift_max_ms
        self._now_ms = started_ms
        self._doubted_ms = started_ms
        self._is_log_lost = not has_vote_log
        self._is_suspended = not has_vote_log
        self._votes_after = View(0)
        self._known: dict[_Position, set[tuple[VoteKind, Digest | None]]] = {}
        self._known_to = tip
        self._answered: set[MemberId] = {key.member}
        self._is_witnessed = False

    def restore(self, records: Iterable[Record]) -> None:
        """Take back what the journal kept."""
        for record in records:
            match record:
                case OwnVoteRecord(vote=vote):
                    self.remember(vote)
                case VotingFloorRecord(is_suspended=is_suspended, after_view=after_view):
                    self._is_suspended = is_suspended or self._is_log_lost
                    self._votes_after = after_view
                case _:
                    pass

    def start(self) -> list[Effect]:
        """Return what a start asks for: the others' answers, and if the log is gone that this is not forgotten."""
        effects: list[Effect] = [AskWitnesses()]
        if self._is_suspended:
            effects += self._suspend(LOG_IS_GONE if self._is_log_lost else LOG_IS_OLD)
        return effects

    def is_open(self, validators: ValidatorSet, view: View) -> bool:
        """Return whether this node may sign in a view: it remembers everything, and enough others have confirmed it."""
        if self._is_suspended or view <= self._votes_after:
            return False
        if not self._is_witnessed:
            self._is_witnessed = validators.is_quorum(filter(validators.has_member, sorted(self._answered)))
        return self._is_witnessed

    def explain(self, validators: ValidatorSet, view: View) -> str | None:
        """Return for the operator why this node signs nothing in a view; None if :meth:`is_open`."""
        if self.is_open(validators, view):
            return None
        if self._is_suspended:
            return LOG_IS_GONE if self._is_log_lost else LOG_IS_OLD
        if view <= self._votes_after:
            return f"it had forgotten its votes and votes again after view {self._votes_after}; this is view {view}"
        return "it waits until members with a quorum of the weight have told which of its votes they have seen"

    def on_witness(self, member: MemberId) -> None:
        """Note that a member has told which votes of this node it has seen; they have been noticed before."""
        self._answered.add(member)

    def remember(self, vote: Vote) -> None:
        """Note a vote of this node's own log."""
        self._known.setdefault((vote.epoch, vote.view), set()).add((vote.kind, vote.block_hash))
        if len(self._known) > REMEMBERED_MAX:
            oldest = min(self._known)
            del self._known[oldest]
            self._known_to = max(self._known_to, oldest)

    def note_time(self, now_ms: Millis) -> None:
        """Take the time of the input that is being handled."""
        self._now_ms = now_ms

    def notice(self, vote: Vote) -> list[Effect]:
        """Take any vote whose signature has been checked; one of this node that it does not remember suspends it."""
        position = vote.epoch, vote.view
        if vote.member != self._member or self._is_suspended or position <= self._known_to:
            return []
        if (vote.kind, vote.block_hash) in self._known.get(position, ()):
            return []
        self._doubted_ms = max(self._doubted_ms, self._now_ms)
        return self._suspend(LOG_IS_OLD)

    def on_finalized(self, epoch: Epoch, view: View, time_ms: Millis) -> list[Effect]:
        """Resume voting if a final block shows a certificate that was formed after the doubt.

        Honest members vote only within the clock bound of a block's time (C8), so a block dated that far after the
        doubt was certified after it.
        """
        if not self._is_suspended or time_ms < self._doubted_ms + self._drift_ms:
            return []
        self._is_suspended = False
        self._votes_after = View(view + AMNESIA_VIEWS)
        self._known_to = max(self._known_to, (epoch, self._votes_after))
        return [
            Persist(record=VotingFloorRecord(is_suspended=False, after_view=self._votes_after)),
            Observe(observation=VotingResumed(after_view=self._votes_after)),
        ]

    def _suspend(self, reason: str) -> list[Effect]:
        self._is_suspended = True
        return [
            Persist(record=VotingFloorRecord(is_suspended=True, after_view=View(0))),
            Observe(observation=VotingSuspended(reason=reason)),
        ]
