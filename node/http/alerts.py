"""What an operator should look at now, each in one sentence, and whether the node is ready.

An alert that blocks means that the member does not take part: it is why ``/readyz`` answers 503. Alerts are computed
from the present whenever somebody asks, so one that is over is gone; but an offence is told until the node restarts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.http.gauges import Gauges
from node.http.recorder import Recorder
from node.json_values import JsonObject, get_int, get_list, get_object
from node.members import find_account
from protocol.ledger.state import LedgerState, RoundState, is_exhausted
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.units import MemberId, Millis

DISK_FREE_BYTES_MIN: Final = 1 << 30
FAILED_VIEWS_MAX: Final = 5
"""So many failed views within a minute are worth a look; one now and then is a leader that was restarted."""
FAILED_VIEWS_WINDOW_MS: Final = 60_000
RECENT_ROUNDS: Final = 3
"""Trouble in the learning is told for so many rounds."""


class Severity(StrEnum):
    """Who should come running."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing to look at."""

    code: str
    """For programs: one word."""
    severity: Severity
    text: str
    """For people: what is wrong, and what to do if that is not plain."""
    is_blocking: bool = False
    """Whether this member does not take part because of it."""

    def describe(self) -> JsonObject:
        """Return the alert as JSON."""
        return {"code": self.code, "severity": self.severity.value, "text": self.text, "is_blocking": self.is_blocking}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What alerts are computed from."""

    status: JsonObject
    """As the informant describes it."""
    peers: list[JsonObject]
    state: LedgerState
    parameters: Parameters
    member: MemberId
    recorder: Recorder
    gauges: Gauges
    now_ms: Millis


def find_alerts(facts: Facts) -> list[Alert]:
    """Return what is wrong now: what blocks first, then errors, then warnings."""
    found = [
        *_find_standing(facts),
        *_find_silence(facts),
        *_find_quorum(facts),
        *_find_standstill(facts),
        *_find_own_trouble(facts),
        *_find_network_trouble(facts),
    ]
    return sorted(found, key=lambda alert: (not alert.is_blocking, alert.severity is not Severity.ERROR))


def _find_standing(facts: Facts) -> Iterator[Alert]:
    account = find_account(facts.state, facts.member)
    if account is None:
        yield Alert(
            code="not_a_member",
            severity=Severity.WARNING,
            text="this node waits to be admitted: a member has to ask for it with `pnyx join`",
            is_blocking=True,
        )
        return
    if account.is_jailed:
        yield Alert(
            code="jailed",
            severity=Severity.ERROR,
            text="this member is in jail for signing contradicting messages: it is drawn for nothing any more",
        )
    if account.is_evicted:
        yield Alert(code="evicted", severity=Severity.ERROR, text="this member was evicted: its stake is used up")
    elif is_exhausted(facts.parameters, account):
        yield Alert(
            code="exhausted",
            severity=Severity.ERROR,
            text="this member has too little stake bonded to be drawn: bond more with `pnyx bond`",
        )


def _find_silence(facts: Facts) -> Iterator[Alert]:
    reason = facts.status["not_voting_reason"]
    if reason is not None:
        yield Alert(
            code="not_voting",
            severity=Severity.WARNING,
            text=f"this node casts no votes in consensus: {reason}",
            is_blocking=True,
        )


def _find_quorum(facts: Facts) -> Iterator[Alert]:
    weights = get_object(facts.status["weights"])
    online = get_int(facts.status["members_connected"]) + 1
    everybody = get_int(facts.status["members_other"]) + 1
    if weights["has_quorum"] is not True:
        share = get_int(weights["connected"]) * 100 // max(get_int(weights["total"]), 1)
        yield Alert(
            code="no_quorum",
            severity=Severity.ERROR,
            text=f"no quorum: {online} of {everybody} online with {share}% of the weight, more than two thirds are"
            " needed; nothing is decided until others return",
            is_blocking=True,
        )
    strays = [str(peer["name"]) for peer in facts.peers if peer["is_stray"] is True]
    if strays:
        yield Alert(
            code="other_network",
            severity=Severity.ERROR,
            text=f"{', '.join(strays)} answered, but of another network than chain {str(facts.status['chain_id'])[:8]}:"
            " one of you has a wrong genesis.json; compare what `pnyx genesis check` prints",
        )
    away = [peer for peer in facts.peers if peer["is_member"] is True and not peer["is_connected"]]
    missing = [str(peer["name"]) for peer in away if not peer["is_stray"]]
    if missing:
        yield Alert(
            code="members_offline",
            severity=Severity.WARNING,
            text=f"{len(missing)} of {everybody - 1} others not connected: {', '.join(missing)}",
        )


def _find_standstill(facts: Facts) -> Iterator[Alert]:
    """A phase ends by its deadline or a view change later; a draw takes one block."""
    current = facts.state.round
    if current is None:
        return
    grace_ms = 2 * facts.parameters.timeout_view_max_ms + facts.parameters.clock_drift_max_ms
    # What is due by the ledger's time comes later by a clock that is ahead. And before this node had a moment to hear
    # of others, it knows nothing of whether anything stands still.
    due_ms = _compute_due_ms(facts.state, current) + get_int(get_object(facts.status["clock"])["ahead_ms"])
    since_ms = max(due_ms, facts.recorder.started_ms)
    late_ms = facts.now_ms - since_ms
    if late_ms > grace_ms:
        yield Alert(
            code="standstill",
            severity=Severity.ERROR,
            text=f"nothing was decided for {late_ms // 1_000} s: round {current.round} should have left its phase"
            f" {current.phase.name} by then",
            is_blocking=True,
        )


def _compute_due_ms(state: LedgerState, current: RoundState) -> Millis:
    return state.time_ms if current.phase is Phase.DRAW else current.deadline_ms


def _find_own_trouble(facts: Facts) -> Iterator[Alert]:
    recorder, current = facts.recorder, facts.state.next_round
    if recorder.abandoned_round is not None and recorder.abandoned_round + RECENT_ROUNDS >= current:
        yield Alert(
            code="work_failed",
            severity=Severity.ERROR,
            text=f"this node's own work failed in round {recorder.abandoned_round}: its log says why (work_failed,"
            " update_not_screened)",
        )
    if recorder.differed_round is not None and recorder.differed_round + RECENT_ROUNDS >= current:
        yield Alert(
            code="candidate_differed",
            severity=Severity.ERROR,
            text=f"in round {recorder.differed_round} the others computed another model than this node: check its"
            " memory, disk and library versions",
        )
    if facts.gauges.get_worker_bytes() == 0:
        yield Alert(
            code="no_worker",
            severity=Severity.WARNING,
            text="the worker does not run: it is restarted after a pause; if this stays, the log says why"
            " (worker_discarded)",
        )
    free_bytes = facts.gauges.get_disk_free_bytes()
    if free_bytes < DISK_FREE_BYTES_MIN:
        yield Alert(
            code="disk_low",
            severity=Severity.ERROR,
            text=f"{free_bytes >> 20} MB of disk are left; the node stops when none is",
        )
    yield from _find_clock(facts)


def _find_clock(facts: Facts) -> Iterator[Alert]:
    """A clock that is further off than C8 allows costs this node its vote, and the network this node's blocks."""
    clock = {name: get_int(value) for name, value in get_object(facts.status["clock"]).items()}
    bound_ms = facts.parameters.clock_drift_max_ms // 2
    whose = f"most others' (heard: {clock['member_count']})"
    if clock["behind_ms"] > bound_ms:
        yield Alert(
            code="clock_behind",
            severity=Severity.ERROR,
            text=f"this machine's clock is {clock['behind_ms'] / 1_000:.1f} s behind {whose}: turn on time"
            " synchronisation (NTP); until then this node does not vote for others' blocks in time",
        )
    if clock["ahead_ms"] > bound_ms:
        yield Alert(
            code="clock_ahead",
            severity=Severity.ERROR,
            text=f"this machine's clock is {clock['ahead_ms'] / 1_000:.1f} s ahead of {whose}: turn on time"
            " synchronisation (NTP); until then the others refuse this node's blocks, and it is silent where it takes"
            " deadlines for over",
        )


def _find_network_trouble(facts: Facts) -> Iterator[Alert]:
    names = {str(entry["member"]): str(entry["name"]) for entry in map(get_object, get_list(facts.status["members"]))}
    earliest_ms = facts.now_ms - FAILED_VIEWS_WINDOW_MS
    failures = [failure for failure in facts.recorder.failures if failure.seen_ms >= earliest_ms]
    if len(failures) > FAILED_VIEWS_MAX:
        leaders = sorted({names.get(failure.leader.hex(), failure.leader.hex()[:8]) for failure in failures})
        yield Alert(
            code="views_fail",
            severity=Severity.WARNING,
            text=f"{len(failures)} views failed in the last minute, led by {', '.join(leaders)}",
        )
    if facts.recorder.offenders:
        offenders = sorted(names.get(member.hex(), member.hex()[:8]) for member in facts.recorder.offenders)
        yield Alert(
            code="offence_seen",
            severity=Severity.WARNING,
            text=f"{', '.join(offenders)} signed contradicting messages; the ledger punishes it",
        )
