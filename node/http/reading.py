"""What the pages show, as JSON: the informant's answers without what is nobody else's business, and what was recorded.

Settled rounds never change, so they are described once and kept.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from node.http.alerts import Alert, Facts, find_alerts
from node.http.gauges import Gauges
from node.http.recorder import Recorder
from node.json_values import JsonObject, JsonValue, get_int, get_list, get_object
from node.members import build_names, get_name
from node.ports import Clock
from node.status import Informant
from protocol.genesis import Genesis
from protocol.ledger.state import LedgerState
from protocol.units import MemberId, Round

ROUNDS_PAGE_MAX: Final = 100
ROUNDS_KEPT_MAX: Final = 500
PRIVATE_KEYS: Final = ("pid",)
"""Parts of the status that are for this machine only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """How the pages read a running node."""

    informant: Informant
    clock: Clock
    gauges: Gauges
    genesis: Genesis
    member: MemberId


class Reading:
    """Answers what the pages ask."""

    def __init__(self, present: Present, recorder: Recorder) -> None:
        """Take where the present is read, and what was recorded."""
        self._present = present
        self._rounds: OrderedDict[int, JsonObject] = OrderedDict()
        self.recorder = recorder
        self.gauges = present.gauges

    def describe_status(self) -> JsonObject:
        """Return how the node is."""
        status = self._present.informant.describe_status()
        return {name: value for name, value in status.items() if name not in PRIVATE_KEYS}

    def describe_peers(self) -> list[JsonObject]:
        """Return every other member."""
        return [get_object(peer) for peer in self._present.informant.describe_peers()]

    def describe_stakes(self) -> JsonObject:
        """Return who holds how much now."""
        return self._present.informant.describe_stakes()

    def describe_history(self) -> JsonObject:
        """Return who held how much after each of the last rounds."""
        return self.recorder.history.describe(build_names(self._get_state()))

    def describe_model(self) -> JsonObject:
        """Return the current model and its lineage, and this node's scores of models that the ledger has accepted.

        Its score of an open round's candidate is its ballot, which nobody may know before it is revealed (F8).
        """
        model = self._present.informant.describe_model()
        lineage = [get_object(entry)["model"] for entry in get_list(model["lineage"])]
        told = {model["genesis_digest"], model["digest"], *get_list(model["accepted"]), *lineage}
        scores = {digest: score for digest, score in get_object(model["scores"]).items() if digest in told}
        return {**model, "scores": scores}

    def describe_newcomers(self) -> JsonObject:
        """Return who waits to be admitted."""
        return self._present.informant.describe_newcomers()

    def describe_rounds(self, from_round: int | None, *, limit: int) -> list[JsonObject]:
        """Return settled rounds, ascending; without a first one, the latest."""
        settled = self._get_state().rounds_settled
        first = max(settled - limit + 1, 1) if from_round is None else from_round
        last = min(first + limit - 1, settled)
        if any(number not in self._rounds for number in range(first, last + 1)):
            for described in self._present.informant.describe_rounds(Round(first), limit=limit):
                record = get_object(described)
                self._keep(get_int(record["round"]), record)
        return [self._rounds[number] for number in range(first, last + 1) if number in self._rounds]

    def describe_consensus(self) -> JsonObject:
        """Return how the order of blocks came about lately."""
        names = build_names(self._get_state())
        recorder = self.recorder
        return {
            "failed_views": recorder.failed_views,
            "blocks": [
                {
                    "height": block.height,
                    "view": block.view,
                    "time_ms": block.time_ms,
                    "leader": block.leader.hex(),
                    "leader_name": get_name(names, block.leader),
                    "operation_count": block.operation_count,
                }
                for block in recorder.blocks
            ],
            "failures": [
                {
                    "view": failure.view,
                    "leader": failure.leader.hex(),
                    "leader_name": get_name(names, failure.leader),
                    "seen_ms": failure.seen_ms,
                }
                for failure in recorder.failures
            ],
        }

    def find_alerts(self) -> list[Alert]:
        """Return what is wrong now."""
        facts = Facts(
            status=self._present.informant.describe_status(),
            peers=self.describe_peers(),
            state=self._get_state(),
            parameters=self._present.genesis.parameters,
            member=self._present.member,
            recorder=self.recorder,
            gauges=self.gauges,
            now_ms=self._present.clock.get_now_ms(),
        )
        return find_alerts(facts)

    def describe_alerts(self) -> list[JsonObject]:
        """Return what is wrong now, as JSON."""
        return [alert.describe() for alert in self.find_alerts()]

    def _get_state(self) -> LedgerState:
        return self._present.informant.get_state()

    def _keep(self, number: int, record: JsonObject) -> None:
        self._rounds[number] = record
        # Or what stands in this answer would be the first to go.
        self._rounds.move_to_end(number)
        while len(self._rounds) > ROUNDS_KEPT_MAX:
            self._rounds.popitem(last=False)


def get_objects(value: JsonValue) -> list[JsonObject]:
    """Return a list that must hold objects only."""
    return [get_object(item) for item in get_list(value)]
