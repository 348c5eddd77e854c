"""Reads and writes model and update artifacts a slice at a time, so that memory does not grow with the model.

The layout is :mod:`protocol.learning.artifact_format`'s. A file appears under its name only when it is whole and on
disk: it is written beside it, synced, and renamed.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.aggregation.candidate import compute_candidate
from protocol.aggregation.fixed_point import (
    FixedPoint,
    NotFiniteError,
    compute_magnitude,
    compute_scale_exponent,
    encode_update,
)
from protocol.aggregation.products import Products, ProductSums
from protocol.aggregation.rules import RULES_OF_WHOLE_UPDATES, make_recipe
from protocol.chunks import ArtifactHasher
from protocol.errors import InvariantViolation
from protocol.learning.artifact_format import (
    ModelSchema,
    TensorPlace,
    check_model_header,
    check_scale_exponents,
    check_update_header,
    compute_model_header,
    compute_model_places,
    compute_update_header,
    compute_update_places,
)
from protocol.parameters import AggregationChoice
from protocol.units import Digest

SLICE_PARAMETERS: Final = 1 << 16
"""How much of a tensor is in memory at a time: 0.5 MB per member, aligned, which fits the processor's cache."""

GetTensor: TypeAlias = Callable[[str], NDArray[np.float32]]
"""Returns a tensor by name as float32 [parameters], flat, without copying where it can."""


_Source: TypeAlias = tuple[BinaryIO, tuple[int, ...]]
"""An open update artifact and its scale exponents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenArtifact:
    """What an artifact is known by."""

    digest: Digest
    size_bytes: int


def read_model(schema: ModelSchema, path: Path, put_slice: Callable[[str, int, NDArray[np.float32]], None]) -> None:
    """Read a model artifact and hand over its tensors slice by slice.

    Args:
        schema: The model's.
        path: Of the artifact.
        put_slice: Called with a tensor's name, the slice's start, and the slice, float32 [parameters].

    Raises:
        InvalidMessage: The artifact is not of this schema.
        NotFiniteError: It holds NaN or infinity.
        OSError: It cannot be read.
    """
    with _open_model(schema, path) as file:
        for place in compute_model_places(schema):
            for start, count in _iterate_slices(place.parameter_count):
                weights = _read_model_slice(file, place, start, count)
                _check_finite(place, weights)
                put_slice(place.spec.name, start, weights)


def write_model(schema: ModelSchema, path: Path, get_tensor: GetTensor) -> WrittenArtifact:
    """Write a model artifact.

    Raises:
        NotFiniteError: A tensor holds NaN or infinity.
        OSError: The disk is full or failing.
    """
    with _replace_file(path) as file:
        writer = _HashingWriter(file)
        writer.write(compute_model_header(schema))
        for place in compute_model_places(schema):
            weights = get_tensor(place.spec.name)
            for start, count in _iterate_slices(place.parameter_count):
                piece = weights[start : start + count]
                _check_finite(place, piece)
                writer.write(piece.astype("<f4").tobytes())
    return writer.finish()


def write_update(schema: ModelSchema, *, base: Path, update: Path, get_tensor: GetTensor) -> tuple[int, ...]:
    """Write how a trained model differs from its base as an update artifact (F4).

    Returns:
        The scale exponents, one per trainable tensor in schema order.

    Raises:
        InvalidMessage: The base is not of this schema.
        NotFiniteError: The trained model holds NaN or infinity.
        OSError: The disk is full or failing.
    """
    trainable = [place for place in compute_model_places(schema) if place.spec.is_trainable]
    with _open_model(schema, base) as base_file, _replace_file(update) as file:
        file.write(compute_update_header(schema))
        return tuple([_write_update_tensor(file, base_file, place, get_tensor(place.spec.name)) for place in trainable])


def aggregate_artifacts(
    schema: ModelSchema,
    choice: AggregationChoice,
    *,
    base: Path,
    updates: Sequence[tuple[Path, tuple[int, ...]]],
    candidate: Path,
) -> WrittenArtifact:
    """Write the candidate that a rule makes of a base and updates (F4, F5, F6).

    Rules that look at whole updates read them twice: once for their inner products, once for the candidate.

    Args:
        schema: The model's.
        choice: The chain's rule.
        base: The model that the updates start from.
        updates: Each member's artifact and scale exponents, in canonical order, which is that of their digests.
        candidate: Where the model is written.

    Raises:
        InvalidMessage: An artifact is not of this schema, or an exponent is out of range.
        NotFiniteError: The base holds NaN or infinity.
        OSError: The disk is full or failing.
    """
    with _replace_file(candidate) as file:
        writer = _HashingWriter(file)
        writer.write(compute_model_header(schema))
        for _, _, weights in iterate_candidate(schema, choice, base=base, updates=updates):
            writer.write(weights.astype("<f4").tobytes())
    return writer.finish()


def iterate_candidate(
    schema: ModelSchema,
    choice: AggregationChoice,
    *,
    base: Path,
    updates: Sequence[tuple[Path, tuple[int, ...]]],
) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
    """Yield the weights of :func:`aggregate_artifacts`'s candidate slice by slice, in the artifact's order.

    Yields:
        A tensor's name, the slice's start, and the slice, float32 [parameters].

    Raises:
        InvalidMessage: An artifact is not of this schema, or an exponent is out of range.
        NotFiniteError: The base holds NaN or infinity.
        OSError: An artifact cannot be read.
    """
    update_places = {place.spec.name: (index, place) for index, place in enumerate(compute_update_places(schema))}
    with ExitStack() as stack:
        base_file = stack.enter_context(_open_model(schema, base))
        sources = [(stack.enter_context(_open_update(schema, path, scales)), scales) for path, scales in updates]
        products = _sum_products(schema, sources) if choice.rule in RULES_OF_WHOLE_UPDATES else None
        recipe = make_recipe(choice, update_count=len(sources), products=products)
        chosen = [sources[member] for member in recipe.members]
        for place in compute_model_places(schema):
            index, update_place = update_places.get(place.spec.name, (None, place))
            for start, count in _iterate_slices(place.parameter_count):
                weights = _read_model_slice(base_file, place, start, count)
                if index is None:
                    _check_finite(place, weights)
                else:
                    weights = compute_candidate(
                        recipe, weights, _read_members(chosen, index, update_place, start, count)
                    )
                yield place.spec.name, start, weights


class _HashingWriter:
    """Writes an artifact and names it by its bytes on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hasher = ArtifactHasher()

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._hasher.update(piece)

    def finish(self) -> WrittenArtifact:
        digest, size_bytes, _ = self._hasher.finish()
        return WrittenArtifact(digest=digest, size_bytes=size_bytes)


