"""Fetches artifacts from the other members into the store, however many callers want the same one.

The members are asked by :mod:`node.artifacts.swarm`; what a fetch has so far stays on disk for the next one.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

import trio

from node.artifacts.partial import PartialArtifact
from node.artifacts.sources import Sources
from node.artifacts.store import ArtifactStore
from node.artifacts.swarm import Swarm
from node.blocking import RunBlocking, run_in_thread
from node.ports import Transport
from protocol.errors import InvalidMessage
from protocol.units import Digest, MemberId, Millis

REQUEST_TIMEOUT_MS: Final = Millis(30_000)
"""For one request, of at most 2 MiB."""

ArtifactCheck: TypeAlias = Callable[[bytes, int], None]
"""Takes an artifact's first bytes (its whole header included) and its size; raises InvalidMessage to refuse it."""


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
        self._callers: Counter[Digest] = Counter()
        self._forgotten: set[Digest] = set()
        """Forgotten since somebody began to fetch them."""

    async def fetch(
        self,
        digest: Digest,
        *,
        bytes_expected: int,
        source: MemberId | None = None,
        check: ArtifactCheck | None = None,
    ) -> Path:
        """Return where an artifact is on disk, once it is there; keeps trying until then.

        Args:
            digest: The artifact's name.
            bytes_expected: Its size.
            source: Somebody who should hold it.
            check: Refuses an artifact whose size or first bytes are wrong for its purpose.

        Raises:
            InvalidMessage: ``check`` refused the artifact; its name fixes its bytes, so nobody can give a better one.
            DiskFull: Quota or disk do not suffice.
            StoreCorrupt: The disk did not give back what was written.
        """
        lock = self._locks.setdefault(digest, trio.Lock())
        self._callers[digest] += 1
        self._forgotten.discard(digest)
        try:
            async with lock:
                if not self._store.has(digest):
                    await self._fetch(digest, bytes_expected, source, check)
            self._store.keep(digest)
            return self._store.get_path(digest)
        finally:
            self._callers[digest] -= 1
            if not self._callers[digest]:
                del self._callers[digest], self._locks[digest]
                if digest in self._forgotten:
                    self._forgotten.remove(digest)
                    self._store.forget([digest])

    def forget(self, digests: Iterable[Digest]) -> None:
        """Say that no rule needs these artifacts any more; one that is being fetched is let go when its fetch ends."""
        for digest in digests:
            if self._callers[digest]:
                self._forgotten.add(digest)
            else:
                self._store.forget([digest])

    async def _fetch(
        self, digest: Digest, bytes_expected: int, source: MemberId | None, check: ArtifactCheck | None
    ) -> None:
        with self._store.reserve(bytes_expected) as reservation:
            partial = PartialArtifact(self._store.partial_directory, digest, bytes_expected)
            try:
                swarm = Swarm(
                    self._transport,
                    Sources(self._transport, digest, source, trio.current_time),
                    partial,
                    request_timeout_ms=self._request_timeout_ms,
                    run_blocking=self._run_blocking,
                )
                await swarm.run()
                _check_prefix(partial, check)
            finally:
                partial.close()
            await self._store.adopt(partial.path, expected=digest, reservation=reservation)
            partial.discard()


def _check_prefix(partial: PartialArtifact, check: ArtifactCheck | None) -> None:
    if check is None:
        return
    try:
        check(partial.read_prefix(), partial.artifact_bytes)
    except InvalidMessage:
        partial.discard()
        raise
