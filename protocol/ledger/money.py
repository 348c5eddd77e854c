"""Who pays and who is paid for a round (F14), in both presets.

Each preset first computes what is *due*, as pure lists of moves, and then collects and pays. All slashes of a round
reach the treasury before the first reward leaves it; a slash takes at most what its member has (L4), and rewards are
scaled down alike when the treasury cannot pay in full. Moves record what really moved; what came to nothing is not
recorded.

Preset ``neutral``: a voter is in the majority if more than half of the revealed ballots are in its class, and what a
right judgement earns does not depend on the verdict. If no class has more than half, nobody's vote is rewarded or
slashed. Preset ``paper``: voters are divided by whether they agree with the verdict, and what the losers lose is
split equally among the winners, the remainder to the treasury.
"""

from protocol.errors import InvariantViolation
from protocol.learning.verdict import Judgement, compute_agreement, compute_majority
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.stake import apply_payment, apply_slash
from protocol.ledger.state import RoundState
from protocol.outcomes import StakeMove, StakeReason, Verdict
from protocol.parameters import Parameters, Preset
from protocol.units import MemberId, Stake


def apply_money(
    draft: LedgerDraft,
    parameters: Parameters,
    round_state: RoundState,
    judgement: Judgement,
    silent: tuple[MemberId, ...],
) -> tuple[StakeMove, ...]:
    """Slash and reward the members of a round, and return the moves in the order in which they were made."""
    absences = [_build_due(member, StakeReason.SLASH_ABSENT, parameters.slash_absent) for member in silent]
    if judgement.verdict is Verdict.VOID:
        return tuple(_collect(draft, absences))
    if parameters.preset is Preset.PAPER:
        return tuple(_apply_paper(draft, parameters, round_state, judgement, absences))
    return tuple(_apply_neutral(draft, parameters, round_state, judgement, absences))


def compute_scaled(amount: Stake, *, treasury: Stake, due: Stake) -> Stake:
    """Return what is paid of an amount, when ``due`` in all is owed by a treasury (F14).

    Rounds down, so that all payments together never exceed the treasury.

    Raises:
        InvariantViolation: The amount is no part of what is due.
    """
    if not 0 <= amount <= due:
        raise InvariantViolation(f"{amount} is no part of {due} due")
    return amount if due <= treasury else Stake(amount * treasury // due)


def compute_update_slashes(
    parameters: Parameters, round_state: RoundState, judgement: Judgement
) -> tuple[StakeMove, ...]:
    """Return what proposers owe: the condemned ones, in preset ``paper`` all of a rejected round (F14)."""
    if parameters.preset is Preset.PAPER:
        is_slashed = (judgement.verdict is Verdict.REJECT,) * len(round_state.updates)
    else:
        is_slashed = judgement.condemned
    return tuple(
        _build_due(entry.member, StakeReason.SLASH_UPDATE, parameters.slash_update)
        for entry, is_owing in zip(round_state.updates, is_slashed, strict=True)
        if is_owing
    )


def compute_update_rewards(
    parameters: Parameters, round_state: RoundState, judgement: Judgement
) -> tuple[StakeMove, ...]:
    """Return what proposers earn in preset ``neutral``: on ACCEPT, each whose update is not condemned (F14)."""
    if judgement.verdict is not Verdict.ACCEPT:
        return ()
    return tuple(
        _build_due(entry.member, StakeReason.REWARD_UPDATE, parameters.reward_update)
        for entry, is_condemned in zip(round_state.updates, judgement.condemned, strict=True)
        if not is_condemned
    )


def _apply_neutral(
    draft: LedgerDraft,
    parameters: Parameters,
    round_state: RoundState,
    judgement: Judgement,
    absences: list[StakeMove],
) -> list[StakeMove]:
    majority = compute_majority(tuple(entry.ballot for entry in round_state.reveals))
    winners, losers = _split_voters(round_state, majority) if majority is not None else ([], [])
    slashes = [
        *absences,
        *compute_update_slashes(parameters, round_state, judgement),
        *[_build_due(member, StakeReason.SLASH_VOTE, parameters.slash_vote) for member in losers],
    ]
    rewards = [
        *[_build_due(member, StakeReason.REWARD_VOTE, parameters.reward_vote) for member in winners],
        *compute_update_rewards(parameters, round_state, judgement),
    ]
    return [*_collect(draft, slashes), *_pay(draft, rewards)]


def _apply_paper(
    draft: LedgerDraft,
    parameters: Parameters,
    round_state: RoundState,
    judgement: Judgement,
    absences: list[StakeMove],
) -> list[StakeMove]:
    agreement = compute_agreement(tuple(entry.ballot for entry in round_state.reveals), judgement)
    winners, losers = _split_voters(round_state, agreement)
    moves = _collect(draft, [*absences, *compute_update_slashes(parameters, round_state, judgement)])
    lost = _collect(draft, [_build_due(member, StakeReason.SLASH_VOTE, parameters.slash_vote) for member in losers])
    share = Stake(sum(move.amount for move in lost) // len(winners)) if winners else Stake(0)
    shares = [_build_due(member, StakeReason.SHARE_OF_MINORITY, share) for member in winners]
    return [*moves, *lost, *_pay(draft, shares)]


def _split_voters(round_state: RoundState, is_winner: tuple[bool, ...]) -> tuple[list[MemberId], list[MemberId]]:
    pairs = list(zip(round_state.reveals, is_winner, strict=True))
    return [entry.member for entry, wins in pairs if wins], [entry.member for entry, wins in pairs if not wins]


def _build_due(member: MemberId, reason: StakeReason, amount: Stake) -> StakeMove:
    return StakeMove(member=member, reason=reason, amount=amount)


def _collect(draft: LedgerDraft, dues: list[StakeMove]) -> list[StakeMove]:
    taken = [_build_due(due.member, due.reason, apply_slash(draft, due.member, due.amount)) for due in dues]
    return [move for move in taken if move.amount]


def _pay(draft: LedgerDraft, dues: list[StakeMove]) -> list[StakeMove]:
    treasury, due_total = draft.treasury, Stake(sum(due.amount for due in dues))
    paid = [
        _build_due(due.member, due.reason, compute_scaled(due.amount, treasury=treasury, due=due_total)) for due in dues
    ]
    for move in paid:
        apply_payment(draft, move.member, move.amount)
    return [move for move in paid if move.amount]
