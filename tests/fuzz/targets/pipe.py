"""The worker's pipe: frames of requests, each behind its length; a request, MalformedMessage, or the end.

The daemon's side decodes replies in the same way; the target ``wire`` has both.
"""

import random
from functools import cache
from io import BytesIO
from typing import BinaryIO, Final, cast

from node.worker.messages import (
    FRAME_BYTES_MAX,
    FRAME_LENGTH_BYTES,
    AggregateUpdates,
    DescribeTask,
    EvaluateModel,
    ScreenUpdate,
    TrainModel,
    UpdateSource,
    decode_request,
    encode_request,
    read_frame,
)
from protocol.errors import MalformedMessage
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.msgpack_mutation import make_msgpack_mutator
from tests.fuzz.target import Mutator, Target


def run(data: bytes) -> None:
    """Read requests until the pipe ends."""
    requests = cast(BinaryIO, BytesIO(data))
    while (payload := read_frame(requests)) is not None:
        assert len(payload) <= FRAME_BYTES_MAX, "a frame over the limit came through"
        try:
            request = decode_request(payload)
        except MalformedMessage:
            continue
        assert encode_request(request)[FRAME_LENGTH_BYTES:] == payload, "two encodings of one request"


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return requests of most kinds, alone and one after the other."""
    frames = [
        encode_request(DescribeTask(initial_model="/models/initial")),
        encode_request(TrainModel(round_number=3, base="/base", update="/update")),
        encode_request(
            AggregateUpdates(base="/b", updates=(UpdateSource(path="/u", scale_exponents=(-9, -48)),), candidate="/c")
        ),
        encode_request(EvaluateModel(model="/model")),
        encode_request(EvaluateModel(model="/model", base="/b")),
        encode_request(ScreenUpdate(base="/b", update=UpdateSource(path="/u", scale_exponents=(-12, -48)))),
    ]
    return (*frames, b"".join(frames))


@cache
def _get_mutator() -> Mutator:
    return make_msgpack_mutator([seed[FRAME_LENGTH_BYTES:] for seed in make_seeds()[:-1]])


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change a request and its length with it, or bytes."""
    if chance.random() < 0.3:
        return mutate_bytes(data, chance)
    payload = _get_mutator()(chance.choice(make_seeds()[:-1])[FRAME_LENGTH_BYTES:], chance)
    frame = len(payload).to_bytes(FRAME_LENGTH_BYTES, "little") + payload
    return frame + data if chance.random() < 0.3 else frame


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate)
