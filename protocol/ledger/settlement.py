"""The end of a round: verdict, money, model and the record of all three (F9, F12, F14)."""

from protocol.codec import encode
from protocol.crypto import Domain, compute_digest
from protocol.errors import InvariantViolation
from protocol.learning.verdict import Judgement
from protocol.ledger.attempts import Attempt, build_attempt_record, get_deciding, judge_attempts
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.money import apply_money
from protocol.ledger.state import ACCEPTED_MODELS_MAX, RoundState
from protocol.outcomes import Phase, RoundRecord, StakeMove, Verdict
from protocol.parameters import Parameters
from protocol.units import Digest, MemberId


def settle_round(draft: LedgerDraft, parameters: Parameters, round_state: RoundState) -> RoundRecord:
    """Judge a round from what was revealed, move stake and model, and return the ledger's record of it (F12).

    A round that ended in TRAIN or SEAL has no ballots and is therefore VOID.
    """
    attempts = judge_attempts(parameters, round_state)
    silent = get_silent(round_state)
    moves = apply_money(draft, parameters, attempts, silent)
    apply_model(draft, get_deciding(attempts).judgement)
    record = _build_record(draft, round_state, attempts, silent, moves)
    draft.lineage_digest = compute_lineage_digest(draft.lineage_digest, record)
    draft.rounds_settled += 1
    return record


def get_silent(round_state: RoundState) -> tuple[MemberId, ...]:
    """Return who was drawn, had its chance and did not use it: no update, no seal, or no reveal (F14).

    Whoever was replaced by a standby is among them (F13), and so is who missed one of two judgements. A round that ends
    in TRAIN never asked its voters, one that ends in SEAL never asked for openings.
    """
    first = round_state.first_attempt
    updates = round_state.updates if first is None else first.updates
    answered: list[set[MemberId]] = []
    if first is not None:
        answered.append({entry.member for entry in first.reveals})
    if round_state.phase is Phase.SEAL:
        answered.append({entry.member for entry in round_state.seals})
    elif round_state.phase is Phase.REVEAL:
        answered.append({entry.member for entry in round_state.reveals})
    proposed = {entry.member for entry in updates}
    silent = (
        *_get_replaced(round_state, Phase.TRAIN),
        *[member for member in round_state.proposers if member not in proposed],
        *_get_replaced(round_state, Phase.SEAL),
        *[member for member in round_state.voters if any(member not in members for members in answered)],
    )
    # Who was to propose and to vote, and did neither, is silent once.
    return tuple(dict.fromkeys(silent))


def _get_replaced(round_state: RoundState, phase: Phase) -> list[MemberId]:
    return [entry.silent for entry in round_state.replacements if entry.phase is phase]


def apply_model(draft: LedgerDraft, judgement: Judgement) -> None:
    """Move the model: on ACCEPT to the candidate, on REJECT with a condemned base to the one before it (F12).

    The last remembered model is never given up, so that there is always one to fall back on.
    """
    if judgement.verdict is Verdict.ACCEPT:
        if judgement.candidate_digest is None:
            raise InvariantViolation("an accepted round has no candidate")
        if judgement.candidate_digest != draft.accepted_models[-1]:
            models = (*draft.accepted_models, judgement.candidate_digest)
            draft.accepted_models = models[-ACCEPTED_MODELS_MAX:]
    elif judgement.verdict is Verdict.REJECT and judgement.is_base_condemned and len(draft.accepted_models) > 1:
        draft.accepted_models = draft.accepted_models[:-1]
    draft.model_digest = draft.accepted_models[-1]


def compute_lineage_digest(previous: Digest, record: RoundRecord) -> Digest:
    """Return the hash chain over all records up to this one (F12)."""
    return compute_digest(Domain.LINEAGE, previous, encode(record))


def _build_record(
    draft: LedgerDraft,
    round_state: RoundState,
    attempts: tuple[Attempt, ...],
    silent: tuple[MemberId, ...],
    moves: tuple[StakeMove, ...],
) -> RoundRecord:
    if round_state.beacon_output is None:
        raise InvariantViolation(f"round {round_state.round} settles without a draw")
    return RoundRecord(
        round=round_state.round,
        opened_height=round_state.opened_height,
        settled_height=draft.height,
        opened_ms=round_state.opened_ms,
        settled_ms=draft.time_ms,
        beacon_output=round_state.beacon_output,
        is_degraded=round_state.is_degraded,
        beacon=round_state.beacon,
        proposers=round_state.proposers,
        voters=round_state.voters,
        standbys=round_state.standbys,
        replacements=round_state.replacements,
        base_digest=round_state.base_digest,
        update_members=tuple(entry.member for entry in attempts[0].updates),
        update_digests=tuple(entry.manifest.artifact_digest for entry in attempts[0].updates),
        attempts=tuple(build_attempt_record(attempt) for attempt in attempts),
        model_digest=draft.model_digest,
        silent=silent,
        moves=moves,
    )
