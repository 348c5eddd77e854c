"""One artifact from several members at a time: first its chunk list, then its chunks (W6).

The list is checked against the artifact's name and each chunk against the list, on arrival. A member that sends
anything else is dropped for this fetch and scored down; one that fails or does not hold the artifact is asked again
later. When no chunk is left to hand out, those that are long on their way are asked from a second member as well, so
that one slow member delays nobody.
"""

from collections import Counter
from functools import partial as bind
from typing import Final

import structlog
import trio

from node.artifacts.chunk_list import DIGEST_BYTES, ChunkList, make_chunk_list
from node.artifacts.partial import PartialArtifact
from node.artifacts.service import ChunkListRequest, ChunkRangeRequest, encode_artifact_request
from node.artifacts.sources import Sources
from node.blocking import RunBlocking
from node.errors import PeerMisbehaved, PeerUnreachable
from node.ports import Service, Transport
from protocol.chunks import compute_chunk_count
from protocol.errors import InvalidMessage
from protocol.units import MemberId, Millis

SOURCES_MAX: Final = 4
"""Members asked at a time."""

RANGE_CHUNKS: Final = 8
"""Chunks in one request: 2 MiB."""

REQUESTS_PER_CHUNK_MAX: Final = 2
"""From how many members one chunk is asked at a time."""

PATIENCE_S: Final = 2.0
"""How long a chunk is waited for before a second member is asked."""

LIE_COST: Final = 50
"""By how much a wrong list or chunk lowers its sender's score."""

POLL_S: Final = 0.5
"""How often members that have just connected, or may be asked again, are looked for."""

_log = structlog.get_logger(__name__)


class Swarm:
    """Fills one partial artifact."""

    def __init__(
        self,
        transport: Transport,
        sources: Sources,
        partial: PartialArtifact,
        *,
        request_timeout_ms: Millis,
        run_blocking: RunBlocking,
    ) -> None:
        """Take the network, whom to ask, what to fill, the deadline of one request, and where disk work runs."""
        self._transport = transport
        self._sources = sources
        self._partial = partial
        self._request_timeout_ms = request_timeout_ms
        self._run_blocking = run_blocking
        self._missing: set[int] = set()
        self._requested: Counter[int] = Counter()
        """How many members each chunk is being asked from."""
        self._requested_at_s: dict[int, float] = {}
        """When each chunk was last asked for."""
        self._active: set[MemberId] = set()
        self._changed = trio.Event()

    async def run(self) -> None:
        """Return when every chunk is in the file.

        Raises:
            DiskFull: There is no space left.
        """
        if not self._partial.artifact_bytes:
            return
        chunks = self._partial.load_chunk_list() or await self._fetch_chunk_list()
        self._missing = await self._run_blocking(bind(self._partial.find_missing, chunks))
        async with trio.open_nursery() as nursery:
            while self._missing:
                self._changed = trio.Event()
                for member in self._sources.get_usable():
                    if len(self._active) < SOURCES_MAX and member not in self._active and self._get_range():
                        self._active.add(member)
                        nursery.start_soon(self._drain, member, chunks)
                        # The task reserves its first range before it waits, so the next member gets another one.
                        await trio.lowlevel.checkpoint()
                with trio.move_on_after(POLL_S):
                    await self._changed.wait()
            nursery.cancel_scope.cancel()

    async def _fetch_chunk_list(self) -> ChunkList:
        while True:
            for member in self._sources.get_usable():
                chunks = await self._ask_chunk_list(member)
                if chunks is not None:
                    self._partial.save_chunk_list(chunks)
                    return chunks
            await trio.sleep(POLL_S)

    async def _ask_chunk_list(self, member: MemberId) -> ChunkList | None:
        digests = bytearray()
        bytes_expected = compute_chunk_count(self._partial.artifact_bytes) * DIGEST_BYTES

        async def receive(frame: bytes) -> None:
            digests.extend(frame)
            if len(digests) > bytes_expected:
                raise PeerMisbehaved("its chunk list is too long")

        request = encode_artifact_request(ChunkListRequest(digest=self._partial.digest))
        try:
            await self._transport.request(
                member, Service.ARTIFACT, request, receive, timeout_ms=self._request_timeout_ms
            )
            if not digests:
                raise PeerUnreachable("it does not hold the artifact")
            return make_chunk_list(self._partial.digest, self._partial.artifact_bytes, bytes(digests))
        except (PeerMisbehaved, InvalidMessage) as error:
            self._drop_liar(member, str(error))
        except PeerUnreachable as error:
            self._note_failure(member, str(error))
        return None

    async def _drain(self, member: MemberId, chunks: ChunkList) -> None:
        """Ask one member for range after range, until nothing is left to ask or it fails."""
        try:
            while indexes := self._get_range():
                self._requested.update(indexes)
                self._requested_at_s.update(dict.fromkeys(indexes, trio.current_time()))
                try:
                    await self._ask_range(member, chunks, indexes)
                finally:
                    self._requested.subtract(indexes)
                self._sources.note_success(member)
        except PeerMisbehaved as error:
            self._drop_liar(member, str(error))
        except PeerUnreachable as error:
            self._note_failure(member, str(error))
        finally:
            self._active.discard(member)
            self._changed.set()

    async def _ask_range(self, member: MemberId, chunks: ChunkList, indexes: range) -> None:
        remaining = iter(indexes)

        async def receive(frame: bytes) -> None:
            index = next(remaining, None)
            if index is None:
                raise PeerMisbehaved("it sent more chunks than were asked for")
            try:
                await self._run_blocking(bind(self._partial.write_chunk, chunks, index, frame))
            except InvalidMessage as error:
                raise PeerMisbehaved(f"it sent wrong bytes: {error}") from error
            self._missing.discard(index)
            if not self._missing:
                self._changed.set()

        request = encode_artifact_request(
            ChunkRangeRequest(digest=self._partial.digest, first_index=indexes.start, count=len(indexes))
        )
        await self._transport.request(member, Service.ARTIFACT, request, receive, timeout_ms=self._request_timeout_ms)
        if next(remaining, None) is not None:
            raise PeerUnreachable("it does not hold all of the artifact")

    def _get_range(self) -> range:
        """Return consecutive missing chunks to ask for: those that nobody is asked for, or else those that are late."""
        for requests in range(REQUESTS_PER_CHUNK_MAX):
            first = min((index for index in self._missing if self._is_wanted(index, requests)), default=None)
            if first is None:
                continue
            end = first + 1
            while end - first < RANGE_CHUNKS and end in self._missing and self._is_wanted(end, requests):
                end += 1
            return range(first, end)
        return range(0)

    def _is_wanted(self, index: int, requests: int) -> bool:
        is_late = trio.current_time() - self._requested_at_s.get(index, 0.0) >= PATIENCE_S
        return self._requested[index] == requests and (requests == 0 or is_late)

    def _drop_liar(self, member: MemberId, reason: str) -> None:
        self._sources.note_lie(member)
        self._transport.lower_score(member, by=LIE_COST)
        _log.warning("artifact_source_dropped", member=member, digest=self._partial.digest, reason=reason)

    def _note_failure(self, member: MemberId, reason: str) -> None:
        self._sources.note_failure(member)
        _log.debug("artifact_source_failed", member=member, digest=self._partial.digest, reason=reason)
