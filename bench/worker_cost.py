"""What a worker costs: seconds to start, memory, milliseconds per training, aggregation and evaluation.

Usage: python bench/worker_cost.py [TASK]
"""

import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from statistics import median

import numpy as np
import structlog
import trio

from node.learner import LearnerSettings, WorkerLearner, open_learner
from node.worker.artifacts import aggregate_artifacts, write_model, write_update
from protocol.learning.artifact_format import ModelSchema, TensorDtype, TensorSpec
from protocol.parameters import AggregationRule, Parameters, get_aggregation_choice

REPEAT_COUNT = 20
LARGE_PARAMETER_COUNT = 4 << 20
LARGE_MEMBER_COUNT = 5


async def measure_ms(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return (time.perf_counter() - started) * 1_000


async def measure_rounds(learner: WorkerLearner, folder: Path) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {"train": [], "aggregate": [], "evaluate": []}
    base, update, candidate = folder / "base", folder / "update", folder / "candidate"
    for number in range(1, REPEAT_COUNT + 1):
        spent["train"].append(await measure_ms(learner.train(round_number=number, base=base, update=update)))
        training = await learner.train(round_number=number, base=base, update=update)
        updates = [(update, training.scale_exponents)] * 2
        aggregation = learner.aggregate(base=base, updates=updates, candidate=candidate)
        spent["aggregate"].append(await measure_ms(aggregation))
        spent["evaluate"].append(await measure_ms(learner.evaluate(model=candidate)))
    return spent


async def measure_worker(task: str, folder: Path) -> None:
    settings = LearnerSettings(
        task=task,
        parameters=(),
        member_index=0,
        member_count=7,
        aggregation=get_aggregation_choice(Parameters(aggregation=AggregationRule.MEDIAN)),
        schema=None,
    )
    async with open_learner(settings) as learner:
        start_ms = await measure_ms(learner.describe(initial_model=folder / "base"))
        loaded_mb = learner.get_rss_bytes() >> 20
        spent = await measure_rounds(learner, folder)
        print(f"{task}: start, load and describe {start_ms / 1_000:.1f} s")
        print(f"memory {loaded_mb} MB loaded, {learner.get_rss_bytes() >> 20} MB after {REPEAT_COUNT} rounds")
        for name, values in spent.items():
            print(f"{name:10} first {values[0]:6.1f} ms, median {median(values):6.1f} ms, most {max(values):6.1f} ms")


def measure_large_aggregation(folder: Path) -> None:
    spec = TensorSpec(name="w", shape=(LARGE_PARAMETER_COUNT,), dtype=TensorDtype.F32, is_trainable=True)
    schema = ModelSchema(tensors=(spec,))
    generator = np.random.Generator(np.random.PCG64(0))
    base = generator.standard_normal(LARGE_PARAMETER_COUNT, dtype=np.float32)
    write_model(schema, folder / "large", lambda _: base)
    updates = []
    for member in range(LARGE_MEMBER_COUNT):
        trained = base + generator.standard_normal(LARGE_PARAMETER_COUNT, dtype=np.float32) * np.float32(0.01)
        path = folder / f"large-{member}"
        started = time.perf_counter()
        exponents = write_update(schema, base=folder / "large", update=path, get_tensor={"w": trained}.__getitem__)
        if member == 0:
            print(f"{LARGE_PARAMETER_COUNT >> 20} Mi parameters: encode {time.perf_counter() - started:.2f} s")
        updates.append((path, exponents))
    for rule in AggregationRule:
        started = time.perf_counter()
        choice = get_aggregation_choice(Parameters(aggregation=rule))
        aggregate_artifacts(schema, choice, base=folder / "large", updates=updates, candidate=folder / "candidate")
        print(f"  {rule.name.lower()} of {LARGE_MEMBER_COUNT} updates {time.perf_counter() - started:.2f} s")


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        trio.run(measure_worker, sys.argv[1] if len(sys.argv) > 1 else "digits", Path(folder))
        measure_large_aggregation(Path(folder))


if __name__ == "__main__":
    main()
