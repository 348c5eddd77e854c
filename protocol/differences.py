"""What a recorded outcome has that a recomputed one has not, in words: the audit's tongue.

The first difference is named, in the order of the fields, because later ones follow from it.
"""

from dataclasses import fields
from enum import IntEnum
from itertools import zip_longest
from typing import Final

from protocol.outcomes import AttemptRecord, BlockOutcome, OperationResult, RevealedBallot, RoundRecord, StakeMove
from protocol.refusals import Refusal

_ROUND_LABELS: Final = {
    "replacements": "standbys that took a place",
    "beacon_output": "draw: beacon output",
    "is_degraded": "draw: degraded mark",
    "beacon": "draw: proof of the beacon output",
    "proposers": "draw: proposers",
    "voters": "draw: voters",
    "standbys": "draw: standbys",
    "base_digest": "model lineage: base",
    "update_members": "updates: members",
    "update_digests": "updates: digests",
    "model_digest": "model lineage: model",
    "silent": "silent members",
}
_ATTEMPT_LABELS: Final = {
    "verdict": "verdict",
    "condemned": "condemned updates",
    "is_base_condemned": "condemned base",
    "candidate_digest": "model lineage: candidate",
    "accept_count": "tally: accepts",
    "reject_count": "tally: rejects",
}


def find_difference(recomputed: BlockOutcome, recorded: BlockOutcome) -> str | None:
    """Return what a recorded outcome has first that a recomputed one has not, in words, or None if they are equal."""
    return (
        _find_result_difference(recomputed.results, recorded.results)
        or _find_move_difference("stake move", recomputed.moves, recorded.moves)
        or _find_round_difference(recomputed.settled, recorded.settled)
        or (None if recomputed.state_root == recorded.state_root else "state root: recorded another than recomputed")
    )


def _find_result_difference(
    recomputed: tuple[OperationResult, ...], recorded: tuple[OperationResult, ...]
) -> str | None:
    if len(recomputed) != len(recorded):
        return f"operation results: {len(recorded)} recorded for {len(recomputed)} operations"
    for index, (expected, actual) in enumerate(zip(recomputed, recorded, strict=True)):
        if expected.operation_id != actual.operation_id:
            return f"operation {index}: its recorded id is another operation's"
        if expected.refusal is not actual.refusal:
            return f"operation {index}: recorded as {_describe_result(actual)}, it is {_describe_result(expected)}"
    return None


def _find_move_difference(label: str, recomputed: tuple[StakeMove, ...], recorded: tuple[StakeMove, ...]) -> str | None:
    for index, (expected, actual) in enumerate(zip_longest(recomputed, recorded)):
        if expected != actual:
            return f"{label} {index}: recorded {_describe_move(actual)}, recomputed {_describe_move(expected)}"
    return None


def _describe_result(result: OperationResult) -> str:
    return "executed" if result.refusal is Refusal.NONE else f"refused ({result.refusal.name})"


def _describe_move(move: StakeMove | None) -> str:
    return "none" if move is None else f"{move.reason.name} of {move.amount} for member {move.member.hex()[:8]}"


def _find_round_difference(recomputed: RoundRecord | None, recorded: RoundRecord | None) -> str | None:
    if recomputed is None or recorded is None:
        if recomputed is recorded:
            return None
        return "a round is recorded as settled that is not" if recomputed is None else "a settled round is not recorded"
    prefix = f"round {recomputed.round}: "
    for entry in fields(RoundRecord):
        expected, actual = getattr(recomputed, entry.name), getattr(recorded, entry.name)
        if expected == actual:
            continue
        if entry.name == "moves":
            return prefix + (_find_move_difference("stake move", recomputed.moves, recorded.moves) or "stake moves")
        if entry.name == "attempts":
            return prefix + _describe_attempts(recomputed.attempts, recorded.attempts)
        label = _ROUND_LABELS.get(entry.name, entry.name)
        return f"{prefix}{label}: recorded {_describe(actual)}, recomputed {_describe(expected)}"
    return None


def _describe_attempts(recomputed: tuple[AttemptRecord, ...], recorded: tuple[AttemptRecord, ...]) -> str:
    if len(recomputed) != len(recorded):
        return f"judgements: recorded {len(recorded)}, recomputed {len(recomputed)}"
    for index, (wanted, found) in enumerate(zip(recomputed, recorded, strict=True)):
        prefix = f"attempt {index}: " if index else ""
        for entry in fields(AttemptRecord):
            expected, actual = getattr(wanted, entry.name), getattr(found, entry.name)
            if expected == actual:
                continue
            if entry.name == "ballots":
                return prefix + _describe_ballots(wanted.ballots, found.ballots)
            label = _ATTEMPT_LABELS[entry.name]
            return f"{prefix}{label}: recorded {_describe(actual)}, recomputed {_describe(expected)}"
    return "judgements"


def _describe_ballots(recomputed: tuple[RevealedBallot, ...], recorded: tuple[RevealedBallot, ...]) -> str:
    for expected, actual in zip_longest(recomputed, recorded):
        if expected != actual:
            voter = (actual if expected is None else expected).voter
            return f"ballot of voter {voter.hex()[:8]}: not the one that was revealed on the ledger"
    return "ballots"


def _describe(value: object) -> str:
    match value:
        case bytes():
            return value.hex()[:8]
        case IntEnum():
            return value.name
        case tuple():
            return "(" + ", ".join(_describe(item) for item in value) + ")"
        case _:
            return str(value)
