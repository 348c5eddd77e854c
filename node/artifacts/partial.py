"""An artifact that is being fetched: a file of its final size, filled chunk by chunk, that survives a restart.

Which chunks it has is not written down but found by hashing, so nothing has to be flushed while fetching and a crash in
the middle of a write is found like any other wrong byte.
"""

import os
from pathlib import Path
from typing import Final

from node.artifacts.chunk_list import ChunkList, decode_chunk_list, encode_chunk_list
from node.durable import discard_file, raise_for_os_error, save_file
from protocol.chunks import CHUNK_BYTES
from protocol.errors import InvalidMessage
from protocol.units import Digest

PREFIX_BYTES_MAX: Final = 2 << 20
"""Enough for the longest safetensors header that a schema can have."""


class PartialArtifact:
    """A partly fetched artifact on disk."""

    def __init__(self, directory: Path, digest: Digest, artifact_bytes: int) -> None:
        """Open what an earlier fetch left, or create it.

        Raises:
            DiskFull: There is no space left.
            DiskFailed: The disk failed.
        """
        self.digest = digest
        self.artifact_bytes = artifact_bytes
        self._list_path = directory / f"{digest.hex()}.chunks"
        self.path = directory / digest.hex()
        self._is_new = not self.path.exists() or self.path.stat().st_size != artifact_bytes
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._descriptor, artifact_bytes)
        except OSError as error:
            raise_for_os_error(error, self.path)

    def close(self) -> None:
        """Release the file; what it holds stays for the next fetch."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Remove the file and its list."""
        self.close()
        discard_file(self.path)
        discard_file(self._list_path)

    def load_chunk_list(self) -> ChunkList | None:
        """Return the chunk list that an earlier fetch got, if it is still intact."""
        try:
            chunks = decode_chunk_list(self.digest, self._list_path.read_bytes())
        except (OSError, InvalidMessage):
            return None
        return chunks if chunks.artifact_bytes == self.artifact_bytes else None

    def save_chunk_list(self, chunks: ChunkList) -> None:
        """Keep a chunk list for the next start.

        Raises:
            DiskFull: There is no space left.
        """
        save_file(self._list_path, encode_chunk_list(chunks))

    def find_missing(self, chunks: ChunkList) -> set[int]:
        """Return the indexes of the chunks that are not in the file yet."""
        indexes = range(len(chunks.chunk_digests))
        return set(indexes) if self._is_new else {index for index in indexes if not self._has_chunk(chunks, index)}

    def write_chunk(self, chunks: ChunkList, index: int, chunk: bytes) -> None:
        """Check a chunk and write it.

        Raises:
            InvalidMessage: It is not the chunk of this index.
            DiskFull: There is no space left.
        """
        chunks.check_chunk(index, chunk)
        self._is_new = False
        view = memoryview(chunk)
        offset = index * CHUNK_BYTES
        try:
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise_for_os_error(error, self.path)

    def read_prefix(self) -> bytes:
        """Return the artifact's first bytes, at least as many as its header has.

        Raises:
            DiskFailed: The disk failed.
        """
        try:
            return os.pread(self._descriptor, PREFIX_BYTES_MAX, 0)
        except OSError as error:
            raise_for_os_error(error, self.path)

    def _has_chunk(self, chunks: ChunkList, index: int) -> bool:
        try:
            chunk = os.pread(self._descriptor, chunks.compute_chunk_bytes(index), index * CHUNK_BYTES)
            chunks.check_chunk(index, chunk)
        except (OSError, InvalidMessage):
            return False
        return True
