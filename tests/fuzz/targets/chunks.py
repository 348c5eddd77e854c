"""W6: chunk lists from disk and from members, and the chunks that they name.

An input is an array: how the list is named, the list as on disk, a chunk's index, and a chunk.
"""

from functools import cache
from typing import Final

import msgpack

from node.artifacts.chunk_list import ChunkList, decode_chunk_list, encode_chunk_list
from protocol.chunks import ArtifactHasher, compute_artifact_digest, compute_chunk_digest
from protocol.errors import InvalidMessage
from protocol.units import Digest
from tests.fuzz.msgpack_mutation import make_msgpack_mutator, parse
from tests.fuzz.target import Target
from tests.values import make_digest

DIGEST_BYTES: Final = 32
SIZE_BYTES: Final = 8


def run(data: bytes) -> None:
    """Decode a list under its own name or another one, and check a chunk against it."""
    match parse(data):
        case [bool(is_named), bytes(encoded), int(index), bytes(chunk)]:
            pass
        case _:
            return
    name = _compute_name(encoded) if is_named else make_digest("another artifact")
    try:
        chunks = decode_chunk_list(name, encoded)
    except InvalidMessage:
        return
    assert is_named, "a list passed under a name that is not its own"
    assert encode_chunk_list(chunks) == encoded, "two encodings of one list"
    if not 0 <= index < len(chunks.chunk_digests):
        return
    try:
        chunks.check_chunk(index, chunk)
    except InvalidMessage:
        return
    assert compute_chunk_digest(chunk) == chunks.chunk_digests[index], "a chunk passed that the list does not name"


def _compute_name(encoded: bytes) -> Digest:
    body = encoded[SIZE_BYTES:]
    digests = tuple(Digest(body[start : start + DIGEST_BYTES]) for start in range(0, len(body), DIGEST_BYTES))
    return compute_artifact_digest(int.from_bytes(encoded[:SIZE_BYTES], "big"), digests)


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return a true list with its only chunk, and one of no chunk at all."""
    chunk = b"a small artifact" * 4
    hasher = ArtifactHasher()
    hasher.update(chunk)
    _, size, digests = hasher.finish()
    encoded = encode_chunk_list(ChunkList(artifact_bytes=size, chunk_digests=digests))
    return (
        msgpack.packb([True, encoded, 0, chunk]),
        msgpack.packb([False, encoded, 0, chunk]),
        msgpack.packb([True, bytes(SIZE_BYTES), 0, b""]),
    )


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=make_msgpack_mutator(make_seeds()))
