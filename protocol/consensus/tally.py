"""Counting votes: who said what in each view, when that makes a quorum, and when it is an offence.

Evidence is a by-product of counting (L7). The tally is bounded by the caller's view window: per member and view it
keeps one vote of each kind, and whatever contradicts these is turned into evidence instead of being kept (C15).
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from protocol.evidence import ConflictingVotes, build_vote_evidence, is_conflict
from protocol.units import Digest, MemberId, View, Weight
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, Vote, VoteKind, build_certificate

EVIDENCE_VIEWS: Final = 16
"""The views below the finalized one whose votes are kept, so that a contradiction that comes late still convicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The vote was new and is counted; ``certificate`` is there when it completed a quorum."""

    certificate: Certificate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyCounted:
    """The same vote was counted before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """The vote contradicts one counted before; it is not counted unless its kind was new."""

    evidence: ConflictingVotes
    certificate: Certificate | None


CountResult: TypeAlias = Counted | AlreadyCounted | Equivocation

_Key: TypeAlias = tuple[VoteKind, Digest | None]


class Tally:
    """The votes of the views above the finalized one, and of a few below."""

    def __init__(self, validators: ValidatorSet) -> None:
        """Start with no votes."""
        self._validators = validators
        self._votes: dict[View, dict[MemberId, dict[VoteKind, Vote]]] = {}
        self._counts: dict[View, dict[_Key, dict[MemberId, Vote]]] = {}
        self._weights: dict[View, dict[_Key, Weight]] = {}
        """What the members in ``_counts`` weigh together."""
        self._complete: set[tuple[View, VoteKind, Digest | None]] = set()

    def count(self, vote: Vote) -> CountResult:
        """Count a vote of a validator, whose signature has been checked."""
        by_kind = self._votes.setdefault(vote.view, {}).setdefault(vote.member, {})
        conflict = self._find_conflict(by_kind, vote)
        known = by_kind.get(vote.kind)
        if known is not None:
            return AlreadyCounted() if conflict is None else Equivocation(evidence=conflict, certificate=None)
        by_kind[vote.kind] = vote
        certificate = self._count_new(vote)
        if conflict is not None:
            return Equivocation(evidence=conflict, certificate=certificate)
        return Counted(certificate=certificate)

    def is_complete(self, vote: Vote) -> bool:
        """Return whether a quorum for the same thing has been counted already, so that this vote adds nothing to it."""
        return (vote.view, vote.kind, vote.block_hash) in self._complete

    def has_conflict(self, vote: Vote) -> bool:
        """Return whether a vote excludes one of its member's that was counted before."""
        known = self._votes.get(vote.view, {}).get(vote.member, {})
        return any(is_conflict(other, vote) for other in known.values())

    def is_counted(self, vote: Vote) -> bool:
        """Return whether exactly this vote has been counted already."""
        return self._votes.get(vote.view, {}).get(vote.member, {}).get(vote.kind) == vote

    def is_of_epoch(self, vote: Vote) -> bool:
        """Return whether a vote is one of this epoch's validators in this epoch."""
        return vote.epoch == self._validators.epoch and self._validators.has_member(vote.member)

    def get_newest(self, member: MemberId) -> tuple[Vote, ...]:
        """Return a member's votes of the highest view in which it has any, by kind."""
        views = [view for view, by_member in self._votes.items() if member in by_member]
        return tuple(vote for _, vote in sorted(self._votes[max(views)][member].items())) if views else ()

    def compute_nullify_weight(self, view: View) -> Weight:
        """Return the weight of those that voted to nullify a view."""
        return self._weights.get(view, {}).get((VoteKind.NULLIFY, None), Weight(0))

    def prune(self, last_view: View) -> None:
        """Forget the votes of all views up to this one."""
        for view in [view for view in self._votes if view <= last_view]:
            del self._votes[view]
        for view in [view for view in self._counts if view <= last_view]:
            del self._counts[view], self._weights[view]
        self._complete = {entry for entry in self._complete if entry[0] > last_view}

    def _find_conflict(self, by_kind: dict[VoteKind, Vote], vote: Vote) -> ConflictingVotes | None:
        for kind in sorted(by_kind):
            if is_conflict(by_kind[kind], vote):
                return build_vote_evidence(by_kind[kind], vote)
        return None

    def _count_new(self, vote: Vote) -> Certificate | None:
        key = (vote.kind, vote.block_hash)
        counted = self._counts.setdefault(vote.view, {}).setdefault(key, {})
        weights = self._weights.setdefault(vote.view, {})
        counted[vote.member] = vote
        weights[key] = Weight(weights.get(key, 0) + self._validators.get_weight(vote.member))
        entry = (vote.view, *key)
        if entry in self._complete or weights[key] < self._validators.quorum_weight:
            return None
        self._complete.add(entry)
        return build_certificate(self._validators, tuple(counted[member] for member in sorted(counted)))
