"""F3, W6: the model's schema of a stranger's genesis, and the headers of artifacts that claim to be of it.

An input is an array: an encoded schema, the first bytes of an artifact, its length, and scale exponents.
"""

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
    is_good = True
    try:
        check_schema(schema)
    except InvalidMessage:
        is_good = False
    numbers = tuple(exponent for exponent in exponents if isinstance(exponent, int))
    for check in (
        lambda: check_model_header(schema, prefix, size),
        lambda: check_update_header(schema, prefix, size),
        lambda: check_scale_exponents(schema, numbers),
    ):
        try:
            check()
        except InvalidMessage:
            continue
        assert is_good or check.__code__.co_names[0] == "check_scale_exponents", "an artifact of an illegal schema"


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
