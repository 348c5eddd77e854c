"""Artifacts larger than a slice: files give the same bits as tensors held in memory."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from bench.candidate_bits import Case, TensorInput, compute_with_numpy
from node.worker import artifacts
from node.worker.artifacts import SLICE_PARAMETERS, aggregate_artifacts, write_model, write_update
from protocol.aggregation.fixed_point import FixedPoint
from protocol.learning.artifact_format import ModelSchema, TensorDtype, TensorSpec
from protocol.parameters import AggregationRule, Parameters, get_aggregation_choice

SHAPES = {"large": (3, SLICE_PARAMETERS - 1), "exact": (SLICE_PARAMETERS,), "number": ()}
SCHEMA = ModelSchema(
    tensors=tuple(
        [TensorSpec(name=n, shape=shape, dtype=TensorDtype.F32, is_trainable=True) for n, shape in SHAPES.items()]
    )
)
MEMBER_COUNT = 7
"""As many as Bulyan needs."""


def draw_tensors(seed: int, scale: float) -> dict[str, NDArray[np.float32]]:
    generator = np.random.Generator(np.random.PCG64(seed))
    return {
        name: generator.standard_normal(int(np.prod(shape)), dtype=np.float32) * np.float32(scale)
        for name, shape in SHAPES.items()
    }


def write_round(folder: Path) -> tuple[dict[str, NDArray[np.float32]], Path, list[tuple[Path, tuple[int, ...]]]]:
    """Write a base and the updates of a round; return the base, its path, and each update with its exponents."""
    base_path = folder / "base"
    base = draw_tensors(0, 1.0)
    write_model(SCHEMA, base_path, base.__getitem__)
    updates = []
    for member in range(MEMBER_COUNT):
        change = draw_tensors(1 + member, 0.1 * 2.0 ** (member % 3))
        path = folder / f"update-{member}"
        trained = {name: base[name] + change[name] for name in base}
        updates.append((path, write_update(SCHEMA, base=base_path, update=path, get_tensor=trained.__getitem__)))
    return base, base_path, updates


@pytest.mark.parametrize("rule", AggregationRule)
def test_candidate_of_files_equals_candidate_of_tensors(tmp_path: Path, rule: AggregationRule) -> None:
    base, base_path, updates = write_round(tmp_path)
    choice = get_aggregation_choice(Parameters(aggregation=rule))
    aggregate_artifacts(SCHEMA, choice, base=base_path, updates=updates, candidate=tmp_path / "candidate")

    candidate = safetensors.numpy.load_file(tmp_path / "candidate")
    integers = [(safetensors.numpy.load_file(path), exponents) for path, exponents in updates]
    tensors = tuple(
        TensorInput(
            base=base[name],
            members=tuple(
                FixedPoint(update=update[name].reshape(-1), scale_exponent=exponents[index])
                for update, exponents in integers
            ),
        )
        for index, name in enumerate(SHAPES)
    )
    whole = compute_with_numpy(Case(choice=choice, tensors=tensors), rule)
    assert [candidate[name].tobytes() for name in SHAPES] == [tensor.tobytes() for tensor in whole]


@pytest.mark.parametrize("rule", AggregationRule)
def test_the_size_of_a_slice_does_not_show(
    tmp_path: Path, rule: AggregationRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, base_path, updates = write_round(tmp_path)
    choice = get_aggregation_choice(Parameters(aggregation=rule))
    digests = set()
    for slice_parameters in (SLICE_PARAMETERS, 10_007, 1 << 20):
        monkeypatch.setattr(artifacts, "SLICE_PARAMETERS", slice_parameters)
        written = aggregate_artifacts(SCHEMA, choice, base=base_path, updates=updates, candidate=tmp_path / "candidate")
        digests.add(written.digest)
    assert len(digests) == 1
