"""Observations on their way to people: the log, and whoever watches through the control socket.

The core never logs; what it tells is turned into words here, once for the log and once for programs. A watcher that is
too slow loses observations and is told how many; it never holds the node up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, assert_never

import structlog
import trio

from node.json_values import JsonObject, JsonValue, to_hex
from node.refusals import SENTENCES
from protocol.blocks import BeaconProof
from protocol.observations import (
    BlockExecuted,
    CandidateDiffers,
    EpochStarted,
    Observation,
    OffenceSeen,
    PartialWrong,
    PhaseEntered,
    UpdateNotScreened,
    ViewFailed,
    VotingResumed,
    VotingSuspended,
    WorkAbandoned,
)
from protocol.outcomes import AttemptRecord, BlockOutcome, RevealedBallot, RoundRecord, StakeMove
from protocol.refusals import Refusal

WATCHER_OBSERVATIONS_MAX: Final = 1_000

_log = structlog.get_logger(__name__)


class Watcher:
    """One subscriber's queue."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._send, self._receive = trio.open_memory_channel[Observation](WATCHER_OBSERVATIONS_MAX)
        self.missed_count = 0

    def tell_nowait(self, observation: Observation) -> None:
        """Queue an observation, or count it as missed."""
        try:
            self._send.send_nowait(observation)
        except trio.WouldBlock:
            self.missed_count += 1

    async def wait_next(self) -> Observation:
        """Return the next observation."""
        return await self._receive.receive()


class ObservationHub:
    """Passes every observation to the log and to all watchers."""

    def __init__(self) -> None:
        """Start without watchers."""
        self._watchers: set[Watcher] = set()

    def publish(self, observation: Observation) -> None:
        """Tell everybody; never waits."""
        log_observation(observation)
        for watcher in self._watchers:
            watcher.tell_nowait(observation)

    @contextmanager
    def watch(self) -> Iterator[Watcher]:
        """Give a watcher that sees every observation from now on, until the block ends."""
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)


def log_observation(observation: Observation) -> None:
    """Write an observation to the log, at the level that fits who must act."""
    match observation:
        case BlockExecuted(height=height, view=view, operation_count=count, outcome=outcome):
            _log.debug("block_executed", height=height, view=view, operations=count, root=outcome.state_root)
            if outcome.settled is not None:
                _log_settled(outcome.settled)
        case EpochStarted(epoch=epoch, validator_count=count, joined=joined, left=left, key_epoch=key_epoch):
            names = {"joined": [member.hex() for member in joined], "left": [member.hex() for member in left]}
            _log.info("epoch_started", epoch=epoch, validators=count, key_epoch=key_epoch, **names)
        case PhaseEntered(round=round_number, phase=phase, attempt=attempt, replaced=replaced):
            names = {"replaced": [member.hex() for member in replaced]} if replaced else {}
            _log.info("phase_entered", round=round_number, phase=phase.name, attempt=attempt, **names)
        case ViewFailed(view=view, leader=leader, failures=failures):
            _log.info("view_failed", view=view, leader=leader, failures=failures)
        case OffenceSeen(offence=offence):
            _log.warning("offence_seen", member=offence.member, view=offence.view)
        case CandidateDiffers() | WorkAbandoned() | UpdateNotScreened():
            _log_own_trouble(observation)
        case PartialWrong(round=round_number, member=member):
            _log.warning("partial_wrong", round=round_number, member=member)
        case VotingSuspended(reason=reason):
            _log.warning("voting_suspended", reason=reason)
        case VotingResumed(after_view=view):
            _log.info("voting_resumed", after_view=view)
        case _:
            assert_never(observation)


def _log_own_trouble(observation: CandidateDiffers | WorkAbandoned | UpdateNotScreened) -> None:
    match observation:
        case CandidateDiffers(round=round_number, computed_digest=computed, accepted_digest=accepted):
            _log.error("candidate_differed", round=round_number, computed=computed, accepted=accepted)
        case WorkAbandoned(round=round_number, reason=reason):
            _log.error("work_abandoned", round=round_number, reason=reason)
        case UpdateNotScreened(round=round_number, update_digest=digest, reason=reason):
            _log.error("update_not_screened", round=round_number, digest=digest, reason=reason)
        case _:
            assert_never(observation)


def _log_settled(record: RoundRecord) -> None:
    _log.info(
        "round_settled",
        round=record.round,
        verdict=record.verdict.name,
        accepts=record.accept_count,
        rejects=record.reject_count,
        attempts=len(record.attempts),
        model=record.model_digest,
    )


