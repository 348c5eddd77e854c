"""CPU time and size of what the HTTP port answers, for a ledger of 100 rounds: ``python -m bench.pages``."""

import json
import time
from collections.abc import Callable
from typing import Final

import structlog
import trio

from node.http.metrics import format_metrics
from node.http.reading import Present, Reading
from node.http.recorder import Recorder
from node.json_values import JsonValue
from tests.helpers import LedgerBuilder
from tests.node.control_desks import FOUNDERS, ME, open_desk
from tests.node.fakes import TrioClock
from tests.node.http.sites import Readings, make_outcome_reader

ROUND_COUNT: Final = 100
REPEAT_COUNT: Final = 20


def measure(name: str, answer: "Callable[[], JsonValue | bytes]") -> None:
    """Print the first call's CPU time, and the mean of those that follow: settled rounds are described once."""
    started = time.process_time()
    told = answer()
    first_ms = (time.process_time() - started) * 1_000
    started = time.process_time()
    for _ in range(REPEAT_COUNT):
        answer()
    again_ms = (time.process_time() - started) * 1_000 / REPEAT_COUNT
    size_bytes = len(told) if isinstance(told, bytes) else len(json.dumps(told))
    print(f"{name:<10} {first_ms:6.2f} ms at first, {again_ms:6.2f} ms again, {size_bytes:>7} bytes")


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    builder = LedgerBuilder(founders=FOUNDERS)
    for _ in range(ROUND_COUNT):
        builder.run_round()
    async with open_desk(builder) as desk, trio.open_nursery() as nursery:
        recorder = Recorder(
            hub=desk.hub,
            clock=TrioClock(),
            get_state=desk.informant.get_state,
            read_outcomes=make_outcome_reader(builder),
        )
        await nursery.start(recorder.run)
        await trio.sleep(0.1)
        present = Present(
            informant=desk.informant,
            clock=TrioClock(),
            gauges=Readings().make_gauges(),
            genesis=builder.genesis,
            member=ME,
        )
        reading = Reading(present, recorder)
        measure("status", reading.describe_status)
        measure("alerts", lambda: list[JsonValue](reading.describe_alerts()))
        measure("stakes", reading.describe_stakes)
        measure("history", reading.describe_history)
        measure("rounds", lambda: list[JsonValue](reading.describe_rounds(None, limit=ROUND_COUNT)))
        measure("metrics", lambda: format_metrics(reading))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
