"""What an honest engine may hold in memory and on disk at most, whatever it was sent (C15).

Let *span* be the number of views from the finalized one to the current one. It is 1 when all is well, and grows by one
with each view that fails. An engine keeps, in this order of the checks:

- votes of the views from ``EVIDENCE_VIEWS`` below the finalized one to ``VIEW_WINDOW`` above the current one, for each
  member one of a kind at most;
- one proposal of each view above the finalized one, up to ``VIEW_WINDOW`` above the current one;
- certificates and own votes of the span only, since a certificate moves the current view above its own;
- ``BLOCKS_MAX`` bodies;
- ``PENDING_PER_MEMBER_MAX`` operations of each other member, and as many of its own as it has reasons to submit, which
  are one for each offence of which it holds evidence, besides those of the round;
- nothing that has been sent;
- on disk, above the finalized tip: three votes, a proposal, a body and two certificates of each view of the span, its
  pending operations, two ballots of the round, and what it noted when it lost its votes; and the same of those views in
  which the epoch before was closed, until the present one has come as far.
"""

from typing import Final

from protocol.consensus.tally import EVIDENCE_VIEWS
from protocol.consensus.tree import BLOCKS_MAX, VIEW_WINDOW
from protocol.engine import Engine
from protocol.journal import (
    BlockRecord,
    CertificateRecord,
    OwnProposalRecord,
    OwnVoteRecord,
    Record,
    ScoreRecord,
    get_record_epoch,
)
from protocol.mempool import PENDING_PER_MEMBER_MAX
from tests.sim.disk import Disk

KINDS: Final = 3
RECORDS_PER_VIEW: Final = KINDS + 4
OWN_DUTIES_MAX: Final = 16
"""Operations that the rounds ask of one member before the ledger has executed any, with room to spare."""

NOTES_MAX: Final = 16
"""Ballots of the open round, and notes about lost votes."""


def check_bounds(engine: Engine) -> None:
    """Check the buffers of an engine between two inputs."""
    consensus = engine.consensus
    tree, tally = consensus.tree, consensus.counting._tally
    span = consensus.view - tree.tip.view
    ahead = span + VIEW_WINDOW
    views = ahead + EVIDENCE_VIEWS
    assert len(tally._votes) <= views, "the tally holds votes of too many views"
    assert len(tally._counts) <= views, "the tally counts too many views"
    assert len(tally._weights) <= views, "the tally weighs too many views"
    assert len(tally._complete) <= KINDS * views, "the tally holds too many quorums"
    assert len(consensus._proposals) <= ahead, "proposals of too many views are held"
    for certificates in (tree.notarizations, tree.nullifications, tree.finalizations):
        assert len(certificates) <= span, "certificates of too many views are held"
    # A finalization without its block leads to a view, and is not in the journal: after a restart own votes are ahead.
    assert len(consensus._own._votes) <= ahead, "own votes of too many views are held"
    assert len(tree.blocks) <= BLOCKS_MAX, "too many bodies are held"
    assert not consensus._outgoing._votes, "votes are kept that have been sent"
    own_member = engine._config.key.member
    for member, pending in engine._mempool._pending.items():
        spare = OWN_DUTIES_MAX + len(engine._reports._reported) if member == own_member else 0
        assert len(pending) <= PENDING_PER_MEMBER_MAX + spare, "too many operations of one member are pending"


def check_view(engine: Engine) -> None:
    """Check what is held of the current view alone: each member's votes, and what they are for."""
    tally, view = engine.consensus.counting._tally, engine.consensus.view
    by_member = tally._votes.get(view, {})
    assert all(len(by_kind) <= KINDS for by_kind in by_member.values()), "a member has too many votes in one view"
    counted = sum(len(members) for members in tally._counts.get(view, {}).values())
    assert counted <= KINDS * len(by_member), "more votes are counted than were cast"


def check_journal(engine: Engine, disk: Disk) -> None:
    """Check what the journal holds right after blocks became final."""
    tip_view, epoch = engine.consensus.tree.tip.view, engine.state.epoch
    own = len(engine._mempool._pending.get(engine._config.key.member, {}))
    kept = [record for record in disk.records if not isinstance(record, ScoreRecord)]
    past = [view for record in kept if get_record_epoch(record) not in {None, epoch} and (view := get_view(record))]
    current = len(kept) - len(past)
    assert current <= RECORDS_PER_VIEW * (engine.consensus.view - tip_view) + own + NOTES_MAX, (
        f"the journal holds {current} records"
    )
    assert len(past) <= RECORDS_PER_VIEW * (max(past, default=tip_view) - tip_view), "the journal forgets no epoch"


def get_view(record: Record) -> int:
    """Return the view that a record of consensus is about."""
    match record:
        case OwnVoteRecord(vote=vote):
            return vote.view
        case OwnProposalRecord(proposal=proposal):
            return proposal.block.header.view
        case BlockRecord(block=block):
            return block.header.view
        case CertificateRecord(certificate=certificate):
            return certificate.view
        case _:
            return 0
