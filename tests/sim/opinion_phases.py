"""A second opinion on how a round moves: when a phase ends, who is replaced (F13), what is judged once more (F11)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from protocol.ledger.state import RoundState
from protocol.operations import Ballot, RevealBallot, SealBallot, SubmitUpdate
from protocol.outcomes import Phase
from protocol.parameters import Parameters, Preset
from protocol.units import Digest, MemberId
from tests.sim.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What members have answered in a phase, the step's block included."""

    asked: tuple[MemberId, ...]
    given: frozenset[MemberId]
    is_enough: bool
    """Whether the round goes on with these when the deadline is over."""


def check_phase(parameters: Parameters, step: Step, current: RoundState) -> None:
    """A phase ends when all have answered or its deadline is over, and what follows is what the rules say."""
    if current.phase is Phase.DRAW:
        return
    where = f"height {step.header.height}: round {current.round}"
    answers = collect_answers(parameters, step, current)
    is_late = step.header.time_ms >= current.deadline_ms
    if not is_late and answers.given < frozenset(answers.asked):
        check_stays(step, current, where)
    elif answers.is_enough or answers.given == frozenset(answers.asked):
        check_goes_on(parameters, step, current, where)
    elif can_call_standbys(current):
        check_replaced(step, current, answers, where)
    else:
        assert step.outcome.settled is not None, f"{where} goes on with too few"


def collect_answers(parameters: Parameters, step: Step, current: RoundState) -> Answers:
    """Return who was asked in the phase of a step, and who has answered."""
    if current.phase is Phase.TRAIN:
        given = get_members(step, SubmitUpdate) | {entry.member for entry in current.updates}
        return Answers(asked=current.proposers, given=given, is_enough=len(given) >= parameters.updates_min)
    sealed = get_members(step, SealBallot) | {entry.member for entry in current.seals}
    if current.phase is Phase.SEAL:
        return Answers(asked=current.voters, given=sealed, is_enough=2 * len(sealed) >= len(current.voters))
    return Answers(asked=tuple(sealed), given=frozenset(collect_ballots(step, current)), is_enough=True)


def get_members(step: Step, kind: type[SubmitUpdate | SealBallot | RevealBallot]) -> frozenset[MemberId]:
    """Return whose operations of one kind a block executed."""
    contents = [operation.content for operation in step.executed]
    return frozenset(content.member for content in contents if isinstance(content.payload, kind))


def collect_ballots(step: Step, current: RoundState) -> dict[MemberId, Ballot]:
    """Return the ballots revealed so far in the attempt of a step."""
    ballots = {entry.member: entry.ballot for entry in current.reveals}
    for operation in step.executed:
        if isinstance(operation.content.payload, RevealBallot):
            ballots[operation.content.member] = operation.content.payload.ballot
    return ballots


def can_call_standbys(current: RoundState) -> bool:
    """Return whether standbys may take places at the end of this phase: once each, and not in a retrial."""
    is_first = all(entry.phase is not current.phase for entry in current.replacements)
    return bool(list_standbys(current)) and is_first and current.attempt == 0


def list_standbys(current: RoundState) -> list[MemberId]:
    """Return who may take a place: who has no role, then who has only the other one."""
    is_training = current.phase is Phase.TRAIN
    asked, others = (current.proposers, current.voters) if is_training else (current.voters, current.proposers)
    return [*current.standbys, *sorted(set(others) - set(asked), key=others.index)]


def check_stays(step: Step, current: RoundState, where: str) -> None:
    """Nothing but answers changes before a phase ends."""
    after = step.after.round
    assert after is not None and step.outcome.settled is None, f"{where} settles before its time"
    fixed = (after.round, after.phase, after.attempt, after.deadline_ms, after.proposers, after.voters, after.standbys)
    assert fixed == (
        *(current.round, current.phase, current.attempt, current.deadline_ms),
        *(current.proposers, current.voters, current.standbys),
    ), f"{where} moves on before its time"


def check_goes_on(parameters: Parameters, step: Step, current: RoundState, where: str) -> None:
    """TRAIN is followed by SEAL, SEAL by REVEAL, and REVEAL by the retrial if one is due, or else by the settlement."""
    after, settled = step.after.round, step.outcome.settled
    if current.phase is Phase.REVEAL:
        ballots = collect_ballots(step, current)
        rest = compute_rest(parameters, current, ballots)
        if rest is None:
            assert settled is not None, f"{where} is not settled when all is said"
            return
        assert after is not None and settled is None, f"{where} has no retrial"
        assert (after.round, after.phase, after.attempt) == (current.round, Phase.SEAL, 1), f"{where} has no retrial"
        assert (after.seals, after.reveals, after.voters) == ((), (), current.voters), f"{where}: its retrial is begun"
        assert [entry.manifest.artifact_digest for entry in after.updates] == rest, f"{where} retries other updates"
        assert after.first_attempt is not None, f"{where} forgets its first attempt"
        kept = {entry.member: entry.ballot for entry in after.first_attempt.reveals}
        assert kept == ballots, f"{where} forgets ballots of its first attempt"
        return
    assert after is not None and after.round == current.round, f"{where} does not go on"
    follows = Phase.SEAL if current.phase is Phase.TRAIN else Phase.REVEAL
    assert (after.phase, after.attempt) == (follows, current.attempt), f"{where} goes on with {after.phase.name}"
    assert after.replacements == current.replacements, f"{where}: somebody is replaced though enough have answered"


def compute_rest(
    parameters: Parameters, current: RoundState, ballots: Mapping[MemberId, Ballot]
) -> list[Digest] | None:
    """Return what a retrial judges: the updates that were not condemned; None if there is none (F9 to F11)."""
    accepts = Counter(ballot.candidate_digest for ballot in ballots.values() if ballot.is_accept)
    is_accepted = any(2 * count > len(ballots) for count in accepts.values())
    has_verdict = 2 * len(ballots) >= len(current.voters)
    if parameters.preset is Preset.PAPER or current.attempt == 1 or is_accepted or not has_verdict:
        return None
    rest = [
        entry.manifest.artifact_digest
        for place, entry in enumerate(current.updates)
        if 2 * sum(ballot.update_flags[place] for ballot in ballots.values()) <= len(ballots)
    ]
    return rest if max(1, parameters.updates_min) <= len(rest) < len(current.updates) else None


def check_replaced(step: Step, current: RoundState, answers: Answers, where: str) -> None:
    """The next of the draw take the places of those that were silent, as far as they go, for one more deadline."""
    after = step.after.round
    assert after is not None and after.round == current.round, f"{where} ends though there are standbys"
    assert (after.phase, after.attempt) == (current.phase, 0), f"{where} goes on without its standbys"
    assert after.deadline_ms > step.header.time_ms, f"{where}: standbys have no time"
    left = list_standbys(current)
    places = [member if member in answers.given or not left else left.pop(0) for member in answers.asked]
    found = after.proposers if current.phase is Phase.TRAIN else after.voters
    assert list(found) == places, f"{where}: others take the places of the silent"
    free = [member for member in current.standbys if member in left]
    assert list(after.standbys) == free, f"{where}: a standby has a role already"
    new = after.replacements[len(current.replacements) :]
    pairs = [(old, now) for old, now in zip(answers.asked, places, strict=True) if old != now]
    assert [(entry.silent, entry.standby) for entry in new] == pairs, f"{where}: replacements are not told"
