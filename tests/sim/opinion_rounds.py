"""A second opinion on the rounds of a run's ledger: who was drawn, what the ballots say, who pays and who is paid."""

from collections import Counter
from collections.abc import Sequence

from protocol.genesis import Genesis
from protocol.ledger.state import Account, RoundState
from protocol.operations import RevealBallot, SealBallot, SubmitUpdate
from protocol.outcomes import Phase, RoundRecord, StakeReason, Verdict
from protocol.parameters import Parameters, Preset
from protocol.units import Digest, MemberId
from tests.sim.steps import Step


def check_rounds(genesis: Genesis, steps: Sequence[Step]) -> None:
    """Check every round from its opening to its record (F1 to F3, F8, F9, F12, F14)."""
    parameters = genesis.parameters
    for step in steps:
        opened, current = step.after.round, step.before.round
        if opened is not None and (current is None or opened.round != current.round):
            check_opening(parameters, opened, step.after.accounts)
        if opened is not None and opened.phase is not Phase.DRAW:
            check_roles(parameters, opened)
        if current is not None:
            check_answers(step, current)
        if step.outcome.settled is not None:
            check_record(parameters, step, step.outcome.settled)


def check_opening(parameters: Parameters, opened: RoundState, accounts: tuple[Account, ...]) -> None:
    """Whoever may be drawn is neither in jail, nor put out, nor exhausted (F1, L5, L7); nobody is drawn yet."""
    eligible = {
        account.member: account.bonded
        for account in accounts
        if account.bonded >= parameters.bond_min and not account.is_jailed and not account.is_evicted
    }
    where = f"round {opened.round}"
    assert {entry.member: entry.stake for entry in opened.eligible} == eligible, f"{where}: others are eligible"
    assert opened.phase is Phase.DRAW and opened.beacon_output is None, f"{where} is drawn when it opens"


def check_roles(parameters: Parameters, opened: RoundState) -> None:
    """Everybody eligible has one role, and the voters are an odd number (F2, F16)."""
    where = f"round {opened.round}"
    drawn = (*opened.proposers, *opened.voters, *opened.standbys)
    assert sorted(drawn) == sorted(entry.member for entry in opened.eligible), f"{where}: not everybody has one role"
    assert len(opened.proposers) == min(parameters.proposer_count, len(drawn) - 1), f"{where}: the proposers"
    voters = len(opened.voters)
    assert voters % 2 == 1 and voters <= parameters.voter_count_max, f"{where} has {voters} voters"
    assert len(opened.standbys) < 2 or voters == parameters.voter_count_max, f"{where}: too few voters"


def check_answers(step: Step, current: RoundState) -> None:
    """Only those who were drawn answer, with something of their own (F3, F8)."""
    for operation in step.executed:
        member, payload = operation.content.member, operation.content.payload
        where = f"height {step.header.height}: {member.hex()[:8]}"
        match payload:
            case SubmitUpdate():
                assert member in current.proposers, f"{where} was not drawn to propose"
            case SealBallot():
                assert member in current.voters, f"{where} was not drawn to vote"
            case RevealBallot():
                assert member in current.voters, f"{where} was not drawn to vote"
            case _:
                pass


def check_record(parameters: Parameters, step: Step, record: RoundRecord) -> None:
    """Verdict, model and money follow from the ballots (F9, F12, F14)."""
    where = f"round {record.round}"
    assert len(set(record.update_members)) == len(record.update_members), f"{where}: a proposer counts twice"
    assert {entry.voter for entry in record.ballots} <= set(record.voters), f"{where}: a ballot of no voter"
    accepted: Counter[Digest] = Counter(
        entry.ballot.candidate_digest for entry in record.ballots if entry.ballot.is_accept
    )
    total = len(record.ballots)
    winners = [digest for digest, count in accepted.items() if 2 * count > total]
    by_count = Verdict.ACCEPT if winners else Verdict.REJECT
    verdict = Verdict.VOID if 2 * total < len(record.voters) else by_count
    assert record.verdict is verdict, f"{where} is {record.verdict.name}, its ballots say {verdict.name}"
    if verdict is Verdict.ACCEPT:
        assert step.after.model_digest == winners[0], f"{where}: another model than the accepted one"
    elif not record.is_base_condemned:
        assert step.after.model_digest == step.before.model_digest, f"{where}: a new model without ACCEPT"
    if parameters.preset is Preset.NEUTRAL:
        check_money(parameters, record)


def check_money(parameters: Parameters, record: RoundRecord) -> None:
    """Whoever was silent pays, and of those who voted the minority; nobody else pays for a ballot (F14)."""
    where = f"round {record.round}"
    total = len(record.ballots)
    classes = Counter(_get_class(record, place) for place in range(total))
    majority = [kind for kind, count in classes.items() if 2 * count > total]
    has_verdict = record.verdict is not Verdict.VOID and bool(majority)
    winners = {
        entry.voter
        for place, entry in enumerate(record.ballots)
        if has_verdict and _get_class(record, place) == majority[0]
    }
    losers = {entry.voter for entry in record.ballots} - winners if has_verdict else set()
    paying: dict[StakeReason, set[MemberId]] = {reason: set() for reason in StakeReason}
    most = {StakeReason.REWARD_VOTE: parameters.reward_vote, StakeReason.SLASH_VOTE: parameters.slash_vote}
    for move in record.moves:
        assert move.member not in paying[move.reason], f"{where}: a member is moved twice for {move.reason.name}"
        assert 0 < move.amount <= most.get(move.reason, move.amount), f"{where}: {move.amount} for {move.reason.name}"
        paying[move.reason].add(move.member)
    assert paying[StakeReason.SLASH_VOTE] <= losers, f"{where}: a voter pays that is not in the minority"
    assert paying[StakeReason.REWARD_VOTE] <= winners, f"{where}: a voter earns that is not in the majority"
    assert paying[StakeReason.SLASH_ABSENT] <= set(record.silent), f"{where}: a member pays that was not silent"
    assert not set(record.silent) & {entry.voter for entry in record.ballots}, f"{where}: a voter counts as silent"


def _get_class(record: RoundRecord, place: int) -> Digest | None:
    ballot = record.ballots[place].ballot
    return ballot.candidate_digest if ballot.is_accept else None
