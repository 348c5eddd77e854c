"""When the ledger refuses an operation: every rule is one check that raises InvalidOperation (L8).

Checks change nothing, so a refused operation leaves no trace but the recorded refusal and its used-up sequence number.
"""

from protocol.errors import InvalidMessage, InvalidOperation
from protocol.evidence import Offence, check_evidence
from protocol.learning.artifact_format import ModelSchema
from protocol.learning.ballots import check_ballot_opening
from protocol.learning.manifest import check_manifest
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.slashing import check_offence
from protocol.ledger.state import RoundState
from protocol.operations import Bond, ReportEvidence, RevealBallot, SealBallot, SubmitUpdate, Unbond
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import MemberId, Round


def check_submission(
    draft: LedgerDraft, parameters: Parameters, schema: ModelSchema, member: MemberId, manifest: SubmitUpdate
) -> None:
    """Check that a member may submit this update now (F3).

    Another proposer may have submitted the same artifact: who copied whom cannot be told from the order of blocks, and
    refusing the second one would let the copy push out the original.

    Raises:
        InvalidOperation: It may not.
    """
    round_state = _get_round_in(draft, Phase.TRAIN, manifest.round)
    if member not in round_state.proposers:
        raise InvalidOperation(Refusal.NOT_A_PROPOSER, f"round {manifest.round}")
    if any(entry.member == member for entry in round_state.updates):
        raise InvalidOperation(Refusal.UPDATE_REPEATED, f"round {manifest.round}")
    if manifest.base_digest != round_state.base_digest:
        given, expected = manifest.base_digest.hex()[:8], round_state.base_digest.hex()[:8]
        raise InvalidOperation(Refusal.WRONG_BASE, f"trained from model {given}, the base is {expected}")
    try:
        check_manifest(parameters, schema, manifest)
    except InvalidMessage as error:
        raise InvalidOperation(Refusal.MANIFEST_WRONG, str(error)) from error


def check_sealing(draft: LedgerDraft, member: MemberId, payload: SealBallot) -> None:
    """Check that a member may seal a ballot now (F8).

    Raises:
        InvalidOperation: It may not.
    """
    round_state = _get_round_in(draft, Phase.SEAL, payload.round)
    _check_attempt(round_state, payload.attempt)
    if member not in round_state.voters:
        raise InvalidOperation(Refusal.NOT_A_VOTER, f"round {payload.round}")
    if any(entry.member == member for entry in round_state.seals):
        raise InvalidOperation(Refusal.SEAL_REPEATED, f"round {payload.round}")


def check_revealing(draft: LedgerDraft, member: MemberId, payload: RevealBallot) -> None:
    """Check that a member may reveal this ballot now (F8).

    Raises:
        InvalidOperation: It may not.
    """
    round_state = _get_round_in(draft, Phase.REVEAL, payload.round)
    _check_attempt(round_state, payload.attempt)
    seals = [entry.seal for entry in round_state.seals if entry.member == member]
    if not seals:
        raise InvalidOperation(Refusal.NOTHING_SEALED, f"round {payload.round}")
    if any(entry.member == member for entry in round_state.reveals):
        raise InvalidOperation(Refusal.REVEAL_REPEATED, f"round {payload.round}")
    try:
        check_ballot_opening(member, seals[0], payload, update_count=len(round_state.updates))
    except InvalidMessage as error:
        raise InvalidOperation(Refusal.BALLOT_DOES_NOT_OPEN, str(error)) from error


def check_bonding(draft: LedgerDraft, member: MemberId, payload: Bond) -> None:
    """Check that a member has as much free stake as it wants to bond, and is not on its way out (L3, L9).

    Raises:
        InvalidOperation: It has not, or it leaves.
    """
    account = draft.get_account(member)
    free = account.free
    if account.is_leaving:
        raise InvalidOperation(Refusal.BOND_WHILE_LEAVING)
    if not 0 < payload.amount <= free:
        raise InvalidOperation(Refusal.BOND_EXCEEDS_FREE, f"{payload.amount} of {free} micro-tokens")


def check_unbonding(draft: LedgerDraft, member: MemberId, payload: Unbond) -> None:
    """Check that a member has as much bonded stake as it wants to unbond (L6).

    Raises:
        InvalidOperation: It has not.
    """
    bonded = draft.get_account(member).bonded
    if not 0 < payload.amount <= bonded:
        raise InvalidOperation(Refusal.UNBOND_EXCEEDS_BONDED, f"{payload.amount} of {bonded} micro-tokens")


def check_report(draft: LedgerDraft, parameters: Parameters, payload: ReportEvidence) -> Offence:
    """Return the offence that a report convicts its member of (L7).

    Raises:
        InvalidOperation: The evidence proves nothing, or the offence is old, known, or nobody's.
    """
    try:
        offence = check_evidence(draft.chain_id, payload.evidence)
    except InvalidMessage as error:
        raise InvalidOperation(Refusal.EVIDENCE_PROVES_NOTHING, str(error)) from error
    check_offence(draft, parameters, offence)
    return offence


def _get_round_in(draft: LedgerDraft, phase: Phase, round_number: Round) -> RoundState:
    round_state = draft.get_round()
    if round_state.round != round_number:
        raise InvalidOperation(Refusal.WRONG_ROUND, f"{round_number}, round {round_state.round} is open")
    if round_state.phase is not phase:
        detail = f"round {round_number} is in {round_state.phase.name}, not in {phase.name}"
        raise InvalidOperation(Refusal.WRONG_PHASE, detail)
    return round_state


def _check_attempt(round_state: RoundState, attempt: int) -> None:
    if attempt != round_state.attempt:
        raise InvalidOperation(Refusal.WRONG_ATTEMPT, f"{attempt}, the round is in {round_state.attempt}")
