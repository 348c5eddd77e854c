"""The metrics page, in Prometheus' text format; everything is read when somebody asks.

Counters begin at 0 with the process, as Prometheus expects. Stake is in micro-tokens, times are in seconds.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from node.http.reading import Reading, get_objects
from node.http.recorder import BUCKETS_S, Recorder
from node.json_values import JsonObject, JsonValue, get_int, get_object
from protocol.outcomes import Phase, Verdict

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_PLAIN: Final = (
    ("pnyx_height", "Height of the ledger.", "height"),
    ("pnyx_epoch", "Epoch of the next block.", "epoch"),
    ("pnyx_view", "View that consensus is in.", "view"),
    ("pnyx_rounds_settled", "Rounds that have a verdict.", "rounds_settled"),
    ("pnyx_members_connected", "Other members that are connected.", "members_connected"),
    ("pnyx_members_other", "Other members.", "members_other"),
    ("pnyx_daemon_memory_bytes", "Resident memory of the daemon.", "rss_bytes"),
)


class _Page:
    """What prometheus_client calls a collector."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def format_metrics(reading: Reading) -> bytes:
    """Return the page."""
    status = reading.describe_status()
    families = [
        *_build_status(status),
        *_build_round(status, reading.recorder),
        *_build_network(reading),
        *_build_stakes(reading.describe_stakes()),
        *_build_activities(get_object(status["timings"])),
        *_build_readiness(reading),
    ]
    return generate_latest(_Page(families))


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)


def _number(value: JsonValue) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _build_status(status: JsonObject) -> Iterator[Metric]:
    labels = ("network", "chain_id", "name", "member", "version")
    info = GaugeMetricFamily("pnyx_info", "Who this node is.", labels=labels)
    info.add_metric([str(status[label]) for label in labels], 1)
    yield info
    for name, help_text, key in _PLAIN:
        yield _gauge(name, help_text, get_int(status[key]))
    yield _gauge("pnyx_ledger_time_seconds", "Time of the last final block.", get_int(status["time_ms"]) / 1_000)
    yield _gauge("pnyx_uptime_seconds", "How long the daemon has run.", get_int(status["uptime_ms"]) / 1_000)
    yield _gauge("pnyx_is_voting", "1 if the node casts votes in consensus.", status["is_voting"] is True)
    weights = get_object(status["weights"])
    weight = GaugeMetricFamily("pnyx_weight", "Consensus weight, by what it is.", labels=("of",))
    for of in ("own", "connected", "quorum", "total"):
        weight.add_metric([of], get_int(weights[of]))
    yield weight
    yield _gauge("pnyx_has_quorum", "1 if a quorum of the weight is connected.", weights["has_quorum"] is True)


def _build_round(status: JsonObject, recorder: Recorder) -> Iterator[Metric]:
    current = None if status["round"] is None else get_object(status["round"])
    yield _gauge("pnyx_round", "The open round; 0 if none is.", 0 if current is None else get_int(current["round"]))
    phases = GaugeMetricFamily("pnyx_round_phase", "1 for the phase of the open round.", labels=("phase",))
    durations = HistogramMetricFamily("pnyx_phase_seconds", "How long phases took, in ledger time.", labels=("phase",))
    for phase in Phase:
        phases.add_metric([phase.name], current is not None and current["phase"] == phase.name)
        taken = recorder.durations[phase]
        bounds = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]
        durations.add_metric([phase.name], list(zip(bounds, accumulate(taken.counts), strict=True)), taken.sum_s)
    yield phases
    yield durations
    verdicts = CounterMetricFamily("pnyx_verdicts", "Rounds settled since the start.", labels=("verdict",))
    for verdict in Verdict:
        verdicts.add_metric([verdict.name], recorder.verdicts[verdict])
    yield verdicts
    yield CounterMetricFamily("pnyx_views_failed", "Views whose timer ran out.", value=recorder.failed_views)


def _build_network(reading: Reading) -> Iterator[Metric]:
    families: tuple[GaugeMetricFamily | CounterMetricFamily, ...] = (
        GaugeMetricFamily("pnyx_peer_connected", "1 if the peer is connected.", labels=("peer", "member")),
        GaugeMetricFamily("pnyx_peer_score", "0 is good; misbehaviour lowers it.", labels=("peer", "member")),
        CounterMetricFamily("pnyx_peer_received_bytes", "Received from the peer.", labels=("peer", "member")),
        CounterMetricFamily("pnyx_peer_sent_bytes", "Sent to the peer.", labels=("peer", "member")),
        GaugeMetricFamily("pnyx_peer_round_trip_seconds", "Of the last ping.", labels=("peer", "member")),
    )
    for peer in reading.describe_peers():
        labels = [str(peer["name"]), str(peer["member"])[:8]]
        values = (peer["is_connected"], peer["score"], peer["bytes_received"], peer["bytes_sent"])
        for family, value in zip(families, values, strict=False):
            family.add_metric(labels, _number(value))
        if peer["round_trip_ms"] is not None:
            families[-1].add_metric(labels, _number(peer["round_trip_ms"]) / 1_000)
    yield from families
    gauges = reading.gauges
    yield _gauge("pnyx_inbox_length", "Inputs that wait for the core.", gauges.get_inbox_length())
    dropped = CounterMetricFamily("pnyx_dropped", "Messages that found a queue full.", labels=("queue",))
    dropped.add_metric(["inbox"], gauges.get_inbox_refused())
    dropped.add_metric(["gossip"], gauges.get_gossip_dropped())
    yield dropped
    yield _gauge("pnyx_worker_memory_bytes", "Resident memory of the worker; 0: none runs.", gauges.get_worker_bytes())
    yield _gauge("pnyx_disk_free_bytes", "Room on the disk of the home.", gauges.get_disk_free_bytes())


def _build_stakes(stakes: JsonObject) -> Iterator[Metric]:
    family = GaugeMetricFamily("pnyx_stake", "A member's stake, in micro-tokens.", labels=("name", "member", "state"))
    for account in get_objects(stakes["members"]):
        for state in ("bonded", "unbonding", "free"):
            family.add_metric([str(account["name"]), str(account["member"])[:8], state], get_int(account[state]))
    yield family
    for name in ("supply", "treasury", "burned"):
        yield _gauge(f"pnyx_{name}", f"The network's {name}, in micro-tokens.", get_int(stakes[name]))


def _build_activities(timings: JsonObject) -> Iterator[Metric]:
    seconds = CounterMetricFamily("pnyx_activity_seconds", "Time spent, waiting included.", labels=("activity",))
    counts = CounterMetricFamily("pnyx_activity_count", "How often.", labels=("activity",))
    for activity, spent in timings.items():
        seconds.add_metric([activity], _number(get_object(spent)["wall_ms"]) / 1_000)
        counts.add_metric([activity], _number(get_object(spent)["count"]))
    yield seconds
    yield counts


def _build_readiness(reading: Reading) -> Iterator[Metric]:
    alerts = reading.find_alerts()
    yield _gauge("pnyx_ready", "1 if this member takes part.", not any(alert.is_blocking for alert in alerts))
    family = GaugeMetricFamily("pnyx_alert", "1 for each alert that is on.", labels=("code", "severity"))
    for alert in alerts:
        family.add_metric([alert.code, alert.severity.value], 1)
    yield family
