"""What this node has signed: cast once, durable before it leaves, remembered across restarts (C10)."""

from collections.abc import Iterable
from typing import Final

from protocol.consensus.checks import ConsensusConfig
from protocol.interface import Effect, Observe, Persist, VotingResumed, VotingSuspended
from protocol.journal import OwnProposalRecord, OwnVoteRecord, Record, VotingFloorRecord
from protocol.messages import Proposal
from protocol.units import Digest, Millis, View
from protocol.votes import Vote, VoteKind, sign_vote

AMNESIA_VIEWS = 16
"""How far above a certificate formed after its start a node without a vote log begins to vote again."""

EXCLUDED_BY: Final = {
    VoteKind.NOTARIZE: (VoteKind.NOTARIZE, VoteKind.NULLIFY),
    VoteKind.NULLIFY: (VoteKind.NULLIFY, VoteKind.FINALIZE),
    VoteKind.FINALIZE: (VoteKind.FINALIZE, VoteKind.NULLIFY),
}
"""The votes after which one of a kind is no longer cast in the same view."""


class OwnVotes:
    """The votes and the proposal of this node above the finalized tip."""

    def __init__(self, config: ConsensusConfig) -> None:
        """Start with no memory; :meth:`restore` gives it back."""
        self._config = config
        self._votes: dict[View, dict[VoteKind, Vote]] = {}
        self._is_suspended = not config.has_vote_log
        self._votes_after = View(0)
        self.proposal: Proposal | None = None
        """The last block that this node proposed."""

    def restore(self, records: Iterable[Record], tip_view: View) -> None:
        """Take back what the journal kept, above the finalized view."""
        for record in records:
            match record:
                case OwnVoteRecord(vote=vote) if vote.view > tip_view:
                    self._votes.setdefault(vote.view, {})[vote.kind] = vote
                case OwnProposalRecord(proposal=proposal) if proposal.block.header.view > tip_view:
                    self.proposal = proposal
                case VotingFloorRecord(is_suspended=is_suspended, after_view=after_view):
                    self._is_suspended = is_suspended or not self._config.has_vote_log
                    self._votes_after = after_view
                case _:
                    pass

    def start(self) -> list[Effect]:
        """Return what a start without a vote log asks for: to remember it, and to tell the operator."""
        if not self._is_suspended:
            return []
        reason = (
            "the log of this node's votes is gone; it votes again once the network is well past all it may have signed"
        )
        return [
            Persist(record=VotingFloorRecord(is_suspended=True, after_view=View(0))),
            Observe(observation=VotingSuspended(reason=reason)),
        ]

    def has_cast(self, view: View, *kinds: VoteKind) -> bool:
        """Return whether a vote of one of these kinds was cast in a view."""
        return any(kind in self._votes.get(view, {}) for kind in kinds)

    def is_allowed(self, view: View) -> bool:
        """Return whether this node is a validator and remembers all it may have signed in a view."""
        is_validator = self._config.validators.has_member(self._config.key.member)
        return is_validator and not self._is_suspended and view > self._votes_after

    def is_free_to_cast(self, kind: VoteKind, view: View) -> bool:
        """Return whether a vote may be cast: it is allowed here, and none that excludes it was cast (C3, C4, C5)."""
        return self.is_allowed(view) and not self.has_cast(view, *EXCLUDED_BY[kind])

    def cast(self, kind: VoteKind, view: View, block_hash: Digest | None) -> Vote:
        """Return a newly signed vote; the caller makes it durable before it leaves."""
        config = self._config
        vote = sign_vote(
            config.chain_id, config.key, epoch=config.validators.epoch, kind=kind, view=view, block_hash=block_hash
        )
        self._votes.setdefault(view, {})[kind] = vote
        return vote

    def get_all(self) -> tuple[Vote, ...]:
        """Return every vote above the finalized tip, ascending."""
        return tuple(self._votes[view][kind] for view in sorted(self._votes) for kind in sorted(self._votes[view]))

    def on_finalized(self, view: View, time_ms: Millis) -> list[Effect]:
        """Forget up to a finalized view; resume voting if the block shows a certificate formed after our start.

        Honest members vote only within the clock bound of a block's time (C8), so a block that far after our start was
        certified after it.
        """
        self._votes = {key: cast for key, cast in self._votes.items() if key > view}
        config = self._config
        if not self._is_suspended or time_ms < config.started_ms + config.parameters.clock_drift_max_ms:
            return []
        self._is_suspended = False
        self._votes_after = View(view + AMNESIA_VIEWS)
        return [
            Persist(record=VotingFloorRecord(is_suspended=False, after_view=self._votes_after)),
            Observe(observation=VotingResumed(after_view=self._votes_after)),
        ]
