"""Artifacts on disk, each under its digest: whatever has a name here is complete and is what the name says (W6).

Layout below the directory: ``ab/abcd...`` is the artifact with that digest in hex, ``.chunks`` beside it its size and
chunk digests, ``.forgotten`` an empty mark that no rule needs it any more. ``temporary/`` holds files that are being
written, ``partial/`` those that are being fetched. Artifacts that no rule needs are removed, the longest forgotten
first, when there are more than the node's retention or when the quota is reached; those that are needed stay.
"""

import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import trio

from node.artifacts.chunk_list import ChunkList, decode_chunk_list, encode_chunk_list
from node.artifacts.reservation import Reservation
from node.blocking import RunBlocking, run_in_thread
from node.durable import discard_file, raise_for_os_error, save_file, sync_directory
from node.errors import DiskFull, StoreCorrupt
from protocol.chunks import ArtifactHasher
from protocol.errors import InvalidMessage
from protocol.units import Digest

PARTIALS_MAX: Final = 16
"""How many interrupted fetches are kept over a restart, the newest."""

_READ_BYTES: Final = 1 << 20
_LIST_SUFFIX: Final = ".chunks"
_MARK_SUFFIX: Final = ".forgotten"
_DIGEST_HEX_DIGITS: Final = 64

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArtifact:
    """An artifact that is complete on disk."""

    digest: Digest
    size_bytes: int


