"""The one legal header and length of a chain's model and update artifacts (F3, F4, W6)."""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import decode, encode
from protocol.errors import InvalidMessage
from protocol.learning.artifact_format import (
    TENSOR_COUNT_MAX,
    ModelSchema,
    TensorDtype,
    TensorSpec,
    check_model_header,
    check_scale_exponents,
    check_schema,
    check_update_header,
    compute_model_header,
    compute_model_places,
    compute_model_size_bytes,
    compute_update_header,
    compute_update_places,
    compute_update_size_bytes,
)


def make_spec(name: str, *shape: int, is_trainable: bool = True) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype=TensorDtype.F32, is_trainable=is_trainable)


SCHEMA = ModelSchema(
    tensors=(make_spec("body.weight", 2, 3), make_spec("embedding", 5, is_trainable=False), make_spec("head.bias", 3))
)

SPECS = st.builds(
    make_spec,
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,12}", fullmatch=True),
    st.integers(1, 4),
    st.integers(1, 3),
)
SCHEMAS = st.builds(
    lambda specs: ModelSchema(tensors=tuple(specs)), st.lists(SPECS, min_size=1, max_size=5, unique_by=lambda s: s.name)
)


def fill_model(schema: ModelSchema) -> bytes:
    return compute_model_header(schema) + bytes(compute_model_size_bytes(schema) - len(compute_model_header(schema)))


def fill_update(schema: ModelSchema) -> bytes:
    return compute_update_header(schema) + bytes(compute_update_size_bytes(schema) - len(compute_update_header(schema)))


@given(schema=SCHEMAS)
def test_safetensors_loads_a_model_artifact(schema: ModelSchema) -> None:
    tensors = safetensors.numpy.load(fill_model(schema))
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} == {
        spec.name: (spec.shape, np.dtype(np.float32)) for spec in schema.tensors
    }


@given(schema=SCHEMAS)
def test_safetensors_loads_an_update_artifact(schema: ModelSchema) -> None:
    tensors = safetensors.numpy.load(fill_update(schema))
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} == {
        spec.name: (spec.shape, np.dtype(np.int16)) for spec in schema.tensors
    }


def test_safetensors_for_torch_reads_the_values_where_the_places_say() -> None:
    artifact = bytearray(fill_model(SCHEMA))
    for place in compute_model_places(SCHEMA):
        values = np.arange(place.parameter_count, dtype="<f4") + place.offset_bytes
        artifact[place.offset_bytes : place.offset_bytes + values.nbytes] = values.tobytes()
    tensors = safetensors.torch.load(bytes(artifact))
    for place in compute_model_places(SCHEMA):
        expected = torch.arange(place.parameter_count, dtype=torch.float32) + place.offset_bytes
        assert torch.equal(tensors[place.spec.name].reshape(-1), expected)


def test_update_holds_the_trainable_tensors_only() -> None:
    assert [place.spec.name for place in compute_update_places(SCHEMA)] == ["body.weight", "head.bias"]
    assert set(safetensors.numpy.load(fill_update(SCHEMA))) == {"body.weight", "head.bias"}


@given(schema=SCHEMAS)
def test_header_is_padded_json(schema: ModelSchema) -> None:
    header = compute_model_header(schema)
    assert len(header) % 8 == 0
    assert int.from_bytes(header[:8], "little") == len(header) - 8
    assert list(json.loads(header[8:])) == [spec.name for spec in schema.tensors]


def test_header_bytes_never_change() -> None:
    schema = ModelSchema(tensors=(make_spec("w", 2, 3), make_spec("s")))
    assert compute_update_header(schema) == (
        b'\x70\0\0\0\0\0\0\0{"w":{"dtype":"I16","shape":[2,3],"data_offsets":[0,12]},'
        b'"s":{"dtype":"I16","shape":[],"data_offsets":[12,14]}} '
    )


