"""What becomes of a vote that is heard: counted, turned into evidence, or noticed as this node's own (C10, C15, L7).

The votes of the epoch before are still looked at, though nobody votes in it any more: a contradiction that comes late
convicts all the same (C13).
"""

from dataclasses import dataclass

from protocol.blocks import BlockHeader
from protocol.consensus.checks import ConsensusConfig
from protocol.consensus.tally import EVIDENCE_VIEWS, Counted, Equivocation, Tally
from protocol.consensus.tree import VIEW_WINDOW
from protocol.consensus.voting_guard import VotingGuard
from protocol.evidence import Evidence
from protocol.interface import Effect
from protocol.units import MemberId, View, Weight
from protocol.votes import Certificate, Vote, split_certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEpoch:
    """The votes of an epoch that is over."""

    tally: Tally
    first_view: View
    """Votes of views up to this one, or above the other, are not kept (C15)."""
    last_view: View

    def can_use(self, vote: Vote) -> bool:
        """Return whether a vote is one of this epoch that was not counted yet."""
        is_in_window = self.first_view < vote.view <= self.last_view
        return is_in_window and self.tally.is_of_epoch(vote) and not self.tally.is_counted(vote)


class Counting:
    """All votes of one epoch. What follows from them is appended to ``effects`` and ``evidence``."""

    def __init__(self, config: ConsensusConfig, guard: VotingGuard, past: PastEpoch | None) -> None:
        """Start with no votes of this epoch."""
        self._validators = config.validators
        self._guard = guard
        self._tally = Tally(config.validators)
        self._past = past
        self.effects: list[Effect] = []
        self.evidence: list[Evidence] = []

    def count(self, vote: Vote) -> Certificate | None:
        """Count a vote of this epoch whose signature has been checked; return the certificate that it completes."""
        self.notice(vote)
        match self._tally.count(vote):
            case Counted(certificate=certificate):
                return certificate
            case Equivocation(evidence=evidence, certificate=certificate):
                self.evidence.append(evidence)
                return certificate
            case _:
                return None

    def count_past(self, vote: Vote) -> None:
        """Look at a vote of another epoch for what it proves."""
        self.notice(vote)
        if self._past is not None and self._past.can_use(vote):
            result = self._past.tally.count(vote)
            if isinstance(result, Equivocation):
                self.evidence.append(result.evidence)

    def notice(self, *votes: Vote) -> None:
        """Look at votes for one of this node that it has forgotten (C10)."""
        for vote in votes:
            self.effects += self._guard.notice(vote)

    def notice_certificate(self, certificate: Certificate) -> None:
        """Look at the votes in a certificate of this epoch for one of this node that it has forgotten (C10)."""
        self.notice(*split_certificate(self._validators, certificate))

    def remember(self, certificate: Certificate) -> None:
        """Keep the votes in a finalization, so that a member that forgot its own can be told (C10)."""
        if certificate.epoch == self._validators.epoch:
            for vote in split_certificate(self._validators, certificate):
                self._tally.count(vote)

    def is_settled(self, vote: Vote, finalized_view: View) -> bool:
        """Return whether a vote can change nothing any more, so that it need not be checked or forwarded."""
        if vote.epoch != self._validators.epoch:
            return self._past is None or not self._past.can_use(vote)
        tally = self._tally
        is_useless = vote.view <= finalized_view or tally.is_counted(vote) or tally.is_complete(vote)
        return is_useless and not tally.has_conflict(vote)

    def get_newest(self, member: MemberId) -> tuple[Vote, ...]:
        """Return a member's newest votes, all of one view."""
        newest = self._tally.get_newest(member)
        return newest if newest or self._past is None else self._past.tally.get_newest(member)

    def compute_nullify_weight(self, view: View) -> Weight:
        """Return the weight of those that voted to nullify a view."""
        return self._tally.compute_nullify_weight(view)

    def on_finalized(self, last: BlockHeader) -> None:
        """Forget votes far below a final block, and let the guard see that block."""
        self._tally.prune(View(last.view - EVIDENCE_VIEWS))
        self.effects += self._guard.on_finalized(last.epoch, last.view, last.time_ms)

    def close(self, finalized_view: View, view: View) -> PastEpoch:
        """Return what the next epoch keeps of this one."""
        return PastEpoch(
            tally=self._tally,
            first_view=View(finalized_view - EVIDENCE_VIEWS),
            last_view=View(view + VIEW_WINDOW),
        )
