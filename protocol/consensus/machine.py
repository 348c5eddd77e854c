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
    check_fits_parent,
    check_proposal,
    find_conflict,
    is_near_clock,
)
from protocol.consensus.outgoing import Outgoing, build_broadcast, build_proposal
from protocol.consensus.own_votes import OwnVotes
from protocol.consensus.pacemaker import Pacemaker
from protocol.consensus.tally import EVIDENCE_VIEWS, Counted, Equivocation, Tally
from protocol.consensus.tree import VIEW_WINDOW, BlockTree, Tip
from protocol.errors import ProtocolError
from protocol.evidence import Evidence
from protocol.interface import Effect, FetchBlock, FetchBlocks, FinalizedBlock, Observe, Persist, ViewFailed
from protocol.journal import BlockRecord, CertificateRecord, OwnProposalRecord, OwnVoteRecord, Record
from protocol.messages import Certificates, ConsensusMessage, Proposal, Votes
from protocol.units import Digest, Height, Millis, View
from protocol.votes import Certificate, Vote, VoteKind, split_certificate


class Consensus:
    """One node's consensus. Handlers append to ``effects``, ``delivered`` and ``evidence``; the engine drains them."""

    def __init__(
        self, config: ConsensusConfig, application: Application, tip: Tip, certificate: Certificate | None
    ) -> None:
        """Start above a finalized tip with no memory; :meth:`restore` gives it back what the journal kept."""
        self._config = config
        self._application = application
        self._tally = Tally(config.validators)
        self._own = OwnVotes(config)
        self._pacemaker = Pacemaker(config.parameters)
        self.tree = BlockTree(config.chain_id, tip, certificate)
        self.view = View(tip.view + 1)
        self.effects: list[Effect] = []
        self.delivered: list[FinalizedBlock] = []
        self.evidence: list[Evidence] = []
        self._proposals: dict[View, Proposal] = {}
        self._propose_ms: Millis | None = None
        self._outgoing = Outgoing(config.started_ms)

    def restore(self, records: Iterable[Record]) -> None:
        """Take back what the journal kept: own votes are tallied again, not only remembered (C10)."""
        known = tuple(records)
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
        self.effects = [
            effect for effect in self.effects if not isinstance(effect, Persist) or effect.record not in known
        ]

    def start(self, now_ms: Millis) -> None:
        """Tell the others what this node had said before it stopped, and ask for what it missed."""
        self.effects.extend(self._own.start())
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
        block_hash = compute_block_hash(self._config.chain_id, block.header)
        if self.tree.is_wanted(block_hash, block.header.view):
            check_body(self._config, block)
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
        last = check_fetched_chain(self._config, self.tree.tip, blocks)
        for entry in blocks:
            self.tree.blocks[compute_block_hash(self._config.chain_id, entry.block.header)] = entry.block
            if entry.certificate is not None:
                self.tree.add_certificate(entry.certificate)
        self._on_certificate(last)

    def step(self, now_ms: Millis) -> None:
        """Do what has become possible: vote, time out, arm the timer, propose, send."""
        self._try_notarize(now_ms)
        if self._pacemaker.is_due(now_ms):
            self._on_view_timeout(now_ms)
        self._arm_if_active(now_ms)
        self._try_propose(now_ms)
        self._arm_if_active(now_ms)
        self.effects.extend(self._outgoing.flush(self.tree, now_ms))

    def compute_wakeup_ms(self) -> Millis | None:
        """Return when :meth:`step` wants to be called next, if nothing else happens."""
        times = [time for time in (self._pacemaker.timer_ms, self._propose_ms) if time is not None]
        return min(times, default=None)

    def is_settled(self, vote: Vote) -> bool:
        """Return whether a vote can change nothing any more, so that it need not be checked or forwarded."""
        is_useless = vote.view <= self.tree.tip.view or self._tally.is_counted(vote) or self._tally.is_complete(vote)
        return is_useless and not self._tally.has_conflict(vote)

    def _on_proposal(self, proposal: Proposal) -> None:
        header = proposal.block.header
        if header.view <= self.tree.tip.view or header.view > self.view + VIEW_WINDOW:
            return
        known = self._proposals.get(header.view)
        conflict = None if known is None else find_conflict(known.block, proposal.block)
        if conflict is not None:
            self.evidence.append(conflict)
        try:
            check_proposal(self._config, self.tree, proposal)
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
        header = proposal.block.header
        if not is_near_clock(self._config, header, now_ms, self._pacemaker.failures):
            return
        if self._application.fetch_missing_artifacts(proposal.block):
            return
        try:
            check_fits_parent(self._config, self.tree, header)
        except ProtocolError:
            return
        self.effects.append(Persist(record=BlockRecord(block=proposal.block)))
        self._cast(VoteKind.NOTARIZE, self.view, compute_block_hash(self._config.chain_id, header))

    def _try_propose(self, now_ms: Millis) -> None:
        """C1."""
        self._propose_ms = None
        if self.delivered or self._config.validators.compute_leader(self.view) != self._config.key.member:
            # What was delivered is executed first, or its operations would be ordered again.
            return
        if self.view in self._proposals or self._own.has_cast(self.view, *VoteKind):
            return
        found = self.tree.find_parent(self.view) if self._own.is_allowed(self.view) else None
        if found is None:
            return
        parent, branch = self.tree.get_block_tip(*found), self.tree.get_branch(found[1])
        if parent is None or branch is None:
            return
        if not self._application.has_work(branch, now_ms) and not self._should_push(now_ms):
            return
        earliest = Millis(parent.time_ms + self._config.parameters.block_interval_ms)
        if parent.time_ms <= now_ms < earliest:
            # A parent from the future is not waited for, or one fast clock would slow everybody down.
            self._propose_ms = earliest
            return
        self._propose(parent, branch, now_ms)
        self._try_notarize(now_ms)

    def _should_push(self, now_ms: Millis) -> bool:
        """Return whether an empty block is wanted: a notarized one has waited half a timeout to become final."""
        push_ms = self._pacemaker.compute_push_ms()
        if push_ms is None or self.tree.get_highest_notarized_view() <= self.tree.tip.view:
            return False
        if now_ms < push_ms:
            self._propose_ms = push_ms
            return False
        return True

    def _propose(self, parent: Tip, branch: tuple[Block, ...], now_ms: Millis) -> None:
        operations = self._application.collect_operations(branch)
        proposal = build_proposal(self._config, self.tree, self.view, parent, operations, now_ms)
        self._own.proposal = proposal
        self._proposals[self.view] = proposal
        self.tree.add_block(proposal.block)
        self.effects.append(Persist(record=OwnProposalRecord(proposal=proposal)))
        self.effects.append(build_broadcast(proposal))

    def _on_votes(self, message: Votes) -> None:
        for vote in message.votes:
            if message.attempt > 0 and vote.view < self.view:
                # C16: only deliberate re-sends tell a straggler from a vote that was merely late.
                self._outgoing.want_help()
            if self.tree.tip.view - EVIDENCE_VIEWS < vote.view <= self.view + VIEW_WINDOW:
                self._count(vote)

    def _count(self, vote: Vote) -> None:
        match self._tally.count(vote):
            case Counted(certificate=certificate):
                pass
            case Equivocation(evidence=evidence, certificate=certificate):
                self.evidence.append(evidence)
            case _:
                return
        if certificate is not None:
            self._on_certificate(certificate)

    def _on_certificate(self, certificate: Certificate) -> None:
        """Take a certificate whose signatures have been checked (C5, C6, C7)."""
        if certificate.view <= self.tree.tip.view:
            return
        if not self.tree.has_certificate(certificate):
            self.tree.add_certificate(certificate)
            for vote in split_certificate(self._config.validators, certificate):
                # Every fork must convict: the signatures inside certificates are counted like any others.
                self._count(vote)
            if certificate.kind is not VoteKind.FINALIZE:
                self.effects.append(Persist(record=CertificateRecord(certificate=certificate)))
            is_free = self._own.is_free_to_cast(VoteKind.FINALIZE, certificate.view)
            if certificate.kind is VoteKind.NOTARIZE and is_free:
                self._cast(VoteKind.FINALIZE, certificate.view, certificate.block_hash)
            if certificate.kind is VoteKind.NULLIFY and certificate.view >= self.view:
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
        for view in sorted(self.tree.finalizations, reverse=True):
            certificate = self.tree.finalizations[view]
            branch = None if certificate.block_hash is None else self.tree.get_branch(certificate.block_hash)
            if branch:
                self._deliver(branch, certificate)
                break
        if self.tree.finalizations:
            self._fetch_blocks()

    def _deliver(self, branch: tuple[Block, ...], certificate: Certificate) -> None:
        self.delivered.extend(self.tree.finalize(branch, certificate))
        last = branch[-1].header
        self._enter_view(View(last.view + 1))
        self._pacemaker.on_finalized()
        self._tally.prune(View(last.view - EVIDENCE_VIEWS))
        self._proposals = {view: proposal for view, proposal in self._proposals.items() if view > last.view}
        self.effects.extend(self._own.on_finalized(last.view, last.time_ms))

    def _fetch_blocks(self) -> None:
        self.effects.append(FetchBlocks(from_height=Height(self.tree.tip.height + 1), hint=None))

    def _is_active(self, now_ms: Millis) -> bool:
        """Return whether this view needs a timer (C12)."""
        if self.tree.get_highest_notarized_view() > self.tree.tip.view or self.tree.finalizations:
            return True
        if any(view >= self.view for view in self._proposals):
            return True
        if self._tally.compute_nullify_weight(self.view) * 3 > self._config.validators.total_weight:
            return True
        return self._application.has_work((), now_ms)

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
            leader = self._config.validators.compute_leader(view)
            self.effects.append(
                Observe(observation=ViewFailed(view=view, leader=leader, failures=self._pacemaker.failures))
            )
            self._cast(VoteKind.NULLIFY, view, None)
        self.effects.extend(self._outgoing.build_standstill(self._own, self.tree, self.view))
        for missing in self.tree.find_missing_bodies():
            self.effects.append(FetchBlock(block_hash=missing))
        if self.tree.finalizations:
            self._fetch_blocks()