class ArtifactStore:
    """Keeps artifacts by digest within a quota."""

    def __init__(
        self,
        directory: Path,
        *,
        quota_bytes: int = 0,
        retention_count: int = 64,
        run_blocking: RunBlocking = run_in_thread,
    ) -> None:
        """Open the directory, creating it if missing, and find what it holds.

        Args:
            directory: Of this node alone.
            quota_bytes: The most that artifacts may take; 0 sets no limit.
            retention_count: How many forgotten artifacts are kept while there is room.
            run_blocking: Where hashing and fsync run.

        Raises:
            DiskFailed: The directory cannot be used.
        DiskFull: There is no space for it.
        """
        self._directory = directory
        self._quota_bytes = quota_bytes
        self._retention_count = retention_count
        self._run_blocking = run_blocking
        self._numbers = itertools.count(1)
        self._sizes: dict[Digest, int] = {}
        self._forgotten: dict[Digest, None] = {}
        """In the order in which they go."""
        self._reserved_bytes = 0
        self._moving = trio.Lock()
        """Held while a file takes its place: a node may compute the very artifact that it is fetching."""
        try:
            self._prepare()
        except OSError as error:
            raise_for_os_error(error, directory)

    @property
    def partial_directory(self) -> Path:
        """Where fetches keep what they have so far; on the same file system as the artifacts."""
        return self._directory / "partial"

    @property
    def total_bytes(self) -> int:
        """The size of all artifacts, in bytes."""
        return sum(self._sizes.values())

    def has(self, digest: Digest) -> bool:
        """Return whether an artifact is complete on disk."""
        return digest in self._sizes

    def get_digests(self) -> frozenset[Digest]:
        """Return what is stored."""
        return frozenset(self._sizes)

    def get_size(self, digest: Digest) -> int:
        """Return an artifact's size in bytes.

        Raises:
            KeyError: It is not stored.
        """
        return self._sizes[digest]

    def get_path(self, digest: Digest) -> Path:
        """Return where an artifact is, after comparing its size; its bytes must not be changed.

        Raises:
            KeyError: It is not stored.
            StoreCorrupt: The file is gone or has another size; it counts as not stored from now on.
        """
        path, size = self._get_place(digest), self._sizes[digest]
        try:
            found = path.stat().st_size
        except OSError:
            found = -1
        if found != size:
            self._remove(digest)
            raise StoreCorrupt(
                f"artifact {path} is damaged or gone: it was dropped and is fetched again from the members"
            )
        return path

    def get_chunk_list(self, digest: Digest) -> ChunkList:
        """Return an artifact's size and chunk digests.

        Raises:
            KeyError: It is not stored.
            StoreCorrupt: The list beside it is gone or damaged.
        """
        size, path = self._sizes[digest], self._get_place(digest)
        try:
            chunks = decode_chunk_list(digest, path.with_suffix(_LIST_SUFFIX).read_bytes())
        except (OSError, InvalidMessage) as error:
            self._remove(digest)
            raise StoreCorrupt(f"artifact {path} was dropped: its chunk list is damaged ({error})") from error
        if chunks.artifact_bytes != size:
            self._remove(digest)
            raise StoreCorrupt(f"artifact {path} was dropped: its chunk list is that of another size")
        return chunks

    def make_temporary_path(self) -> Path:
        """Return a new path for writing an artifact before its digest is known; removed at the next start."""
        return self._directory / "temporary" / f"{os.getpid()}-{next(self._numbers)}"

    def reserve(self, size_bytes: int) -> Reservation:
        """Set space aside for an artifact to come, removing forgotten ones if needed; a context manager.

        Raises:
            DiskFull: The quota does not suffice.
        """
        self._make_room(size_bytes)
        return Reservation(size_bytes, self._change_reserved)

    async def adopt(
        self, path: Path, *, expected: Digest | None = None, reservation: Reservation | None = None
    ) -> StoredArtifact:
        """Take over a finished file under its digest, durably; the file moves.

        Args:
            path: From :meth:`make_temporary_path` or the partial directory.
            expected: The digest that the file must have, if that is known.
            reservation: Space set aside for it; released once the file takes its place.

        Raises:
            DiskFull: Quota or disk do not suffice; the file stays where it is.
            DiskFailed: The disk failed.
            StoreCorrupt: The file has another digest than expected; it stays where it is.
        """
        digest, chunks = await self._run_blocking(lambda: _hash_file(path))
        if expected is not None and digest != expected:
            raise StoreCorrupt(f"{path} is artifact {digest.hex()[:8]}, not {expected.hex()[:8]}: check the disk")
        if reservation is not None:
            reservation.release()
        async with self._moving:
            if not self.has(digest):
                self._make_room(chunks.artifact_bytes)
                await self._run_blocking(lambda: self._move(path, digest, chunks))
                self._sizes[digest] = chunks.artifact_bytes
            else:
                discard_file(path)
            self.keep(digest)
        return StoredArtifact(digest=digest, size_bytes=chunks.artifact_bytes)

    async def is_intact(self, digest: Digest) -> bool:
        """Return whether an artifact's bytes still give its digest; one that does not is dropped.

        Raises:
            KeyError: It is not stored.
        """
        try:
            path = self.get_path(digest)
            found, _ = await self._run_blocking(lambda: _hash_file(path))
        except StoreCorrupt:
            return False
        if found != digest:
            self._remove(digest)
        return found == digest

    def keep(self, digest: Digest) -> None:
        """Say that an artifact is needed again."""
        if digest in self._forgotten:
            del self._forgotten[digest]
            discard_file(self._get_place(digest).with_suffix(_MARK_SUFFIX))

    def forget(self, digests: Iterable[Digest]) -> None:
        """Say that no rule needs these artifacts any more: they may be removed, and half fetched ones are."""
        for digest in digests:
            self._remove_partial(digest.hex())
            if digest in self._sizes and digest not in self._forgotten:
                self._forgotten[digest] = None
                self._mark(digest)
        while len(self._forgotten) > self._retention_count:
            self._remove(next(iter(self._forgotten)))
        self._remove_forgotten_above_quota(0)

    def _prepare(self) -> None:
        for name in ("temporary", "partial"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        for leftover in (self._directory / "temporary").iterdir():
            leftover.unlink()
        for path in sorted(self._directory.glob("[0-9a-f][0-9a-f]/*")):
            # What belongs to no artifact was left by a crash, or by a removal that a crash cut short.
            if _read_name(path) is None and not path.with_suffix("").exists():
                path.unlink()
        partials = [path for path in self.partial_directory.iterdir() if not path.suffix]
        for path in sorted(partials, key=lambda path: path.stat().st_mtime_ns)[:-PARTIALS_MAX]:
            self._remove_partial(path.name)
        marks: list[tuple[int, Digest]] = []
        for path in sorted(self._directory.glob("[0-9a-f][0-9a-f]/*")):
            digest = _read_name(path)
            if digest is None:
                continue
            mark = path.with_suffix(_MARK_SUFFIX)
            if self._is_whole(digest, path) and mark.exists():
                marks.append((mark.stat().st_mtime_ns, digest))
        self._forgotten = {digest: None for _, digest in sorted(marks)}

    def _is_whole(self, digest: Digest, path: Path) -> bool:
        self._sizes[digest] = path.stat().st_size
        try:
            self.get_chunk_list(digest)
        except StoreCorrupt:
            return False
        return True

    def _get_place(self, digest: Digest) -> Path:
        name = digest.hex()
        return self._directory / name[:2] / name

    def _move(self, path: Path, digest: Digest, chunks: ChunkList) -> None:
        place = self._get_place(digest)
        try:
            place.parent.mkdir(exist_ok=True)
            save_file(place.with_suffix(_LIST_SUFFIX), encode_chunk_list(chunks))
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fchmod(descriptor, 0o444)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            path.replace(place)
            sync_directory(place.parent)
            sync_directory(self._directory)
        except OSError as error:
            raise_for_os_error(error, place)

    def _mark(self, digest: Digest) -> None:
        """Note for the next start that an artifact is forgotten; without the mark it is kept longer than needed."""
        mark = self._get_place(digest).with_suffix(_MARK_SUFFIX)
        try:
            mark.touch()
        except OSError as error:
            _log.warning("artifact_not_marked", digest=digest, reason=error.strerror)

    def _make_room(self, size_bytes: int) -> None:
        self._remove_forgotten_above_quota(size_bytes)
        needed = self.total_bytes + self._reserved_bytes + size_bytes
        if self._quota_bytes and needed > self._quota_bytes:
            raise DiskFull(
                f"the artifacts that are needed take {needed} bytes and artifact_quota_bytes is {self._quota_bytes}:"
                " raise it in config.toml"
            )

    def _remove_forgotten_above_quota(self, size_bytes: int) -> None:
        if not self._quota_bytes:
            return
        total = self.total_bytes + self._reserved_bytes + size_bytes
        for digest in tuple(self._forgotten):
            if total <= self._quota_bytes:
                return
            total -= self._sizes[digest]
            self._remove(digest)

    def _remove(self, digest: Digest) -> None:
        place = self._get_place(digest)
        for path in (place, place.with_suffix(_MARK_SUFFIX), place.with_suffix(_LIST_SUFFIX)):
            discard_file(path)
        self._sizes.pop(digest, None)
        self._forgotten.pop(digest, None)

    def _remove_partial(self, name: str) -> None:
        path = self.partial_directory / name
        discard_file(path)
        discard_file(path.with_suffix(_LIST_SUFFIX))

    def _change_reserved(self, size_bytes: int) -> None:
        self._reserved_bytes += size_bytes


def _hash_file(path: Path) -> tuple[Digest, ChunkList]:
    hasher = ArtifactHasher()
    try:
        with path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                hasher.update(piece)
    except OSError as error:
        raise_for_os_error(error, path)
    digest, size_bytes, chunk_digests = hasher.finish()
    return digest, ChunkList(artifact_bytes=size_bytes, chunk_digests=chunk_digests)


def _read_name(path: Path) -> Digest | None:
    name = path.name
    if len(name) != _DIGEST_HEX_DIGITS or not name.startswith(path.parent.name):
        return None
    try:
        return Digest(bytes.fromhex(name))
    except ValueError:
        return None
