"""What screening a round's updates costs, through artifacts and without: python -m bench.screening_cost [WIDTH]

A voter's worker scores a base moved by an eighth of each of five updates (F8): once as nodes did it first, where every
moved model became an artifact of the store, and once inside the worker, in turns. Seconds depend on what else the
machine does, so they are medians, with their ratio; bytes written are the kernel's count for this process and the
worker's. Memory is by how much the worker's peak exceeds what it holds with the model loaded.

WIDTH squared is the number of parameters, 50 million by default.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

import psutil
import structlog
import trio

from node.artifacts.store import ArtifactStore
from node.learner import LearnerSettings, WorkerLearner, open_learner
from protocol.learning.judgement import compute_share_exponents
from protocol.parameters import AggregationRule, Parameters, get_aggregation_choice
from protocol.units import Ppm

UPDATE_COUNT: Final = 5
REPEAT_COUNT: Final = 5
DEFAULT_WIDTH: Final = 7_072

Shares: TypeAlias = Sequence[tuple[Path, tuple[int, ...]]]
"""Updates, each with the scales of its eighth."""


@dataclass(slots=True)
class Bench:
    """A worker with a base on disk, and a node's store."""

    learner: WorkerLearner
    store: ArtifactStore
    base: Path

    async def screen_through_artifacts(self, shares: Shares) -> list[Ppm]:
        """Return the scores as they were found before: aggregate, store, evaluate."""
        scores = []
        for share in shares:
            path = self.store.make_temporary_path()
            await self.learner.aggregate(base=self.base, updates=[share], candidate=path)
            stored = await self.store.adopt(path)
            scores.append(await self.learner.evaluate(model=self.store.get_path(stored.digest)))
            self.store.forget([stored.digest])
        return scores

    async def screen_inside(self, shares: Shares) -> list[Ppm]:
        """Return the scores as a node finds them."""
        return [
            await self.learner.screen(base=self.base, update=path, scale_exponents=scales) for path, scales in shares
        ]

    def count_written(self) -> int:
        """Return the bytes that this process and the worker have sent to the disk so far."""
        processes = [psutil.Process(), psutil.Process(self.learner.get_worker_pid())]
        return sum(process.io_counters().write_bytes for process in processes)

    def measure_peak_bytes(self) -> int:
        """Return the worker's peak memory since :meth:`forget_peak`."""
        status = Path(f"/proc/{self.learner.get_worker_pid()}/status").read_text(encoding="utf-8")
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) << 10

    def forget_peak(self) -> None:
        """Let the worker's peak be what it holds now."""
        Path(f"/proc/{self.learner.get_worker_pid()}/clear_refs").write_text("5", encoding="utf-8")


async def train_all(bench: Bench, folder: Path) -> Shares:
    shares = []
    for number in range(1, UPDATE_COUNT + 1):
        path = folder / f"update-{number}"
        training = await bench.learner.train(round_number=number, base=bench.base, update=path)
        shares.append((path, compute_share_exponents(training.scale_exponents)))
    return shares


async def measure(width: int, folder: Path) -> None:
    settings = LearnerSettings(
        task="bench.wide_task:WideTask",
        parameters=(("width", str(width)),),
        member_index=0,
        member_count=7,
        aggregation=get_aggregation_choice(Parameters(aggregation=AggregationRule.MEDIAN)),
        schema=None,
    )
    async with open_learner(settings) as learner:
        bench = Bench(learner=learner, store=ArtifactStore(folder / "store", retention_count=0), base=folder / "base")
        await learner.describe(initial_model=bench.base)
        shares = await train_all(bench, folder)
        print(f"{width * width:,} parameters, {UPDATE_COUNT} updates, {REPEAT_COUNT} times in turns")
        ways: dict[str, Callable[[Shares], Awaitable[list[Ppm]]]] = {
            "through artifacts": bench.screen_through_artifacts,
            "inside the worker": bench.screen_inside,
        }
        spent, written, peaks, scores = defaultdict(list), defaultdict(list), defaultdict(list), []
        for _ in range(REPEAT_COUNT):
            for name, screen in ways.items():
                held, wrote = learner.get_rss_bytes(), bench.count_written()
                bench.forget_peak()
                started = time.perf_counter()
                scores.append(await screen(shares))
                spent[name].append(time.perf_counter() - started)
                written[name].append(bench.count_written() - wrote)
                peaks[name].append(bench.measure_peak_bytes() - held)
        assert all(row == scores[0] for row in scores), "the two ways give different scores"
        for name in ways:
            print(
                f"  {name}: {median(spent[name]):6.2f} s, {median(written[name]) / 1e6:8.1f} MB written,"
                f" {max(peaks[name]) / 1e6:6.1f} MB of memory more at the peak"
            )
        before, after = (median(values) for values in spent.values())
        print(f"  {before / after:.1f} times as fast")


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    width = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_WIDTH
    with tempfile.TemporaryDirectory() as folder:
        trio.run(measure, width, Path(folder))


if __name__ == "__main__":
    main()
