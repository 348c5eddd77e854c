"""What this node has signed in an epoch: cast once, durable before it leaves, remembered across restarts (C10)."""

from collections.abc import Iterable
from typing import Final

from protocol.consensus.checks import ConsensusConfig
from protocol.consensus.voting_guard import VotingGuard
from protocol.journal import OwnProposalRecord, OwnVoteRecord, Record
from protocol.messages import Proposal
from protocol.units import Digest, View
from protocol.votes import Vote, VoteKind, sign_vote

EXCLUDED_BY: Final = {
    VoteKind.NOTARIZE: (VoteKind.NOTARIZE, VoteKind.NULLIFY),
    VoteKind.NULLIFY: (VoteKind.NULLIFY, VoteKind.FINALIZE),
    VoteKind.FINALIZE: (VoteKind.FINALIZE, VoteKind.NULLIFY),
}
"""The votes after which one of a kind is no longer cast in the same view."""


class OwnVotes:
    """The votes and the proposal of this node in one epoch, above the finalized tip."""

    def __init__(self, config: ConsensusConfig, guard: VotingGuard) -> None:
        """Start with no memory; :meth:`restore` gives it back."""
        self._config = config
        self._guard = guard
        self._votes: dict[View, dict[VoteKind, Vote]] = {}
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
                case _:
                    pass

    def has_cast(self, view: View, *kinds: VoteKind) -> bool:
        """Return whether a vote of one of these kinds was cast in a view."""
        cast = self._votes.get(view)
        return cast is not None and not cast.keys().isdisjoint(kinds)

    def is_allowed(self, view: View) -> bool:
        """Return whether this node is a validator and remembers all it may have signed in a view."""
        validators = self._config.validators
        return validators.has_member(self._config.key.member) and self._guard.is_open(validators, view)

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
        self._guard.remember(vote)
        return vote

    def get_all(self) -> tuple[Vote, ...]:
        """Return every vote above the finalized tip, ascending."""
        return tuple(self._votes[view][kind] for view in sorted(self._votes) for kind in sorted(self._votes[view]))

    def on_finalized(self, view: View) -> None:
        """Forget up to a finalized view."""
        self._votes = {key: cast for key, cast in self._votes.items() if key > view}
