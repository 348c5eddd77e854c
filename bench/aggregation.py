"""What aggregating large updates costs: seconds and peak memory for every rule (F5).

Usage: python -m bench.aggregation [--updates 10] [--parameters 20000000] [--rules krum,bulyan]

Needs Linux. Each rule runs in a process of its own, which does what a worker does, on the same artifacts in a temporary
folder (2 bytes per weight and update, 4 for the base and 4 for the candidate). Time grows in proportion to the weights,
memory does not grow with them. The last column is the processor time, multiplied.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from node.worker.artifacts import aggregate_artifacts, write_model
from protocol.learning.artifact_format import (
    ModelSchema,
    TensorDtype,
    TensorSpec,
    compute_update_header,
    get_trainable_tensors,
)
from protocol.parameters import AggregationRule, Parameters, get_aggregation_choice

ROW_PARAMETERS: Final = 1_000_000
BILLION: Final = 10**9
SCALE_EXPONENTS: Final = (-20, -21, -22)


def make_schema(parameter_count: int) -> ModelSchema:
    """Return tensors of at most a million weights."""
    counts = [ROW_PARAMETERS] * (parameter_count // ROW_PARAMETERS)
    counts += [parameter_count % ROW_PARAMETERS] if parameter_count % ROW_PARAMETERS else []
    return ModelSchema(
        tensors=tuple(
            TensorSpec(name=f"tensor{index}", shape=(count,), dtype=TensorDtype.F32, is_trainable=True)
            for index, count in enumerate(counts)
        )
    )


def write_inputs(schema: ModelSchema, folder: Path, update_count: int) -> list[tuple[Path, tuple[int, ...]]]:
    """Write a base and updates that have half of their change in common."""
    sizes = {spec.name: spec.shape[0] for spec in schema.tensors}
    generator = np.random.Generator(np.random.PCG64(0))
    write_model(schema, folder / "base", lambda name: generator.standard_normal(sizes[name], dtype=np.float32))
    common = generator.integers(-8_000, 8_001, size=ROW_PARAMETERS, dtype=np.int16)
    updates = []
    for member in range(update_count):
        path = folder / f"update-{member}"
        with path.open("wb") as file:
            file.write(compute_update_header(schema))
            for spec in get_trainable_tensors(schema):
                own = generator.integers(-8_000, 8_001, size=spec.shape[0], dtype=np.int16)
                file.write((common[: spec.shape[0]] + own).astype("<i2").tobytes())
        exponents = tuple(SCALE_EXPONENTS[member % len(SCALE_EXPONENTS)] for _ in schema.tensors)
        updates.append((path, exponents))
    return updates


def get_peak_bytes() -> int:
    """Return the most memory that this process had since it began its program."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1_024


def measure(
    rule: AggregationRule,
    schema: ModelSchema,
    folder: Path,
    updates: list[tuple[Path, tuple[int, ...]]],
    results: "multiprocessing.Queue[tuple[float, float, int, int]]",
) -> None:
    """Aggregate once in this process and hand over wall and processor seconds, and peak memory before and after."""
    before = get_peak_bytes()
    wall, busy = time.perf_counter(), time.process_time()
    choice = get_aggregation_choice(Parameters(aggregation=rule))
    aggregate_artifacts(schema, choice, base=folder / "base", updates=updates, candidate=folder / f"out-{os.getpid()}")
    results.put((time.perf_counter() - wall, time.process_time() - busy, before, get_peak_bytes()))
    (folder / f"out-{os.getpid()}").unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure aggregation.")
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--parameters", type=int, default=20_000_000)
    parser.add_argument("--rules", default=",".join(rule.name.lower() for rule in AggregationRule))
    options = parser.parse_args()
    schema = make_schema(options.parameters)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="pnyx-aggregation-") as name:
        folder = Path(name)
        updates = write_inputs(schema, folder, options.updates)
        print(f"{options.updates} updates of {options.parameters:,} weights, one processor core")
        print(f"{'rule':<18} {'seconds':>8} {'CPU-s':>8} {'peak MB':>8} {'at start':>9}  CPU-minutes for a billion")
        for rule_name in options.rules.split(","):
            results = context.Queue()
            arguments = (AggregationRule[rule_name.upper()], schema, folder, updates, results)
            process = context.Process(target=measure, args=arguments)
            process.start()
            wall, busy, before, peak = results.get()
            process.join()
            billion = busy * BILLION / options.parameters / 60
            print(f"{rule_name:<18} {wall:8.1f} {busy:8.1f} {peak >> 20:8} {before >> 20:9}  {billion:.1f}", flush=True)


if __name__ == "__main__":
    main()
