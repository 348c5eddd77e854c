"""Stake-weighted Simplex consensus: when to propose, vote, give up a view, and call a block final.

Source: B. Chan, R. Pass, "Simplex Consensus: A Simple and Fast Consensus Protocol" (eprint 2023/463). Rules, by their
numbers:

C1  Upon being the leader of the current view, with something to order: propose once, with the certificates that
    justify the parent.
C3  Upon the first valid proposal of the view's leader: notarize it, unless this view has been voted on before.
C4  Upon the timer of a view: nullify it, unless a finalize vote was cast in it; arm again; gossip again (C9).
C5  Upon a notarization: keep it, finalize the block unless this view was voted to be nullified, enter the next view.
C6  Upon a nullification: keep it, enter the next view.
C7  Upon a finalization: the block and all its ancestors are final; hand them over in order.
C13 Upon the last block of the epoch being the one to build on: notarize it again in this view, after half a timeout.

One object serves one epoch, which ends with a block that has no child. If its own view does not finalize it, later
views vote for it again, as if for an empty block on it with its hash: who the next epoch's members are never depends
on a block that is not final by itself.

Deviations from the paper. Heads are weights, since members are weighted. There is no dummy block: a nullify vote has
no hash. A view without anything to order has no timer and no proposal (C12), because a ledger of a few operations an
hour should be silent in between. Certificates travel only inside proposals and to those who seem to need them (C16),
because every member hears every vote. A notarization that comes after the view was left is still answered with a
finalize vote, if none to nullify was cast.

Safety: two notarizations in one view share more than a third of the weight, and each sharer signed two blocks, which
is evidence. A finalized view cannot be nullified without a third of the weight signing FINALIZE and NULLIFY, which is
evidence as well; so every later block has the finalized one as an ancestor (C2). Liveness: after the network heals,
all honest members hear the same votes, enter the same views, and the first honest leader's block is notarized and
finalized before its timer runs out.
"""

from collections.abc import Iterable

from protocol.blocks import Block, compute_block_hash
from protocol.consensus.checks import (
    Application,
    ConsensusConfig,
    check_body,
    check_fetched_chain,
    check_proposal,
    find_conflict,
    is_votable,
)
from protocol.consensus.counting import Counting, PastEpoch
from protocol.consensus.outgoing import BlockContent, Outgoing, build_broadcast, build_proposal
from protocol.consensus.own_votes import OwnVotes
from protocol.consensus.pacemaker import Pacemaker
from protocol.consensus.tally import EVIDENCE_VIEWS
from protocol.consensus.tree import VIEW_WINDOW, BlockTree, Tip
from protocol.consensus.turns import Close, Propose, Wait, choose_turn
from protocol.consensus.voting_guard import VotingGuard
from protocol.errors import ProtocolError
from protocol.evidence import Evidence
from protocol.interface import Effect, FetchBlock, FetchBlocks, FinalizedBlock, Observe, Persist
from protocol.journal import (
    BlockRecord,
    CertificateRecord,
    OwnProposalRecord,
    OwnVoteRecord,
    Record,
    get_record_epoch,
)
from protocol.messages import Certificates, ConsensusMessage, Proposal, Votes
from protocol.observations import ViewFailed
from protocol.units import Digest, Height, Millis, View
from protocol.votes import Certificate, Vote, VoteKind, split_certificate


