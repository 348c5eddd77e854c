"""W6: an artifact is named by the digests of its chunks, and every chunk can be checked alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.chunks import (
    CHUNK_BYTES,
    ArtifactHasher,
    check_chunk_digests,
    compute_artifact_digest,
    compute_chunk_count,
    compute_chunk_digest,
)
from protocol.errors import InvalidMessage
from protocol.units import Digest
from tests.values import make_digest

BODY = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"tail"


def hash_in_pieces(body: bytes, piece_bytes: int) -> tuple[Digest, int, tuple[Digest, ...]]:
    hasher = ArtifactHasher()
    for start in range(0, len(body), piece_bytes):
        hasher.update(body[start : start + piece_bytes])
    return hasher.finish()


def split(body: bytes) -> list[bytes]:
    return [body[start : start + CHUNK_BYTES] for start in range(0, len(body), CHUNK_BYTES)]


@pytest.mark.parametrize(
    ("artifact_bytes", "count"), [(0, 0), (1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2), (10 * CHUNK_BYTES, 10)]
)
def test_chunks_are_full_but_the_last(artifact_bytes: int, count: int) -> None:
    assert compute_chunk_count(artifact_bytes) == count
    assert len(split(bytes(artifact_bytes))) == count


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, len(BODY)])
def test_an_artifact_is_named_by_size_and_chunks(size: int) -> None:
    body = BODY[:size]
    digests = tuple(compute_chunk_digest(chunk) for chunk in split(body))
    name = compute_artifact_digest(size, digests)
    assert hash_in_pieces(body, 100_000) == (name, size, digests)
    check_chunk_digests(name, size, digests)


@given(st.integers(min_value=1, max_value=len(BODY)))
def test_the_pieces_in_which_bytes_come_do_not_matter(piece_bytes: int) -> None:
    assert hash_in_pieces(BODY, max(piece_bytes, 1_000)) == hash_in_pieces(BODY, len(BODY))


NAME, SIZE, DIGESTS = hash_in_pieces(BODY, CHUNK_BYTES)


@pytest.mark.parametrize(
    ("name", "size", "digests", "error"),
    [
        pytest.param(make_digest("x"), SIZE, DIGESTS, "not that of artifact", id="another name"),
        pytest.param(NAME, SIZE + 1, DIGESTS, "not that of artifact", id="another size, as many chunks"),
        pytest.param(NAME, SIZE + CHUNK_BYTES, DIGESTS, "do not make an artifact", id="another size, more chunks"),
        pytest.param(NAME, SIZE, DIGESTS[:-1], "do not make an artifact", id="a chunk too few"),
        pytest.param(NAME, SIZE, (*DIGESTS, DIGESTS[0]), "do not make an artifact", id="a chunk too many"),
        pytest.param(NAME, SIZE, DIGESTS[::-1], "not that of artifact", id="another order"),
        pytest.param(NAME, SIZE, (make_digest("x"), *DIGESTS[1:]), "not that of artifact", id="a made-up chunk"),
    ],
)
def test_a_wrong_list_of_chunks_is_refused(name: Digest, size: int, digests: tuple[Digest, ...], error: str) -> None:
    with pytest.raises(InvalidMessage, match=error):
        check_chunk_digests(name, size, digests)


def test_a_list_of_chunks_cannot_pass_as_a_chunk() -> None:
    """W6: levels of the hash tree have domains of their own."""
    chunk = b"".join(DIGESTS)
    assert compute_chunk_digest(chunk) != compute_artifact_digest(len(chunk), (Digest(chunk[:32]),))
    assert compute_artifact_digest(0, ()) != compute_chunk_digest(b"")
