"""The canonical bytes of model and update artifacts: what every artifact of one chain begins with, and how long it is.

The model's schema is fixed at genesis, so an artifact has exactly one legal safetensors header and one legal length,
and checking an artifact from a stranger is a comparison of bytes: nothing is parsed, nothing unpickled (W6).

- A *model artifact* holds all tensors of the schema, float32, in schema order.
- An *update artifact* holds the trainable tensors of the schema, int16 fixed point, in schema order (F4). Its scales
  travel in the manifest, one exponent per trainable tensor. Every int16 is legal; NaN and infinity cannot be written.

Layout (safetensors 0.5 or later): the header's length as 8 bytes little-endian, a JSON object padded with spaces to a
multiple of 8 bytes, then the tensors without gaps, little-endian, rows first. That the floats of a model are finite is
checked by whoever reads the tensors; see :mod:`node.worker.artifacts`.
"""

import math
import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from protocol.errors import InvalidMessage

TENSOR_COUNT_MAX: Final = 4_096
"""No more than the longest array that the codec parses, because a manifest lists one exponent per tensor."""

DIMENSION_COUNT_MAX: Final = 8
PARAMETER_COUNT_MAX: Final = 2**40
TENSOR_NAME_CHARACTERS_MAX: Final = 200

SCALE_EXPONENT_MIN: Final = -48
SCALE_EXPONENT_MAX: Final = -8
"""At the upper end an update moves a weight by at most 32_768 / 256 = 128; what is larger is clipped (F4)."""

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{TENSOR_NAME_CHARACTERS_MAX - 1}}}", re.ASCII)
_LENGTH_BYTES = 8
_ALIGNMENT_BYTES = 8
_MODEL_DTYPE = ("F32", 4)
_UPDATE_DTYPE = ("I16", 2)


class TensorDtype(IntEnum):
    """What a model's tensor is made of. An update's tensors are always int16."""

    F32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor of the model."""

    name: str
    """ASCII letters, digits, ``_``, ``.`` and ``-``, beginning with a letter or digit; at most 200 characters."""
    shape: tuple[int, ...]
    """Every dimension at least 1; no dimension at all is one number."""
    dtype: TensorDtype
    is_trainable: bool
    """Whether updates move it; the others keep their genesis values for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSchema:
    """The model's tensors in the order of the artifacts; part of the genesis document."""

    tensors: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlace:
    """Where a tensor lies in an artifact."""

    spec: TensorSpec
    offset_bytes: int
    """From the artifact's first byte."""
    parameter_count: int


def compute_parameter_count(spec: TensorSpec) -> int:
    """Return the number of elements of a tensor."""
    return math.prod(spec.shape)


def get_trainable_tensors(schema: ModelSchema) -> tuple[TensorSpec, ...]:
    """Return the tensors that an update holds, in schema order."""
    return tuple(spec for spec in schema.tensors if spec.is_trainable)


def check_schema(schema: ModelSchema) -> None:
    """Check that artifacts can be laid out for a schema.

    Raises:
        InvalidMessage: Too many tensors or parameters, an illegal or repeated name or shape, or nothing to train.
    """
    if not 1 <= len(schema.tensors) <= TENSOR_COUNT_MAX:
        raise InvalidMessage(f"a model has 1 to {TENSOR_COUNT_MAX} tensors, not {len(schema.tensors)}")
    if not get_trainable_tensors(schema):
        raise InvalidMessage("no tensor of the model is trainable: mark at least one")
    names: set[str] = set()
    parameter_count = 0
    for spec in schema.tensors:
        _check_spec(spec)
        if spec.name in names:
            raise InvalidMessage(f"two tensors are called {spec.name!r}: rename one")
        names.add(spec.name)
        parameter_count += compute_parameter_count(spec)
    if parameter_count > PARAMETER_COUNT_MAX:
        raise InvalidMessage(f"a model of {parameter_count} parameters, at most {PARAMETER_COUNT_MAX} are supported")


def check_scale_exponents(schema: ModelSchema, scale_exponents: tuple[int, ...]) -> None:
    """Check the scales that a manifest claims for an update (F4).

    Args:
        schema: The model's schema.
        scale_exponents: One per trainable tensor, in schema order; a weight moves by its int16 times 2**exponent.

    Raises:
        InvalidMessage: Not one per trainable tensor, or one outside -48 to -8.
    """
    count = len(get_trainable_tensors(schema))
    if len(scale_exponents) != count:
        raise InvalidMessage(f"{len(scale_exponents)} scale exponents for {count} trainable tensors")
    for index, exponent in enumerate(scale_exponents):
        if not SCALE_EXPONENT_MIN <= exponent <= SCALE_EXPONENT_MAX:
            raise InvalidMessage(
                f"tensor {index} has scale exponent {exponent}, legal are {SCALE_EXPONENT_MIN} to {SCALE_EXPONENT_MAX}"
            )


def compute_model_header(schema: ModelSchema) -> bytes:
    """Return the bytes that every model artifact begins with.

    Raises:
        InvalidMessage: As :func:`check_schema`.
    """
    return _compute_header(schema, is_update=False)


