"""What members do that see what an engine sees: lead its current view, and ask the ledger for something that may fit.

Changed bytes alone hardly ever fit the state that an engine has come to; so an input says what a member wants, and the
numbers, keys and certificates that make it possible are filled in here.
"""

from dataclasses import replace
from typing import Final

from protocol.blocks import BlockHeader, sign_block
from protocol.codec import encode
from protocol.consensus.outgoing import BlockContent, build_proposal
from protocol.consensus.tree import Tip
from protocol.engine import Engine
from protocol.ledger.state import LedgerState, get_account
from protocol.messages import Proposal
from protocol.operations import Ballot, Payload, RevealBallot, SealBallot, SubmitUpdate, compute_seal, sign_operation
from protocol.units import Epoch, Height, MemberId, Millis, Salt, Sequence
from tests.fuzz.signing import Signer
from tests.sim.keys import NodeKeys
from tests.values import make_digest

SALT: Final = Salt(bytes([8] * 32))


def build_leader_proposal(
    engine: Engine, signer: Signer, faulty: NodeKeys, extra: tuple[bytes, ...], now_ms: Millis, *, fit: int
) -> Proposal | None:
    """Return what the leader of an engine's current view proposes, knowing what the engine knows.

    An honest leader orders what the engine would order; the faulty one adds what it likes, and may get its header a
    little wrong, as ``fit`` says. None if the engine leads itself, or knows no parent.
    """
    consensus = engine.consensus
    view, config, tree = consensus.view, consensus.config, consensus.tree
    leader = config.validators.compute_leader(view)
    found = tree.find_parent(view)
    if leader == config.key.member or found is None:
        return None
    parent, branch = tree.get_block_tip(*found), tree.get_branch(found[1])
    if parent is None or branch is None:
        return None
    keys = signer.by_member[leader]
    operations = engine.collect_operations(branch)
    if leader == faulty.key.member:
        operations = (*operations, *extra)
    own_config = replace(config, key=keys.key, bls_key=keys.bls_key)
    content = BlockContent(operations=operations, beacon=engine.get_beacon_proof(branch))
    proposal = build_proposal(own_config, tree, view, parent, content, Millis(max(now_ms, parent.time_ms + 1)))
    if leader != faulty.key.member:
        return proposal
    header = _spoil_header(proposal.block.header, parent, fit=fit)
    return replace(proposal, block=sign_block(config.chain_id, keys.key, header, operations))


def _spoil_header(header: BlockHeader, parent: Tip, *, fit: int) -> BlockHeader:
    match fit % 16:
        case 0:
            return replace(header, time_ms=parent.time_ms)
        case 1:
            return replace(header, time_ms=Millis(header.time_ms + 60_000))
        case 2:
            return replace(header, height=Height(header.height + 1))
        case 3:
            return replace(header, parent_hash=make_digest("another parent"))
        case 4:
            return replace(header, epoch=Epoch(header.epoch + 1))
        case 5:
            return replace(header, operations_root=make_digest("other operations"))
        case _:
            return header


def sign_fitting(state: LedgerState, signer: Signer, keys: NodeKeys, payload: Payload, *, fit: int) -> bytes:
    """Return a member's operation under a number near its next one, with as much of it made to fit as ``fit`` says."""
    number = Sequence(get_account(state, keys.key.member).next_sequence + (0, 0, 0, 1, 2, 63, 64)[fit % 7])
    if fit % 3:
        payload = fit_payload(state, keys.key.member, payload, variant=fit)
    return encode(sign_operation(state.chain_id, keys.key, number, signer.sign_payload(payload)))


def fit_payload(state: LedgerState, member: MemberId, payload: Payload, *, variant: int) -> Payload:
    """Return a payload that is of the open round, and opens the seal that it made."""
    current = state.round
    if current is None:
        return payload
    match payload:
        case SubmitUpdate():
            digest = make_digest("update of the faulty member", variant % 4)
            return replace(payload, round=current.round, base_digest=current.base_digest, artifact_digest=digest)
        case SealBallot():
            ballot = _make_ballot(state, variant)
            seal = compute_seal(member, current.round, current.attempt, ballot, SALT)
            return replace(payload, round=current.round, attempt=current.attempt, seal=seal)
        case RevealBallot():
            ballot = _make_ballot(state, variant)
            return replace(payload, round=current.round, attempt=current.attempt, ballot=ballot, salt=SALT)
        case _:
            return payload


def _make_ballot(state: LedgerState, variant: int) -> Ballot:
    count = 0 if state.round is None else len(state.round.updates)
    return Ballot(
        candidate_digest=make_digest("candidate", variant // 8 % 2),
        is_accept=variant // 16 % 2 == 0,
        update_flags=tuple(variant // 32 % 2 == 1 for _ in range(count)),
        is_base_flagged=variant // 64 % 2 == 1,
    )