def _write_update_tensor(file: BinaryIO, base_file: BinaryIO, place: TensorPlace, trained: NDArray[np.float32]) -> int:
    magnitude = 0.0
    for start, count in _iterate_slices(place.parameter_count):
        weights = _read_model_slice(base_file, place, start, count)
        magnitude = max(magnitude, compute_magnitude(weights, trained[start : start + count]))
    exponent = compute_scale_exponent(magnitude)
    for start, count in _iterate_slices(place.parameter_count):
        weights = _read_model_slice(base_file, place, start, count)
        units = encode_update(weights, trained[start : start + count], scale_exponent=exponent)
        file.write(units.astype("<i2").tobytes())
    return exponent


@contextmanager
def _open_model(schema: ModelSchema, path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        prefix = file.read(len(compute_model_header(schema)))
        check_model_header(schema, prefix, os.fstat(file.fileno()).st_size)
        yield file


@contextmanager
def _open_update(schema: ModelSchema, path: Path, scale_exponents: tuple[int, ...]) -> Iterator[BinaryIO]:
    check_scale_exponents(schema, scale_exponents)
    with path.open("rb") as file:
        prefix = file.read(len(compute_update_header(schema)))
        check_update_header(schema, prefix, os.fstat(file.fileno()).st_size)
        yield file


@contextmanager
def _replace_file(path: Path) -> Iterator[BinaryIO]:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _iterate_slices(parameter_count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, parameter_count, SLICE_PARAMETERS):
        yield start, min(SLICE_PARAMETERS, parameter_count - start)


def _read_model_slice(file: BinaryIO, place: TensorPlace, start: int, count: int) -> NDArray[np.float32]:
    return np.frombuffer(_read_at(file, place.offset_bytes + 4 * start, 4 * count), dtype="<f4").astype(np.float32)


def _read_update_slice(file: BinaryIO, place: TensorPlace, start: int, count: int) -> NDArray[np.int16]:
    return np.frombuffer(_read_at(file, place.offset_bytes + 2 * start, 2 * count), dtype="<i2").astype(np.int16)


def _sum_products(schema: ModelSchema, sources: Sequence[_Source]) -> Products:
    sums = ProductSums(len(sources))
    for index, place in enumerate(compute_update_places(schema)):
        for start, count in _iterate_slices(place.parameter_count):
            sums.add(_read_members(sources, index, place, start, count))
    return sums.get()


def _read_members(
    sources: Sequence[_Source], index: int, place: TensorPlace, start: int, count: int
) -> list[FixedPoint]:
    return [
        FixedPoint(update=_read_update_slice(file, place, start, count), scale_exponent=exponents[index])
        for file, exponents in sources
    ]


def _read_at(file: BinaryIO, offset_bytes: int, count_bytes: int) -> bytes:
    file.seek(offset_bytes)
    content = file.read(count_bytes)
    if len(content) != count_bytes:
        raise InvariantViolation("an artifact was cut while it was read: nobody may write to the store's files")
    return content


def _check_finite(place: TensorPlace, weights: NDArray[np.float32]) -> None:
    if not np.isfinite(weights).all():
        raise NotFiniteError(f"NaN or infinity in tensor {place.spec.name}")