class Consensus:
    """One node's consensus in one epoch.

    Handlers append to ``effects``, ``delivered`` and ``evidence``; the engine empties these lists.
    """

    def __init__(
        self,
        config: ConsensusConfig,
        application: Application,
        guard: VotingGuard,
        tip: Tip,
        certificate: Certificate | None,
        past: PastEpoch | None = None,
    ) -> None:
        """Start above a finalized tip with no memory; :meth:`restore` gives it back what the journal kept.

        The guard is the same for all epochs of one start; ``past`` is the epoch before, if this node saw its end.
        """
        self.config = config
        self._application = application
        self.counting = Counting(config, guard, past)
        self._own = OwnVotes(config, guard)
        self._pacemaker = Pacemaker(config.parameters)
        self.tree = BlockTree(config.chain_id, tip, certificate)
        self.view = View(tip.view + 1)
        self.effects: list[Effect] = self.counting.effects
        self.delivered: list[FinalizedBlock] = []
        self.evidence: list[Evidence] = self.counting.evidence
        self._proposals: dict[View, Proposal] = {}
        self._propose_ms: Millis | None = None
        self._outgoing = Outgoing(config.started_ms)
        if certificate is not None:
            self.counting.remember(certificate)

    def restore(self, records: Iterable[Record]) -> None:
        """Take back what the journal kept of this epoch: own votes are tallied again, not only remembered (C10)."""
        known = tuple(record for record in records if get_record_epoch(record) in {None, self.config.validators.epoch})
        self._own.restore(known, self.tree.tip.view)
        for record in known:
            match record:
                case OwnProposalRecord(proposal=proposal) if proposal.block.header.view > self.tree.tip.view:
                    self._proposals[proposal.block.header.view] = proposal
                    self.tree.add_block(proposal.block)
                case BlockRecord(block=block) if block.header.view > self.tree.tip.view:
                    self.tree.add_block(block)
                case CertificateRecord(certificate=certificate):
                    self._on_certificate(certificate)
                case _:
                    pass
        for vote in self._own.get_all():
            self._count(vote)
        self.effects[:] = [
            effect for effect in self.effects if not isinstance(effect, Persist) or effect.record not in known
        ]

    def start(self, now_ms: Millis) -> None:
        """Tell the others what this node had said before it stopped, and ask for what it missed."""
        self.effects.extend(self._outgoing.build_standstill(self._own, self.tree, self.view))
        self._fetch_blocks()
        self.step(now_ms)

    def on_message(self, message: ConsensusMessage) -> None:
        """Take a message whose signatures gossip admission has checked."""
        match message:
            case Proposal():
                self._on_proposal(message)
            case Votes():
                self._on_votes(message)
            case Certificates():
                for certificate in message.certificates:
                    self._on_certificate(certificate)

    def on_block_body(self, block: Block) -> None:
        """Take the body of an unfinalized block; raises InvalidMessage if it is not what its leader published."""
        if self.tree.is_wanted(compute_block_hash(self.config.chain_id, block.header), block.header.view):
            check_body(self.config, block)
            self.tree.add_block(block)
            self._finalize_what_is_complete()

    def on_final_blocks(self, blocks: tuple[FinalizedBlock, ...]) -> None:
        """Take final blocks from a peer; one certificate authenticates the whole prefix (C14).

        Raises:
            InvalidMessage: They are no chain on our tip, or a certificate is wrong.
        """
        blocks = tuple(entry for entry in blocks if entry.block.header.height > self.tree.tip.height)
        if not blocks:
            return
        last = check_fetched_chain(self.config, self.tree.tip, blocks)
        for entry in blocks:
            self.tree.add_final(entry)
            if entry.certificate is not None:
                self.counting.notice_certificate(entry.certificate)
        self._on_certificate(last)

    def step(self, now_ms: Millis) -> None:
        """Do what has become possible: vote, time out, arm the timer, propose, send."""
        self._try_notarize(now_ms)
        if self._pacemaker.is_due(now_ms):
            self._on_view_timeout(now_ms)
        self._arm_if_active(now_ms)
        self._take_turn(now_ms)
        self._arm_if_active(now_ms)
        self.effects.extend(self._outgoing.flush(self.tree, now_ms))

    def compute_wakeup_ms(self) -> Millis | None:
        """Return when :meth:`step` wants to be called next, if nothing else happens."""
        times = [time for time in (self._pacemaker.timer_ms, self._propose_ms) if time is not None]
        return min(times, default=None)

    def is_settled(self, vote: Vote) -> bool:
        """Return whether a vote can change nothing any more, so that it need not be checked or forwarded."""
        return self.counting.is_settled(vote, self.tree.tip.view)

    def close(self) -> PastEpoch:
        """Return what the next epoch keeps of this one."""
        return self.counting.close(self.tree.tip.view, self.view)

    def _on_proposal(self, proposal: Proposal) -> None:
        header = proposal.block.header
        if header.view <= self.tree.tip.view or header.view > self.view + VIEW_WINDOW:
            return
        known = self._proposals.get(header.view)
        conflict = None if known is None else find_conflict(known.block, proposal.block)
        if conflict is not None:
            self.evidence.append(conflict)
        try:
            check_proposal(self.config, self.tree, proposal)
            self._application.check_operations(proposal.block)
        except ProtocolError:
            return
        for certificate in (proposal.parent_certificate, *proposal.nullifications):
            if certificate is not None:
                self._on_certificate(certificate)
        if known is None and header.view > self.tree.tip.view:
            self._proposals[header.view] = proposal
            self.tree.add_block(proposal.block)
            missing = self.tree.find_missing_body(header.parent_hash)
            if missing is not None:
                self.effects.append(FetchBlock(block_hash=missing))
            self._finalize_what_is_complete()

    def _try_notarize(self, now_ms: Millis) -> None:
        """C3, for the current view only: the certificates of a proposal lead here."""
        proposal = self._proposals.get(self.view)
        if proposal is None or not self._own.is_free_to_cast(VoteKind.NOTARIZE, self.view):
            return
        failures = self._pacemaker.failures
        if not is_votable(self.config, self.tree, self._application, proposal.block, now_ms=now_ms, failures=failures):
            return
        self.effects.append(Persist(record=BlockRecord(block=proposal.block)))
        self._cast(VoteKind.NOTARIZE, self.view, compute_block_hash(self.config.chain_id, proposal.block.header))

    def _take_turn(self, now_ms: Millis) -> None:
        """C1, C13: begin what this node may begin in the current view, once."""
        self._propose_ms = None
        if self.delivered or not self._own.is_free_to_cast(VoteKind.NOTARIZE, self.view):
            # What was delivered is executed first, or its operations would be ordered again.
            return
        push_ms = self._pacemaker.compute_push_ms()
        match choose_turn(self.config, self.tree, self._application, self.view, push_ms=push_ms, now_ms=now_ms):
            case Propose(parent=parent, branch=branch) if self.view not in self._proposals:
                self._propose(parent, branch, now_ms)
                self._try_notarize(now_ms)
            case Close(block=block):
                self.effects.append(Persist(record=BlockRecord(block=block)))
                self._cast(VoteKind.NOTARIZE, self.view, compute_block_hash(self.config.chain_id, block.header))
            case Wait(until_ms=until_ms):
                self._propose_ms = until_ms
            case _:
                pass

    def _propose(self, parent: Tip, branch: tuple[Block, ...], now_ms: Millis) -> None:
        operations, beacon = self._application.collect_operations(branch), self._application.get_beacon_proof(branch)
        content = BlockContent(operations=operations, beacon=beacon)
        proposal = build_proposal(self.config, self.tree, self.view, parent, content, now_ms)
        self._own.proposal = proposal
        self._proposals[self.view] = proposal
        self.tree.add_block(proposal.block)
        self.effects.append(Persist(record=OwnProposalRecord(proposal=proposal)))
        self.effects.append(build_broadcast(proposal))

    def _on_votes(self, message: Votes) -> None:
        for vote in message.votes:
            is_behind = vote.epoch < self.config.validators.epoch or vote.view < self.view
            if message.attempt > 0 and is_behind:
                # C16: only deliberate re-sends tell a straggler from a vote that was merely late.
                self._outgoing.want_help()
            if vote.epoch != self.config.validators.epoch:
                self.counting.count_past(vote)
            elif self.tree.tip.view - EVIDENCE_VIEWS < vote.view <= self.view + VIEW_WINDOW:
                self._count(vote)

    def _count(self, vote: Vote) -> None:
        certificate = self.counting.count(vote)
        if certificate is not None:
            self._on_certificate(certificate)

    def _on_certificate(self, certificate: Certificate) -> None:
        """Take a certificate whose signatures have been checked (C5, C6, C7); its epoch may have ended since then."""
        if certificate.epoch != self.config.validators.epoch or certificate.view <= self.tree.tip.view:
            return
        if not self.tree.has_certificate(certificate):
            self.tree.add_certificate(certificate)
            for vote in split_certificate(self.config.validators, certificate):
                # Every fork must convict: the signatures inside certificates are counted like any others.
                self._count(vote)
            if certificate.kind is not VoteKind.FINALIZE:
                self.effects.append(Persist(record=CertificateRecord(certificate=certificate)))
            if certificate.kind is VoteKind.NOTARIZE and self._own.is_free_to_cast(VoteKind.FINALIZE, certificate.view):
                self._cast(VoteKind.FINALIZE, certificate.view, certificate.block_hash)
            has_failed = certificate.kind is VoteKind.NULLIFY or self._own.has_cast(self.view, VoteKind.NULLIFY)
            if has_failed and certificate.view >= self.view:
                # Its block may be notarized: a view that this node gave up was too short for it all the same (C11).
                self._pacemaker.failures += 1
            self._enter_view(View(certificate.view + 1))
        if certificate.kind is VoteKind.FINALIZE:
            self._finalize_what_is_complete()

    def _enter_view(self, view: View) -> None:
        """C5 and C6: views are entered upwards only."""
        if view > self.view:
            self.view = view
            self._propose_ms = None
            self._pacemaker.on_view_entered()

    def _cast(self, kind: VoteKind, view: View, block_hash: Digest | None) -> None:
        """Sign a vote, durably before it leaves (C10), and count it."""
        vote = self._own.cast(kind, view, block_hash)
        self.effects.append(Persist(record=OwnVoteRecord(vote=vote)))
        self._outgoing.add(vote)
        self._count(vote)

    def _finalize_what_is_complete(self) -> None:
        """C7: deliver the highest finalized block whose branch is complete; ask for what is missing."""
        found = self.tree.find_finalized_branch()
        if found is not None:
            self._deliver(*found)
        if self.tree.finalizations:
            self._fetch_blocks()

    def _deliver(self, branch: tuple[Block, ...], certificate: Certificate) -> None:
        self.delivered.extend(self.tree.finalize(branch, certificate))
        last = branch[-1].header
        self._enter_view(View(last.view + 1))
        self._pacemaker.on_finalized()
        self.counting.on_finalized(last)
        self._proposals = {view: proposal for view, proposal in self._proposals.items() if view > last.view}
        self._own.on_finalized(last.view)

    def _fetch_blocks(self) -> None:
        self.effects.append(FetchBlocks(from_height=Height(self.tree.tip.height + 1), hint=None))

    def _is_active(self, now_ms: Millis) -> bool:
        """Return whether this view needs a timer (C12)."""
        return (
            self.tree.has_unfinalized()
            or any(view >= self.view for view in self._proposals)
            or self.counting.compute_nullify_weight(self.view) * 3 > self.config.validators.total_weight
            or self._application.has_work((), now_ms)
        )

    def _arm_if_active(self, now_ms: Millis) -> None:
        if not self.delivered and not self._pacemaker.is_armed() and self._is_active(now_ms):
            self._pacemaker.arm(now_ms)

    def _on_view_timeout(self, now_ms: Millis) -> None:
        """C4 and C9."""
        if not self._is_active(now_ms):
            self._pacemaker.disarm()
            return
        view = self.view
        self._pacemaker.on_timeout()
        if self._own.is_free_to_cast(VoteKind.NULLIFY, view):
            leader, failures = self.config.validators.compute_leader(view), self._pacemaker.failures
            self.effects.append(Observe(observation=ViewFailed(view=view, leader=leader, failures=failures)))
            self._cast(VoteKind.NULLIFY, view, None)
        self.effects.extend(self._outgoing.build_standstill(self._own, self.tree, self.view))
        for missing in self.tree.find_missing_bodies():
            self.effects.append(FetchBlock(block_hash=missing))
        if self.tree.finalizations:
            self._fetch_blocks()
