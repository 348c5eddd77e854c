"""The list of an artifact's chunk digests as bytes, on disk and on the wire, checked against the artifact's name."""

from dataclasses import dataclass
from typing import Final

from protocol.chunks import CHUNK_BYTES, check_chunk_digests, compute_chunk_digest
from protocol.errors import InvalidMessage
from protocol.units import Digest

DIGEST_BYTES: Final = 32
_SIZE_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkList:
    """An artifact's size and the digests of its chunks."""

    artifact_bytes: int
    chunk_digests: tuple[Digest, ...]

    def compute_chunk_bytes(self, index: int) -> int:
        """Return a chunk's size in bytes: all but the last are full."""
        return min(CHUNK_BYTES, self.artifact_bytes - index * CHUNK_BYTES)

    def check_chunk(self, index: int, chunk: bytes) -> None:
        """Check that bytes are the chunk of this index.

        Raises:
            InvalidMessage: They are not.
        """
        if len(chunk) != self.compute_chunk_bytes(index) or compute_chunk_digest(chunk) != self.chunk_digests[index]:
            raise InvalidMessage(f"chunk {index} is not what the chunk list says")


def encode_chunk_list(chunks: ChunkList) -> bytes:
    """Return a list as on disk: the artifact's size (u64, big-endian), then the digests."""
    return chunks.artifact_bytes.to_bytes(_SIZE_BYTES, "big") + b"".join(chunks.chunk_digests)


def decode_chunk_list(digest: Digest, encoded: bytes) -> ChunkList:
    """Return a list from disk.

    Raises:
        InvalidMessage: It is not the one that the artifact is named by.
    """
    if len(encoded) < _SIZE_BYTES:
        raise InvalidMessage("a chunk list without the artifact's size")
    return make_chunk_list(digest, int.from_bytes(encoded[:_SIZE_BYTES], "big"), encoded[_SIZE_BYTES:])


def make_chunk_list(digest: Digest, artifact_bytes: int, digests: bytes) -> ChunkList:
    """Return the list of joined chunk digests.

    Raises:
        InvalidMessage: It is not the one that the artifact is named by.
    """
    if len(digests) % DIGEST_BYTES:
        raise InvalidMessage(f"chunk digests of {len(digests)} bytes, which is no multiple of {DIGEST_BYTES}")
    chunk_digests = tuple(
        Digest(digests[start : start + DIGEST_BYTES]) for start in range(0, len(digests), DIGEST_BYTES)
    )
    check_chunk_digests(digest, artifact_bytes, chunk_digests)
    return ChunkList(artifact_bytes=artifact_bytes, chunk_digests=chunk_digests)
