"""How an artifact is named: by the digest of the list of its chunks' digests, a hash tree of two levels (W6).

Whoever holds the list, checked against the name, can check every chunk on arrival and drop a bad source at once.
"""

from typing import Final

from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidMessage
from protocol.units import Digest

CHUNK_BYTES: Final = 262_144
"""The size of every chunk but the last."""


def compute_chunk_count(artifact_bytes: int) -> int:
    """Return into how many chunks an artifact of this size is split; an empty artifact has none."""
    return -(-artifact_bytes // CHUNK_BYTES)


def compute_chunk_digest(chunk: bytes) -> Digest:
    """Return the digest of one chunk."""
    return compute_digest(Domain.CHUNK, chunk)


def compute_artifact_digest(artifact_bytes: int, chunk_digests: tuple[Digest, ...]) -> Digest:
    """Return the name of an artifact of this size and these chunks."""
    return compute_digest(Domain.ARTIFACT, artifact_bytes.to_bytes(8, "big"), *chunk_digests)


def check_chunk_digests(digest: Digest, artifact_bytes: int, chunk_digests: tuple[Digest, ...]) -> None:
    """Check that a list of chunk digests is the one that an artifact is named by.

    Raises:
        InvalidMessage: It is not.
    """
    if len(chunk_digests) != compute_chunk_count(artifact_bytes):
        raise InvalidMessage(f"{len(chunk_digests)} chunks do not make an artifact of {artifact_bytes} bytes")
    if compute_artifact_digest(artifact_bytes, chunk_digests) != digest:
        raise InvalidMessage(f"the chunk list is not that of artifact {digest.hex()[:8]}")


class ArtifactHasher:
    """Computes an artifact's digest from its bytes as they come, in pieces of any size."""

    def __init__(self) -> None:
        """Start with no bytes."""
        self._pending = bytearray()
        self._size = 0
        self._chunk_digests: list[Digest] = []

    def update(self, piece: bytes) -> None:
        """Add the next bytes."""
        self._pending += piece
        self._size += len(piece)
        while len(self._pending) >= CHUNK_BYTES:
            self._chunk_digests.append(compute_chunk_digest(bytes(self._pending[:CHUNK_BYTES])))
            del self._pending[:CHUNK_BYTES]

    def finish(self) -> tuple[Digest, int, tuple[Digest, ...]]:
        """Return the artifact's digest, its size in bytes, and its chunks' digests."""
        digests = list(self._chunk_digests)
        if self._pending:
            digests.append(compute_chunk_digest(bytes(self._pending)))
        return compute_artifact_digest(self._size, tuple(digests)), self._size, tuple(digests)
