"""Artifacts larger than a slice: files give the same bits as tensors held in memory."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from node.worker.artifacts import SLICE_PARAMETERS, aggregate_artifacts, write_model, write_update
from protocol.aggregation.fixed_point import FixedPoint, aggregate
from protocol.learning.artifact_format import ModelSchema, TensorDtype, TensorSpec
from protocol.parameters import AggregationRule

SHAPES = {"large": (3, SLICE_PARAMETERS - 1), "exact": (SLICE_PARAMETERS,), "number": ()}
SCHEMA = ModelSchema(
    tensors=tuple(
        [TensorSpec(name=n, shape=shape, dtype=TensorDtype.F32, is_trainable=True) for n, shape in SHAPES.items()]
    )
)
MEMBER_COUNT = 3


def draw_tensors(seed: int, scale: float) -> dict[str, NDArray[np.float32]]:
    generator = np.random.Generator(np.random.PCG64(seed))
    return {
        name: generator.standard_normal(int(np.prod(shape)), dtype=np.float32) * np.float32(scale)
        for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("rule", AggregationRule)
def test_candidate_of_files_equals_candidate_of_tensors(tmp_path: Path, rule: AggregationRule) -> None:
    base_path, candidate_path = tmp_path / "base", tmp_path / "candidate"
    base = draw_tensors(0, 1.0)
    write_model(SCHEMA, base_path, base.__getitem__)
    updates = []
    for member in range(MEMBER_COUNT):
        change = draw_tensors(1 + member, 0.1 * 2.0**member)
        path = tmp_path / f"update-{member}"
        trained = {name: base[name] + change[name] for name in base}
        updates.append((path, write_update(SCHEMA, base=base_path, update=path, get_tensor=trained.__getitem__)))
    aggregate_artifacts(SCHEMA, rule, base=base_path, updates=updates, candidate=candidate_path)

    candidate = safetensors.numpy.load_file(candidate_path)
    integers = [(safetensors.numpy.load_file(path), exponents) for path, exponents in updates]
    for index, name in enumerate(SHAPES):
        members = [
            FixedPoint(update=tensors[name].reshape(-1), scale_exponent=exponents[index])
            for tensors, exponents in integers
        ]
        assert candidate[name].reshape(-1).tobytes() == aggregate(rule, base[name], members).tobytes()
