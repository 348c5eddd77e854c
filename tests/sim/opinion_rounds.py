"""A second opinion on the rounds of a run's ledger: who was drawn, what the ballots say, who pays and who is paid."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from protocol.genesis import Genesis
from protocol.ledger.state import Account, RoundState
from protocol.operations import RevealBallot, SealBallot, SubmitUpdate
from protocol.outcomes import AttemptRecord, Phase, RoundRecord, StakeReason, Verdict
from protocol.parameters import Parameters, Preset
from protocol.units import Digest, MemberId
from tests.sim.opinion_chain import compute_at_stake
from tests.sim.opinion_phases import check_phase, get_members
from tests.sim.steps import Step


def check_rounds(genesis: Genesis, steps: Sequence[Step]) -> None:
    """Check every round from its opening to its record (F1 to F3, F8 to F14)."""
    parameters = genesis.parameters
    for step in steps:
        opened, current = step.after.round, step.before.round
        if opened is not None and (current is None or opened.round != current.round):
            check_opening(parameters, opened, step.after.accounts)
        if opened is not None and opened.phase is not Phase.DRAW:
            check_roles(parameters, opened)
        if current is not None:
            check_answers(step, current)
            check_phase(parameters, step, current)
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
    """Everybody eligible has a role, two of them only where there are too few, and voters are odd (F2, F16)."""
    where = f"round {opened.round}"
    eligible = {entry.member for entry in opened.eligible}
    replaced = [entry.silent for entry in opened.replacements]
    drawn = {*opened.proposers, *opened.voters, *opened.standbys, *replaced}
    assert drawn == eligible, f"{where}: not everybody has a role"
    for members in (opened.proposers, opened.voters, opened.standbys):
        assert len(set(members)) == len(members), f"{where}: a role is given twice"
    assert not {*opened.standbys} & {*opened.proposers, *opened.voters}, f"{where}: a standby has a role already"
    assert len(opened.proposers) == min(parameters.proposer_count, len(drawn) // 2), f"{where}: the proposers"
    voters = len(opened.voters)
    assert voters % 2 == 1 and voters <= parameters.voter_count_max, f"{where} has {voters} voters"
    if voters < parameters.voter_count_max - 1:
        assert voters >= len(eligible) - 1, f"{where}: too few voters"
    if len(eligible) - len(opened.proposers) >= voters and not replaced:
        assert not {*opened.voters} & {*opened.proposers}, f"{where}: a proposer votes though others are free"


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
    """Verdict, model and money follow from the ballots (F9 to F12, F14)."""
    where = f"round {record.round}"
    assert len(set(record.update_members)) == len(record.update_members), f"{where}: a proposer counts twice"
    assert len(record.update_members) == len(record.update_digests), f"{where}: an update of nobody"
    most = 2 if parameters.preset is Preset.NEUTRAL else 1
    assert 1 <= len(record.attempts) <= most, f"{where} is judged {len(record.attempts)} times"
    left, condemned = list(record.update_members), set[MemberId]()
    winners: list[Digest | None] = []
    for attempt in record.attempts:
        assert {entry.voter for entry in attempt.ballots} <= set(record.voters), f"{where}: a ballot of no voter"
        winners.append(check_attempt(record, attempt, len(left), where))
        flagged = [member for member, is_bad in zip(left, attempt.condemned, strict=True) if is_bad]
        condemned |= set(flagged)
        left = [member for member in left if member not in flagged]
    if len(record.attempts) == 2:
        first = record.attempts[0]
        assert first.verdict is Verdict.REJECT and any(first.condemned), f"{where} is judged twice for nothing"
    is_last = record.attempts[-1].verdict is not Verdict.VOID
    deciding, winner = (record.attempts[-1], winners[-1]) if is_last else (record.attempts[0], winners[0])
    assert record.verdict is deciding.verdict, f"{where} ends with another verdict than its last one"
    if deciding.verdict is Verdict.ACCEPT:
        assert step.after.model_digest == winner, f"{where}: another model than the accepted one"
    elif not deciding.is_base_condemned:
        assert step.after.model_digest == step.before.model_digest, f"{where}: a new model without ACCEPT"
    check_silent(step, record, where)
    if parameters.preset is Preset.NEUTRAL:
        earning = set(left) if deciding.verdict is Verdict.ACCEPT else set[MemberId]()
        check_money(parameters, step, record, condemned, earning)


def check_attempt(record: RoundRecord, attempt: AttemptRecord, update_count: int, where: str) -> Digest | None:
    """Verdict and condemned updates of one judgement are those of its ballots; return what it accepted (F9, F10)."""
    ballots = [entry.ballot for entry in attempt.ballots]
    total = len(ballots)
    accepted = Counter(ballot.candidate_digest for ballot in ballots if ballot.is_accept)
    winners = [digest for digest, count in accepted.items() if 2 * count > total]
    by_count = Verdict.ACCEPT if winners else Verdict.REJECT
    verdict = Verdict.VOID if 2 * total < len(record.voters) else by_count
    assert attempt.verdict is verdict, f"{where} is {attempt.verdict.name}, its ballots say {verdict.name}"
    flagged = [2 * sum(ballot.update_flags[place] for ballot in ballots) > total for place in range(update_count)]
    expected = [is_bad and verdict is not Verdict.VOID for is_bad in flagged]
    assert list(attempt.condemned) == expected, f"{where} condemns others than its ballots do"
    return winners[0] if winners else None


def check_silent(step: Step, record: RoundRecord, where: str) -> None:
    """Silent is who was asked and did not answer in time, or was replaced for it, and nobody else (F13, F14)."""
    current = step.before.round
    assert current is not None, f"{where} settles without having been open"
    silent = {entry.silent for entry in record.replacements}
    silent |= set(record.proposers) - set(record.update_members)
    revealed = [{entry.voter for entry in attempt.ballots} for attempt in record.attempts]
    if current.phase is Phase.SEAL:
        revealed[-1] = {entry.member for entry in current.seals} | get_members(step, SealBallot)
    if current.phase is not Phase.TRAIN:
        silent |= {voter for voter in record.voters if any(voter not in answered for answered in revealed)}
    assert set(record.silent) == silent, f"{where}: others count as silent"


def check_money(
    parameters: Parameters, step: Step, record: RoundRecord, condemned: set[MemberId], earning: set[MemberId]
) -> None:
    """Who was silent pays, whose update is condemned, and who voted with a minority; the others earn (F14)."""
    where = f"round {record.round}"
    winners, losers = split_voters(record)
    is_void = record.verdict is Verdict.VOID
    owing = {
        StakeReason.SLASH_ABSENT: dict.fromkeys(record.silent, int(parameters.slash_absent)),
        StakeReason.SLASH_UPDATE: {} if is_void else compute_update_slashes(parameters, record, condemned),
        StakeReason.SLASH_VOTE: {member: int(lead * parameters.slash_vote) for member, lead in losers.items()},
    }
    most = {reason: max(amounts.values(), default=0) for reason, amounts in owing.items()}
    most |= {StakeReason.REWARD_VOTE: parameters.reward_vote, StakeReason.REWARD_UPDATE: parameters.reward_update}
    moved: dict[StakeReason, set[MemberId]] = {reason: set() for reason in StakeReason}
    for move in record.moves:
        assert move.member not in moved[move.reason], f"{where}: a member is moved twice for {move.reason.name}"
        assert 0 < move.amount <= most[move.reason], f"{where}: {move.amount} for {move.reason.name}"
        moved[move.reason].add(move.member)
    assert moved[StakeReason.REWARD_VOTE] <= winners, f"{where}: a voter earns that is not in the majority"
    assert moved[StakeReason.REWARD_UPDATE] <= earning, f"{where}: a proposer earns whose update is not in the model"
    # Whoever has plenty pays all of it; others have perhaps nothing left to take.
    enough = 2 * (parameters.slash_absent + parameters.slash_update + parameters.slash_vote)
    rich = {account.member for account in step.before.accounts if compute_at_stake(account) >= enough}
    paid = {(move.reason, move.member): move.amount for move in record.moves}
    for reason, amounts in owing.items():
        assert moved[reason] <= amounts.keys(), f"{where}: a member pays for {reason.name} that owes nothing"
        for member in amounts.keys() & rich:
            found = paid.get((reason, member), 0)
            assert found == amounts[member], f"{where}: {found} is paid for {reason.name}, not {amounts[member]}"


def compute_update_slashes(
    parameters: Parameters, record: RoundRecord, condemned: set[MemberId]
) -> dict[MemberId, int]:
    """Return what each condemned proposer owes: all, times by how far those who flagged it are ahead (F14)."""
    owed: dict[MemberId, int] = {}
    members = list(record.update_members)
    for attempt in record.attempts:
        for place, member in enumerate(members):
            flags = sum(entry.ballot.update_flags[place] for entry in attempt.ballots)
            if attempt.condemned[place]:
                lead = Fraction(2 * flags - len(attempt.ballots), len(attempt.ballots))
                owed[member] = int(lead * parameters.slash_update)
        members = [member for member, is_bad in zip(members, attempt.condemned, strict=True) if not is_bad]
    assert owed.keys() == condemned, f"round {record.round}: others are condemned"
    return owed


def split_voters(record: RoundRecord) -> tuple[set[MemberId], dict[MemberId, Fraction]]:
    """Return who judged with the majority every time, and who did not once, with how far the others were ahead.

    Without a majority nobody did either.
    """
    right: set[MemberId] = set()
    wrong: dict[MemberId, Fraction] = {}
    for attempt in record.attempts:
        kinds = {
            entry.voter: entry.ballot.candidate_digest if entry.ballot.is_accept else None for entry in attempt.ballots
        }
        majority = [(kind, count) for kind, count in Counter(kinds.values()).items() if 2 * count > len(kinds)]
        if attempt.verdict is not Verdict.VOID and majority:
            ((winning, count),) = majority
            lead = Fraction(2 * count - len(kinds), len(kinds))
            right |= {voter for voter, kind in kinds.items() if kind == winning}
            wrong |= {v: max(lead, wrong.get(v, lead)) for v, kind in kinds.items() if kind != winning}
    return right - wrong.keys() - set(record.silent), wrong
