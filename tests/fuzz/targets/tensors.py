"""F4, F6, W6: artifacts that the worker reads: a base and updates of any bytes, or InvalidMessage or NotFiniteError.

An input is an array: the aggregation rule, the base's bytes, and for each update its bytes and scale exponents. What
comes of them is a model again, and the same one whenever it is computed.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from node.worker.artifacts import aggregate_artifacts, read_model
from protocol.aggregation.fixed_point import NotFiniteError
from protocol.errors import InvalidMessage
from protocol.learning.artifact_format import (
    compute_model_header,
    compute_model_size_bytes,
    compute_update_header,
    compute_update_size_bytes,
)
from protocol.parameters import UPDATE_COUNT_MAX, AggregationRule, Parameters, get_aggregation_choice
from tests.fuzz.driving import make_scratch
from tests.fuzz.msgpack_mutation import make_msgpack_mutator, parse
from tests.fuzz.target import Target
from tests.fuzz.trees import Tree
from tests.values import SCHEMA


def run(data: bytes) -> None:
    """Aggregate, if the parts are of the right types."""
    match parse(data):
        case [int(rule), bytes(base), list(updates)]:
            pass
        case _:
            return
    folder = make_scratch()
    base_path = folder / "base"
    base_path.write_bytes(base)
    sources = [_write_update(folder / f"update{index}", update) for index, update in enumerate(updates)]
    known = [source for source in sources if source is not None][:UPDATE_COUNT_MAX]
    if not known:
        return
    rule_chosen = AggregationRule(rule % len(AggregationRule))
    chosen = get_aggregation_choice(replace(Parameters(), aggregation=rule_chosen))
    try:
        read_model(SCHEMA, base_path, _forget)
        made = aggregate_artifacts(SCHEMA, chosen, base=base_path, updates=known, candidate=folder / "made")
        again = aggregate_artifacts(SCHEMA, chosen, base=base_path, updates=known, candidate=folder / "again")
    except (InvalidMessage, NotFiniteError):
        return
    assert made == again, "the same updates made two candidates"
    read_model(SCHEMA, folder / "made", _forget)


def _write_update(path: Path, update: Tree) -> tuple[Path, tuple[int, ...]] | None:
    match update:
        case [bytes(content), list(exponents)]:
            path.write_bytes(content)
            return path, tuple(exponent for exponent in exponents if isinstance(exponent, int))
        case _:
            return None


def _forget(_name: str, _start: int, weights: NDArray[np.float32]) -> None:
    assert np.isfinite(weights).all(), "NaN or infinity was handed over"


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return true artifacts, with edges of float32 and int16 among their numbers."""
    header, update_header = compute_model_header(SCHEMA), compute_update_header(SCHEMA)
    model = header + bytes(compute_model_size_bytes(SCHEMA) - len(header))
    count = (len(model) - len(header)) // 4
    edges = np.array([3.4028235e38, -3.4028235e38, 1e-45, 1.1754944e-38, -0.0, 1.0], dtype="<f4")
    large = header + np.resize(edges, count).tobytes()
    size = compute_update_size_bytes(SCHEMA) - len(update_header)
    update = update_header + bytes(size)
    highest = update_header + np.resize(np.array([32_767, -32_768, 1, -1], dtype="<i2"), size // 2).tobytes()
    inputs = [
        [0, model, [[update, [-20, -20]], [highest, [-8, -48]]]],
        [1, large, [[highest, [-8, -8]], [update, [-48, -48]], [highest, [-48, -8]]]],
        [1, model[:-1], [[update, [-20, -20]]]],
    ]
    return tuple(cast(bytes, msgpack.packb(entry)) for entry in inputs)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=make_msgpack_mutator(make_seeds()))