def compute_update_header(schema: ModelSchema) -> bytes:
    """Return the bytes that every update artifact begins with.

    Raises:
        InvalidMessage: As :func:`check_schema`.
    """
    return _compute_header(schema, is_update=True)


def compute_model_places(schema: ModelSchema) -> tuple[TensorPlace, ...]:
    """Return where each tensor of the schema lies in a model artifact."""
    return _compute_places(schema, is_update=False)


def compute_update_places(schema: ModelSchema) -> tuple[TensorPlace, ...]:
    """Return where each trainable tensor of the schema lies in an update artifact."""
    return _compute_places(schema, is_update=True)


def compute_model_size_bytes(schema: ModelSchema) -> int:
    """Return the length of every model artifact, header included."""
    return _compute_size_bytes(schema, is_update=False)


def compute_update_size_bytes(schema: ModelSchema) -> int:
    """Return the length of every update artifact, header included."""
    return _compute_size_bytes(schema, is_update=True)


def check_model_header(schema: ModelSchema, prefix: bytes, total_size_bytes: int) -> None:
    """Check that bytes begin a model artifact of this schema.

    Args:
        schema: The model's schema.
        prefix: The artifact's first bytes, at least as many as the header has; more are not looked at.
        total_size_bytes: The artifact's whole length.

    Raises:
        InvalidMessage: The length or the header is another.
    """
    _check_header("model", compute_model_header(schema), compute_model_size_bytes(schema), prefix, total_size_bytes)


def check_update_header(schema: ModelSchema, prefix: bytes, total_size_bytes: int) -> None:
    """Check that bytes begin an update artifact of this schema (F3).

    Args:
        schema: The model's schema.
        prefix: The artifact's first bytes, at least as many as the header has; more are not looked at.
        total_size_bytes: The artifact's whole length.

    Raises:
        InvalidMessage: The length or the header is another.
    """
    _check_header("update", compute_update_header(schema), compute_update_size_bytes(schema), prefix, total_size_bytes)


def _check_header(kind: str, header: bytes, size_bytes: int, prefix: bytes, total_size_bytes: int) -> None:
    if total_size_bytes != size_bytes:
        raise InvalidMessage(f"{kind} artifact of {total_size_bytes} bytes: this chain's {kind}s have {size_bytes}")
    if prefix[: len(header)] != header:
        raise InvalidMessage(
            f"{kind} artifact with another header than this chain's: tensor names, order, shapes, types or padding"
        )


def _check_spec(spec: TensorSpec) -> None:
    if not _NAME.fullmatch(spec.name):
        raise InvalidMessage(f"illegal tensor name {spec.name!r:.80}: use letters, digits, '_', '.' and '-'")
    if len(spec.shape) > DIMENSION_COUNT_MAX:
        raise InvalidMessage(
            f"tensor {spec.name} has {len(spec.shape)} dimensions, at most {DIMENSION_COUNT_MAX} are legal"
        )
    if any(not 1 <= dimension <= PARAMETER_COUNT_MAX for dimension in spec.shape):
        raise InvalidMessage(f"tensor {spec.name} has an illegal shape {spec.shape}: every dimension is at least 1")


def _get_layout(schema: ModelSchema, *, is_update: bool) -> tuple[tuple[TensorSpec, ...], str, int]:
    if is_update:
        return (get_trainable_tensors(schema), *_UPDATE_DTYPE)
    return (schema.tensors, *_MODEL_DTYPE)


@lru_cache(maxsize=16)
def _compute_header(schema: ModelSchema, *, is_update: bool) -> bytes:
    check_schema(schema)
    specs, dtype_name, element_bytes = _get_layout(schema, is_update=is_update)
    entries: list[str] = []
    start = 0
    for spec in specs:
        end = start + compute_parameter_count(spec) * element_bytes
        shape = ",".join(str(dimension) for dimension in spec.shape)
        # Names need no escaping: check_schema admits only characters that JSON takes as they are.
        entries.append(f'"{spec.name}":{{"dtype":"{dtype_name}","shape":[{shape}],"data_offsets":[{start},{end}]}}')
        start = end
    document = ("{" + ",".join(entries) + "}").encode("ascii")
    document += b" " * (-len(document) % _ALIGNMENT_BYTES)
    return len(document).to_bytes(_LENGTH_BYTES, "little") + document


@lru_cache(maxsize=16)
def _compute_places(schema: ModelSchema, *, is_update: bool) -> tuple[TensorPlace, ...]:
    offset = len(_compute_header(schema, is_update=is_update))
    specs, _, element_bytes = _get_layout(schema, is_update=is_update)
    places: list[TensorPlace] = []
    for spec in specs:
        count = compute_parameter_count(spec)
        places.append(TensorPlace(spec=spec, offset_bytes=offset, parameter_count=count))
        offset += count * element_bytes
    return tuple(places)


def _compute_size_bytes(schema: ModelSchema, *, is_update: bool) -> int:
    last = _compute_places(schema, is_update=is_update)[-1]
    _, _, element_bytes = _get_layout(schema, is_update=is_update)
    return last.offset_bytes + last.parameter_count * element_bytes
