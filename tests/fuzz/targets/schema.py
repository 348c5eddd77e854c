"""F3, W6: the model's schema of a stranger's genesis, and the headers of artifacts that claim to be of it.

An input is an array: an encoded schema, the first bytes of an artifact, its length, and scale exponents.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

import msgpack

from protocol.codec import decode, encode
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.learning.artifact_format import (
    ModelSchema,
    TensorDtype,
    TensorSpec,
    check_model_header,
    check_scale_exponents,
    check_schema,
    check_update_header,
    compute_model_header,
    compute_model_size_bytes,
    compute_update_header,
    compute_update_size_bytes,
)
from tests.fuzz.msgpack_mutation import make_msgpack_mutator, parse
from tests.fuzz.target import Target
from tests.values import SCHEMA

SCHEMA_BYTES_MAX: Final = 1 << 20


def run(data: bytes) -> None:
    """Check whatever is of the right type."""
    match parse(data):
        case [bytes(encoded), bytes(prefix), int(size), list(exponents)]:
            pass
        case _:
            return
    try:
        schema = decode(ModelSchema, encoded, bytes_max=SCHEMA_BYTES_MAX)
    except MalformedMessage:
        return
    numbers = tuple(exponent for exponent in exponents if isinstance(exponent, int))
    is_legal = _holds(check_schema, schema)
    is_artifact = _holds(check_model_header, schema, prefix, size) or _holds(check_update_header, schema, prefix, size)
    assert is_legal or not is_artifact, "an artifact of an illegal schema"
    _holds(check_scale_exponents, schema, numbers)


def _holds(check: Callable[..., None], *arguments: object) -> bool:
    try:
        check(*arguments)
    except InvalidMessage:
        return False
    return True


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return true headers of two schemas."""
    scalar = ModelSchema(tensors=(TensorSpec(name="a.b-c", shape=(), dtype=TensorDtype.F32, is_trainable=True),))
    seeds = []
    for schema in (SCHEMA, scalar):
        model = [encode(schema), compute_model_header(schema), compute_model_size_bytes(schema), [-20, -20]]
        update = [encode(schema), compute_update_header(schema), compute_update_size_bytes(schema), [-48]]
        seeds += [msgpack.packb(model), msgpack.packb(update)]
    return tuple(seeds)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=make_msgpack_mutator(make_seeds()))