def test_right_artifacts_pass() -> None:
    model, update = fill_model(SCHEMA), fill_update(SCHEMA)
    check_model_header(SCHEMA, model, len(model))
    check_update_header(SCHEMA, update[: len(compute_update_header(SCHEMA))], len(update))


@pytest.mark.parametrize("off_by", [-1, 1])
def test_artifact_of_another_length_is_refused(off_by: int) -> None:
    update = fill_update(SCHEMA)
    with pytest.raises(InvalidMessage, match=f"update artifact of {len(update) + off_by} bytes"):
        check_update_header(SCHEMA, update, len(update) + off_by)


@given(data=st.data())
def test_any_changed_byte_of_the_header_is_refused(data: st.DataObject) -> None:
    update = bytearray(fill_update(SCHEMA))
    index = data.draw(st.integers(0, len(compute_update_header(SCHEMA)) - 1))
    update[index] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidMessage, match="another header"):
        check_update_header(SCHEMA, bytes(update), len(update))


def test_prefix_shorter_than_the_header_is_refused() -> None:
    model = fill_model(SCHEMA)
    with pytest.raises(InvalidMessage, match="another header"):
        check_model_header(SCHEMA, model[:20], len(model))


def test_model_is_no_update() -> None:
    schema = ModelSchema(tensors=(make_spec("w", 1),))
    model = fill_model(schema)
    with pytest.raises(InvalidMessage):
        check_update_header(schema, model, compute_update_size_bytes(schema))


def test_schema_survives_the_codec() -> None:
    assert decode(ModelSchema, encode(SCHEMA), bytes_max=1_000) == SCHEMA


@pytest.mark.parametrize("name", ["", ".hidden", "a b", 'a"b', "a/b", "ä", "__metadata__", "a" * 201, "a\n"])
def test_name_that_json_or_a_path_could_trip_over_is_refused(name: str) -> None:
    with pytest.raises(InvalidMessage, match="illegal tensor name"):
        check_schema(ModelSchema(tensors=(make_spec(name, 1),)))


def test_repeated_name_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="two tensors are called 'w'"):
        check_schema(ModelSchema(tensors=(make_spec("w", 1), make_spec("w", 2))))


@pytest.mark.parametrize("shape", [(0,), (3, -1), (2**41,)])
def test_illegal_dimension_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidMessage, match="illegal shape"):
        check_schema(ModelSchema(tensors=(make_spec("w", *shape),)))


def test_too_many_dimensions_are_refused() -> None:
    with pytest.raises(InvalidMessage, match="9 dimensions"):
        check_schema(ModelSchema(tensors=(make_spec("w", *[1] * 9),)))


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(InvalidMessage, match="parameters"):
        check_schema(ModelSchema(tensors=(make_spec("w", 2**30, 2**11),)))


@pytest.mark.parametrize("count", [0, TENSOR_COUNT_MAX + 1])
def test_tensor_count_is_bounded(count: int) -> None:
    with pytest.raises(InvalidMessage, match=f"not {count}"):
        check_schema(ModelSchema(tensors=tuple([make_spec(f"w{index}", 1) for index in range(count)])))


def test_model_without_anything_to_train_is_refused() -> None:
    frozen = replace(SCHEMA.tensors[0], is_trainable=False)
    with pytest.raises(InvalidMessage, match="trainable"):
        check_schema(ModelSchema(tensors=(frozen,)))


def test_legal_scales_pass() -> None:
    check_scale_exponents(SCHEMA, (-48, -8))


@pytest.mark.parametrize("exponents", [(-20,), (-20, -20, -20)])
def test_scales_for_another_number_of_tensors_are_refused(exponents: tuple[int, ...]) -> None:
    with pytest.raises(InvalidMessage, match="for 2 trainable tensors"):
        check_scale_exponents(SCHEMA, exponents)


@pytest.mark.parametrize("exponent", [-49, -7])
def test_scale_out_of_range_is_refused(exponent: int) -> None:
    with pytest.raises(InvalidMessage, match=f"scale exponent {exponent}"):
        check_scale_exponents(SCHEMA, (-20, exponent))
