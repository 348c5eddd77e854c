"""How one operation of a final block is executed: judged, then applied or refused with a recorded refusal (L8)."""

from dataclasses import replace
from typing import assert_never

from protocol.errors import InvalidOperation
from protocol.learning.artifact_format import ModelSchema
from protocol.learning.manifest import get_canonical_key
from protocol.ledger import ceremony, checks, membership
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.round_entries import RevealEntry, SealEntry, UpdateEntry
from protocol.ledger.slashing import apply_offence
from protocol.ledger.stake import apply_bond, apply_unbond
from protocol.operations import (
    Approve,
    Bond,
    Complain,
    Join,
    Leave,
    Operation,
    Payload,
    PostDeal,
    ReportEvidence,
    RevealBallot,
    SealBallot,
    SubmitUpdate,
    Unbond,
    compute_operation_id,
)
from protocol.outcomes import OperationResult
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import MemberId, Sequence


def apply_operation(
    draft: LedgerDraft, parameters: Parameters, schema: ModelSchema, encoded: bytes, operation: Operation
) -> OperationResult:
    """Execute one operation and return what became of it.

    A wrong sequence number consumes nothing; with the right one, a refused operation consumes it all the same, so
    that no operation can be judged twice.
    """
    content = operation.content
    refusal = Refusal.NONE
    try:
        _apply_sequence(draft, content.member, content.sequence)
        _apply_payload(draft, parameters, schema, content.member, content.payload)
    except InvalidOperation as error:
        refusal = error.refusal
    return OperationResult(operation_id=compute_operation_id(encoded), refusal=refusal)


def _apply_sequence(draft: LedgerDraft, member: MemberId, sequence: Sequence) -> None:
    account = draft.get_account(member)
    if sequence != account.next_sequence:
        raise InvalidOperation(Refusal.WRONG_SEQUENCE, f"{sequence}, the member's next is {account.next_sequence}")
    draft.accounts[member] = replace(account, next_sequence=Sequence(sequence + 1))


def _apply_payload(
    draft: LedgerDraft, parameters: Parameters, schema: ModelSchema, member: MemberId, payload: Payload
) -> None:
    match payload:
        case SubmitUpdate():
            checks.check_submission(draft, parameters, schema, member, payload)
            _apply_submission(draft, member, payload)
        case SealBallot():
            checks.check_sealing(draft, member, payload)
            _apply_sealing(draft, member, payload)
        case RevealBallot():
            checks.check_revealing(draft, member, payload)
            _apply_revealing(draft, member, payload)
        case Bond():
            checks.check_bonding(draft, member, payload)
            apply_bond(draft, member, payload.amount)
        case Unbond():
            checks.check_unbonding(draft, member, payload)
            release_epoch = membership.compute_release_epoch(parameters, draft.epoch)
            apply_unbond(draft, member, payload.amount, release_epoch=release_epoch)
        case ReportEvidence():
            apply_offence(draft, parameters, checks.check_report(draft, parameters, payload))
        case Join():
            membership.check_join(draft, parameters, member, payload)
            membership.apply_join(draft, member, payload)
        case Approve():
            membership.check_approval(draft, member, payload)
            membership.apply_approval(draft, member, payload)
        case Leave():
            membership.check_leaving(draft, member)
            membership.apply_leaving(draft, member)
        case PostDeal():
            ceremony.check_dealing(draft, parameters, member, payload)
            ceremony.apply_dealing(draft, member, payload)
        case Complain():
            entry = ceremony.check_complaining(draft, member, payload)
            ceremony.apply_complaint(draft, parameters, member, entry, payload)
        case _:
            assert_never(payload)


def _apply_submission(draft: LedgerDraft, member: MemberId, manifest: SubmitUpdate) -> None:
    round_state = draft.get_round()
    entries = (*round_state.updates, UpdateEntry(member=member, manifest=manifest))
    ordered = sorted(entries, key=lambda entry: get_canonical_key(entry.manifest, entry.member))
    draft.round = replace(round_state, updates=tuple(ordered))


def _apply_sealing(draft: LedgerDraft, member: MemberId, payload: SealBallot) -> None:
    round_state = draft.get_round()
    entries = (*round_state.seals, SealEntry(member=member, seal=payload.seal))
    draft.round = replace(round_state, seals=tuple(sorted(entries, key=lambda entry: entry.member)))


def _apply_revealing(draft: LedgerDraft, member: MemberId, payload: RevealBallot) -> None:
    round_state = draft.get_round()
    entries = (*round_state.reveals, RevealEntry(member=member, ballot=payload.ballot))
    draft.round = replace(round_state, reveals=tuple(sorted(entries, key=lambda entry: entry.member)))
