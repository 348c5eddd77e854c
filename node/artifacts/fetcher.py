"""Fetches artifacts from the other members: first the chunk list, then chunks from several members at a time (W6).

The list is checked against the artifact's name and each chunk against the list, on arrival. A member that sends anything
else is dropped for this fetch and scored down; one that fails or does not hold the artifact is asked again later. When no
chunk is left to hand out, the slowest members' chunks are asked from a second member as well. A fetch ends when
the artifact is stored, or when it is cancelled; what it has so far stays for the next one.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import structlog
import trio

from node.artifacts.chunk_list import DIGEST_BYTES, ChunkList, make_chunk_list
from node.artifacts.partial import PartialArtifact
from node.artifacts.service import ChunkListRequest, ChunkRangeRequest, encode_artifact_request
from node.artifacts.sources import Sources
from node.artifacts.store import ArtifactStore
from node.blocking import RunBlocking, run_in_thread
from node.errors import PeerMisbehaved, PeerUnreachable, StoreCorrupt
from node.ports import Service, Transport
from protocol.chunks import compute_chunk_count
from protocol.errors import InvalidMessage
from protocol.units import Digest, MemberId, Millis

SOURCES_MAX: Final = 4
"""Members asked at a time."""

RANGE_CHUNKS: Final = 8
"""Chunks in one request: 2 MiB."""

REQUEST_TIMEOUT_MS: Final = Millis(30_000)
LIE_COST: Final = 50
"""By how much a wrong list or chunk lowers its sender's score."""

_POLL_S: Final = 0.5
"""How often members that have just connected, or may be asked again, are looked for."""

_ENDGAME_REQUESTS: Final = 2
"""From how many members at most one chunk is asked at a time."""

ArtifactCheck: TypeAlias = Callable[[bytes, int], None]
"""Takes an artifact's first bytes (whole header included) and its size; raises InvalidMessage to refuse it."""

_log = structlog.get_logger(__name__)


class ArtifactFetcher:
    """Gets artifacts from the other members into the store."""

    def __init__(
        self,
        transport: Transport,
        store: ArtifactStore,
        *,
        request_timeout_ms: Millis = REQUEST_TIMEOUT_MS,
        run_blocking: RunBlocking = run_in_thread,
    ) -> None:
        """Take the network, the store, the deadline of one request, and where disk work runs."""
        self._transport = transport
        self._store = store
        self._request_timeout_ms = request_timeout_ms
        self._run_blocking = run_blocking
        self._locks: dict[Digest, trio.Lock] = {}
        self._waiting: Counter[Digest] = Counter()

    async def fetch(
        self,
        digest: Digest,
        *,
        bytes_expected: int,
        source: MemberId | None = None,
        check: ArtifactCheck | None = None,
    ) -> Path:
        """Return where an artifact is on disk, once it is there; keeps trying for ever.

        Any number of fetches of one artifact share the work.

        Args:
            digest: The artifact's name.
            bytes_expected: Its size; a list of another size is a lie.
            source: Somebody who should hold it.
            check: Refuses artifacts whose first bytes or size are wrong for their purpose.

        Raises:
            InvalidMessage: ``check`` refused the artifact that has this name; nobody can give another.
            DiskFull: Quota or disk do not suffice.
        """
        lock = self._locks.setdefault(digest, trio.Lock())
        self._waiting[digest] += 1
        try:
            async with lock:
                if not self._store.has(digest):
                    await self._fetch(digest, bytes_expected, source, check)
            self._store.keep(digest)
            return self._store.get_path(digest)
        finally:
            self._waiting[digest] -= 1
            if not self._waiting[digest]:
                del self._waiting[digest], self._locks[digest]

    async def _fetch(
        self, digest: Digest, bytes_expected: int, source: MemberId | None, check: ArtifactCheck | None
    ) -> None:
        if check is not None:
            check_size(check, bytes_expected)
        sources = Sources(self._transport, digest, source, trio.current_time)
        with self._store.reserve(bytes_expected) as reservation:
            partial = PartialArtifact(self._store.partial_directory, digest, bytes_expected)
            try:
                swarm = _Swarm(self, digest, partial, sources)
                await swarm.run(bytes_expected)
                if check is not None:
                    check(partial.read_prefix(), bytes_expected)
            except InvalidMessage:
                partial.discard()
                raise
            finally:
                partial.close()
            reservation.release()
            await self._adopt(partial, digest)
''' '''
