"""Who pays and who is paid for a round (F14), in both presets.

Each preset first computes what is *due*, as pure lists of moves, and then collects and pays. All slashes of a round
reach the treasury before the first reward leaves it; a slash takes at most what its member has (L4), and rewards are
scaled down alike when the treasury cannot pay in full. Moves record what really moved; what came to nothing is not
recorded.

Preset ``neutral``: a voter is in the majority if more than half of the revealed ballots are in its class, and what a
right judgement earns does not depend on the verdict. If no class has more than half, nobody's vote is rewarded or
slashed. A round that was judged twice pays a voter for one right judgement, and slashes it for one wrong one (F11).
Preset ``paper``: voters are divided by whether they agree with the verdict, and what the losers lose is split equally
among the winners, the remainder to the treasury.
"""

from protocol.errors import InvariantViolation
from protocol.learning.verdict import compute_agreement, compute_majority
from protocol.ledger.attempts import Attempt, get_condemned, get_deciding, get_rest
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.stake import apply_payment, apply_slash
from protocol.outcomes import StakeMove, StakeReason, Verdict
from protocol.parameters import Parameters, Preset
from protocol.units import MemberId, Stake


def apply_money(
    draft: LedgerDraft,
    parameters: Parameters,
    attempts: tuple[Attempt, ...],
    silent: tuple[MemberId, ...],
) -> tuple[StakeMove, ...]:
    """Slash and reward the members of a round, and return the moves in the order in which they were made."""
    deciding = get_deciding(attempts)
    absences = [_build_due(member, StakeReason.SLASH_ABSENT, parameters.slash_absent) for member in silent]
    if deciding.judgement.verdict is Verdict.VOID:
        return tuple(_collect(draft, absences))
    if parameters.preset is Preset.PAPER:
        return tuple(_apply_paper(draft, parameters, deciding, absences))
    return tuple(_apply_neutral(draft, parameters, attempts, absences))


def compute_scaled(amount: Stake, *, treasury: Stake, due: Stake) -> Stake:
    """Return what is paid of an amount, when ``due`` in all is owed by a treasury (F14).

    Rounds down, so that all payments together never exceed the treasury.

    Raises:
        InvariantViolation: The amount is no part of what is due.
    """
    if not 0 <= amount <= due:
        raise InvariantViolation(f"{amount} is no part of {due} due")
    return amount if due <= treasury else Stake(amount * treasury // due)


def compute_by_margin(amount: Stake, *, count: int, total: int) -> Stake:
    """Return what is slashed when ``count`` of ``total`` voters, more than half of them, said so (F14).

    All of the amount where they are unanimous, and the less the closer they were: the amount times what the majority
    is ahead by, as a share of all, rounded down.

    Raises:
        InvariantViolation: The count is no majority of the total.
    """
    if not total < 2 * count <= 2 * total:
        raise InvariantViolation(f"{count} of {total} are no majority")
    return Stake(amount * (2 * count - total) // total)


def compute_update_slashes(parameters: Parameters, attempts: tuple[Attempt, ...]) -> tuple[StakeMove, ...]:
    """Return what proposers owe: the condemned ones, in preset ``paper`` all of a rejected round (F14)."""
    if parameters.preset is Preset.PAPER:
        deciding = get_deciding(attempts)
        owing = deciding.updates if deciding.judgement.verdict is Verdict.REJECT else ()
        return tuple(_build_due(entry.member, StakeReason.SLASH_UPDATE, parameters.slash_update) for entry in owing)
    return tuple(
        _build_due(
            entry.member,
            StakeReason.SLASH_UPDATE,
            compute_by_margin(parameters.slash_update, count=flag_count, total=ballot_count),
        )
        for entry, flag_count, ballot_count in get_condemned(attempts)
    )


def compute_update_rewards(parameters: Parameters, deciding: Attempt) -> tuple[StakeMove, ...]:
    """Return what proposers earn in preset ``neutral``: on ACCEPT, each in the candidate and not condemned (F14)."""
    if deciding.judgement.verdict is not Verdict.ACCEPT:
        return ()
    return tuple(
        _build_due(entry.member, StakeReason.REWARD_UPDATE, parameters.reward_update) for entry in get_rest(deciding)
    )


def compute_vote_dues(
    parameters: Parameters, attempts: tuple[Attempt, ...], silent: tuple[MemberId, ...]
) -> tuple[list[StakeMove], list[StakeMove]]:
    """Return what voters pay and what they are paid in preset ``neutral``, sorted by member and once a round (F14).

    Who was in the minority of any judgement pays, by the larger margin if of both, and who was in the majority of all
    of them is paid. A judgement without a verdict, or without a majority, has neither. Who took part in one judgement
    and was silent in the other is not paid.
    """
    winners: set[MemberId] = set()
    owed: dict[MemberId, Stake] = {}
    for attempt in attempts:
        majority = compute_majority(tuple(entry.ballot for entry in attempt.reveals))
        if attempt.judgement.verdict is Verdict.VOID or majority is None:
            continue
        right, wrong = _split_voters(attempt, majority)
        slash = compute_by_margin(parameters.slash_vote, count=len(right), total=len(majority))
        winners.update(right)
        owed.update({member: max(slash, owed.get(member, slash)) for member in wrong})
    return (
        [_build_due(member, StakeReason.SLASH_VOTE, owed[member]) for member in sorted(owed)],
        [
            _build_due(member, StakeReason.REWARD_VOTE, parameters.reward_vote)
            for member in sorted(winners - owed.keys() - set(silent))
        ],
    )


def _apply_neutral(
    draft: LedgerDraft, parameters: Parameters, attempts: tuple[Attempt, ...], absences: list[StakeMove]
) -> list[StakeMove]:
    silent = tuple(move.member for move in absences)
    slashes, rewards = compute_vote_dues(parameters, attempts, silent)
    slashes = [*absences, *compute_update_slashes(parameters, attempts), *slashes]
    rewards = [*rewards, *compute_update_rewards(parameters, get_deciding(attempts))]
    return [*_collect(draft, slashes), *_pay(draft, rewards)]


def _apply_paper(
    draft: LedgerDraft, parameters: Parameters, deciding: Attempt, absences: list[StakeMove]
) -> list[StakeMove]:
    agreement = compute_agreement(tuple(entry.ballot for entry in deciding.reveals), deciding.judgement)
    winners, losers = _split_voters(deciding, agreement)
    moves = _collect(draft, [*absences, *compute_update_slashes(parameters, (deciding,))])
    lost = _collect(draft, [_build_due(member, StakeReason.SLASH_VOTE, parameters.slash_vote) for member in losers])
    share = Stake(sum(move.amount for move in lost) // len(winners)) if winners else Stake(0)
    shares = [_build_due(member, StakeReason.SHARE_OF_MINORITY, share) for member in winners]
    return [*moves, *lost, *_pay(draft, shares)]


def _split_voters(attempt: Attempt, is_winner: tuple[bool, ...]) -> tuple[list[MemberId], list[MemberId]]:
    pairs = list(zip(attempt.reveals, is_winner, strict=True))
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
