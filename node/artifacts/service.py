"""Serves artifacts to other members: chunk lists and ranges of chunks, straight from the disk (W5, W6).

The requests of ARTIFACT are canonical encodings; every frame of a response is raw bytes: either joined chunk digests or
one whole chunk. An artifact that is not here gives an empty response, which is no fault of anybody.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, TypeAlias, cast

import structlog

from node.artifacts.chunk_list import ChunkList
from node.artifacts.store import ArtifactStore
from node.blocking import RunBlocking, run_in_thread
from node.errors import StoreCorrupt
from node.ports import SendFrame
from protocol.chunks import CHUNK_BYTES, compute_chunk_count
from protocol.codec import decode_union, encode_union
from protocol.errors import MalformedMessage
from protocol.units import Digest, MemberId

REQUEST_BYTES_MAX: Final = 64
RANGE_CHUNKS_MAX: Final = 16
"""The longest range that one request may ask for: 4 MiB."""

LIST_FRAME_DIGESTS: Final = 4_096
"""Chunk digests in one frame: 128 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkListRequest:
    """Asks for an artifact's chunk digests."""

    tag: ClassVar[int] = 0
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRangeRequest:
    """Asks for consecutive chunks of an artifact."""

    tag: ClassVar[int] = 1
    digest: Digest
    first_index: int
    count: int
    """1 to 16."""


_log = structlog.get_logger(__name__)

ArtifactRequest: TypeAlias = ChunkListRequest | ChunkRangeRequest


def encode_artifact_request(request: ArtifactRequest) -> bytes:
    """Return the bytes of a request to ARTIFACT."""
    return encode_union(request, ArtifactRequest)


class ArtifactService:
    """Answers the requests of other members from an artifact store."""

    def __init__(self, store: ArtifactStore, *, run_blocking: RunBlocking = run_in_thread) -> None:
        """Take the store, and where reading runs."""
        self._store = store
        self._run_blocking = run_blocking

    async def handle(self, _requester: MemberId, request: bytes, send: SendFrame) -> None:
        """Answer one request; an artifact that is not here is an empty answer.

        Raises:
            MalformedMessage: The request does not decode, or asks for chunks that the artifact cannot have.
        """
        asked = cast(ArtifactRequest, decode_union(ArtifactRequest, request, bytes_max=REQUEST_BYTES_MAX))
        if not self._store.has(asked.digest):
            return
        try:
            match asked:
                case ChunkListRequest(digest=digest):
                    await _send_list(self._store.get_chunk_list(digest), send)
                case ChunkRangeRequest(digest=digest, first_index=first, count=count):
                    chunk_count = compute_chunk_count(self._store.get_size(digest))
                    if not 1 <= count <= RANGE_CHUNKS_MAX or not 0 <= first <= chunk_count - count:
                        raise MalformedMessage(f"{count} chunks from {first} on, of an artifact with {chunk_count}")
                    await self._send_range(self._store.get_path(digest), first, count, send)
        except StoreCorrupt as error:
            # The store has dropped the artifact; the requester asks somebody else, and so will this node.
            _log.error("artifact_dropped", digest=asked.digest, reason=str(error))

    async def _send_range(self, path: Path, first: int, count: int, send: SendFrame) -> None:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            # Forgotten and removed since the look-up.
            return
        with file:
            file.seek(first * CHUNK_BYTES)
            for _ in range(count):
                await send(await self._run_blocking(lambda: file.read(CHUNK_BYTES)))


async def _send_list(chunks: ChunkList, send: SendFrame) -> None:
    digests = chunks.chunk_digests
    for start in range(0, len(digests), LIST_FRAME_DIGESTS):
        await send(b"".join(digests[start : start + LIST_FRAME_DIGESTS]))