def describe_observation(observation: Observation) -> JsonObject:
    """Return an observation as JSON; ``event`` names its kind."""
    described: JsonObject
    match observation:
        case BlockExecuted():
            settled = observation.outcome.settled
            described = {
                "height": observation.height,
                "view": observation.view,
                "time_ms": observation.time_ms,
                "leader": to_hex(observation.leader),
                "operation_count": observation.operation_count,
                "state_root": to_hex(observation.outcome.state_root),
                "refused": describe_refused(observation.outcome),
                "moves": [describe_move(move) for move in observation.outcome.moves],
                "settled": None if settled is None else describe_round(settled),
            }
        case EpochStarted():
            described = {
                "epoch": observation.epoch,
                "validator_count": observation.validator_count,
                "total_weight": observation.total_weight,
                "joined": [member.hex() for member in observation.joined],
                "left": [member.hex() for member in observation.left],
                "key_epoch": observation.key_epoch,
            }
        case PhaseEntered():
            described = {
                "round": observation.round,
                "phase": observation.phase.name,
                "attempt": observation.attempt,
                "deadline_ms": observation.deadline_ms,
                "proposers": [member.hex() for member in observation.proposers],
                "voters": [member.hex() for member in observation.voters],
                "replaced": [member.hex() for member in observation.replaced],
            }
        case ViewFailed(view=view, leader=leader, failures=failures):
            described = {"view": view, "leader": leader.hex(), "failures": failures}
        case OffenceSeen(offence=offence):
            described = {"member": offence.member.hex(), "view": offence.view}
        case CandidateDiffers(round=round_number, computed_digest=computed, accepted_digest=accepted):
            described = {"round": round_number, "computed": computed.hex(), "accepted": accepted.hex()}
        case WorkAbandoned(round=round_number, reason=reason):
            described = {"round": round_number, "reason": reason}
        case UpdateNotScreened(round=round_number, update_digest=digest, reason=reason):
            described = {"round": round_number, "update": digest.hex(), "reason": reason}
        case PartialWrong(round=round_number, member=member):
            described = {"round": round_number, "member": member.hex()}
        case VotingSuspended(reason=reason):
            described = {"reason": reason}
        case VotingResumed(after_view=view):
            described = {"after_view": view}
        case _:
            assert_never(observation)
    return {"event": type(observation).__name__, **described}


def describe_refused(outcome: BlockOutcome) -> list[JsonValue]:
    """Return a block's refused operations as JSON: each with the name of its refusal, and the sentence for people."""
    return [
        {
            "operation_id": result.operation_id.hex(),
            "refusal": result.refusal.name,
            "error": SENTENCES[result.refusal],
        }
        for result in outcome.results
        if result.refusal is not Refusal.NONE
    ]


def describe_move(move: StakeMove) -> JsonObject:
    """Return one movement of stake as JSON; the amount is in micro-tokens."""
    return {"member": move.member.hex(), "reason": move.reason.name, "amount": move.amount}


def describe_proof(proof: BeaconProof) -> JsonObject:
    """Return an output of the threshold beacon as JSON; the signature is a compressed point on G1, in hex."""
    return {"key_epoch": proof.key_epoch, "signature": proof.signature.hex()}


def describe_round(record: RoundRecord) -> JsonObject:
    """Return a settled round as JSON; times are ledger time in milliseconds.

    Tally, candidate and ballots are those of the judgement that the round ended with; ``attempts`` has all.
    """
    return {
        "round": record.round,
        "verdict": record.verdict.name,
        "opened_height": record.opened_height,
        "settled_height": record.settled_height,
        "opened_ms": record.opened_ms,
        "settled_ms": record.settled_ms,
        "beacon_output": record.beacon_output.hex(),
        "beacon": None if record.beacon is None else describe_proof(record.beacon),
        "is_degraded": record.is_degraded,
        "proposers": [member.hex() for member in record.proposers],
        "voters": [member.hex() for member in record.voters],
        "standbys": [member.hex() for member in record.standbys],
        "replacements": [
            {"phase": entry.phase.name, "silent": entry.silent.hex(), "standby": entry.standby.hex()}
            for entry in record.replacements
        ],
        "base": record.base_digest.hex(),
        "updates": [
            {"member": member.hex(), "digest": digest.hex(), "is_condemned": is_condemned}
            for member, digest, is_condemned in zip(
                record.update_members, record.update_digests, record.condemned, strict=True
            )
        ],
        "is_base_condemned": record.is_base_condemned,
        "candidate": to_hex(record.candidate_digest),
        "model": record.model_digest.hex(),
        "accept_count": record.accept_count,
        "reject_count": record.reject_count,
        "ballots": _describe_ballots(record.ballots),
        "attempts": [_describe_attempt(attempt) for attempt in record.attempts],
        "silent": [member.hex() for member in record.silent],
        "moves": [describe_move(move) for move in record.moves],
    }


def _describe_attempt(attempt: AttemptRecord) -> JsonObject:
    return {
        "verdict": attempt.verdict.name,
        "condemned": list[JsonValue](attempt.condemned),
        "is_base_condemned": attempt.is_base_condemned,
        "candidate": to_hex(attempt.candidate_digest),
        "accept_count": attempt.accept_count,
        "reject_count": attempt.reject_count,
        "ballots": _describe_ballots(attempt.ballots),
    }


def _describe_ballots(ballots: tuple[RevealedBallot, ...]) -> list[JsonValue]:
    return [{"voter": revealed.voter.hex(), "is_accept": revealed.ballot.is_accept} for revealed in ballots]
