"""The artifact store: names tell bytes, crashes leave nothing half, the quota takes only what no rule needs (W6)."""

import errno
import os
from pathlib import Path

import pytest
import trio

from node.artifacts.partial import PartialArtifact
from node.artifacts.store import PARTIALS_MAX, ArtifactStore
from node.errors import DiskFailed, DiskFull, StoreCorrupt
from protocol.chunks import CHUNK_BYTES, ArtifactHasher
from protocol.units import Digest

ABSENT = Digest(bytes(32))


def compute_name(content: bytes) -> Digest:
    hasher = ArtifactHasher()
    hasher.update(content)
    return hasher.finish()[0]


def write(store: ArtifactStore, content: bytes) -> Path:
    path = store.make_temporary_path()
    path.write_bytes(content)
    return path


async def add(store: ArtifactStore, content: bytes) -> Digest:
    return (await store.adopt(write(store, content))).digest


async def test_an_adopted_file_moves_under_its_digest(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    content = os.urandom(CHUNK_BYTES * 2 + 5)
    source = write(store, content)
    stored = await store.adopt(source)
    assert stored.digest == compute_name(content)
    assert stored.size_bytes == store.get_size(stored.digest) == len(content)
    assert store.get_path(stored.digest).read_bytes() == content
    assert store.get_path(stored.digest).name == stored.digest.hex()
    assert not source.exists()
    assert store.get_chunk_list(stored.digest).artifact_bytes == len(content)
    assert len(store.get_chunk_list(stored.digest).chunk_digests) == 3


async def test_artifacts_survive_a_restart(tmp_path: Path) -> None:
    digest = await add(ArtifactStore(tmp_path), b"model")
    store = ArtifactStore(tmp_path)
    assert store.get_digests() == {digest}
    assert store.get_path(digest).read_bytes() == b"model"


async def test_adopting_the_same_bytes_twice_keeps_one(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    first, second = await add(store, b"same"), await add(store, b"same")
    assert first == second
    assert store.total_bytes == 4
    assert list((tmp_path / "temporary").iterdir()) == []


async def test_the_same_bytes_may_come_from_several_jobs_at_a_time(tmp_path: Path) -> None:
    """A node computes a candidate while it fetches the same one, and what takes both in must not stop over it."""
    store = ArtifactStore(tmp_path)
    for number in range(8):
        content = b"candidate" * (number + 1)
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(store.adopt, write(store, content))
        assert store.get_path(compute_name(content)).read_bytes() == content
        assert store.get_chunk_list(compute_name(content)).artifact_bytes == len(content)
    assert len(store.get_digests()) == 8
    assert list((tmp_path / "temporary").iterdir()) == []


async def test_what_a_crash_left_half_written_is_gone_after_a_restart(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = await add(store, b"whole")
    leftover = write(store, b"half")
    orphan = store.get_path(digest).with_name("00" * 32 + ".chunks")
    orphan.write_bytes(b"a list without its artifact")
    store = ArtifactStore(tmp_path)
    assert not leftover.exists()
    assert not orphan.exists()
    assert store.get_digests() == {digest}


async def test_a_truncated_artifact_counts_as_missing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = await add(store, b"to be cut")
    path = store.get_path(digest)
    path.chmod(0o600)
    os.truncate(path, 3)
    with pytest.raises(StoreCorrupt, match="dropped and is fetched again"):
        store.get_path(digest)
    assert not store.has(digest)
    assert not path.exists()


async def test_a_truncated_artifact_is_not_taken_up_at_the_start(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = await add(store, b"to be cut")
    path = store.get_path(digest)
    path.chmod(0o600)
    os.truncate(path, 3)
    assert not ArtifactStore(tmp_path).has(digest)


async def test_changed_bytes_are_found_by_a_full_check(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    good, bad = await add(store, b"good"), await add(store, b"bad one")
    path = store.get_path(bad)
    path.chmod(0o600)
    path.write_bytes(b"bad won")
    assert await store.is_intact(good)
    assert not await store.is_intact(bad)
    assert store.get_digests() == {good}


async def test_a_damaged_chunk_list_drops_the_artifact(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = await add(store, b"content")
    store.get_path(digest).with_suffix(".chunks").write_bytes(bytes(40))
    with pytest.raises(StoreCorrupt, match="chunk list"):
        store.get_chunk_list(digest)
    assert not store.has(digest)


async def test_a_file_with_another_digest_than_expected_is_not_adopted(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    path = write(store, b"not that")
    with pytest.raises(StoreCorrupt, match="not 00000000"):
        await store.adopt(path, expected=ABSENT)
    assert path.exists()
    assert store.get_digests() == frozenset()


async def test_forgotten_artifacts_go_oldest_first_beyond_the_retention(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, retention_count=2)
    digests = [await add(store, bytes([number]) * 10) for number in range(4)]
    store.forget(digests[:3])
    assert store.get_digests() == set(digests[1:])
    store.forget(digests[3:])
    assert store.get_digests() == set(digests[2:])


async def test_the_order_of_forgetting_survives_a_restart(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, retention_count=10)
    digests = [await add(store, bytes([number]) * 10) for number in range(3)]
    for number, digest in enumerate((digests[2], digests[0], digests[1])):
        store.forget([digest])
        os.utime(store.get_path(digest).with_suffix(".forgotten"), (1_000 + number, 1_000 + number))
    store = ArtifactStore(tmp_path, retention_count=1)
    store.forget([])
    assert store.get_digests() == {digests[1]}


async def test_an_artifact_that_is_needed_again_is_kept(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, retention_count=0)
    kept = await add(store, b"kept")
    other = ArtifactStore(tmp_path, retention_count=1)
    other.forget([kept])
    other.keep(kept)
    assert ArtifactStore(tmp_path, retention_count=0).get_digests() == {kept}
    store.forget([])
    assert store.has(kept)


async def test_adopting_a_forgotten_artifact_makes_it_needed(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, retention_count=1)
    digest = await add(store, b"again")
    store.forget([digest])
    await add(store, b"again")
    store.forget([await add(store, b"another"), await add(store, b"one more")])
    assert store.has(digest)


async def test_forgetting_removes_what_was_fetched_so_far(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    partial = PartialArtifact(store.partial_directory, ABSENT, 1_000_000)
    partial.close()
    store.forget([ABSENT])
    assert list(store.partial_directory.iterdir()) == []


async def test_only_the_newest_interrupted_fetches_are_kept_over_a_restart(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for number in range(PARTIALS_MAX + 3):
        partial = PartialArtifact(store.partial_directory, Digest(bytes([number]) * 32), 1_000)
        partial.close()
        os.utime(partial.path, (number, number))
    store = ArtifactStore(tmp_path)
    kept = sorted(path.name[:2] for path in store.partial_directory.iterdir())
    assert kept == [f"{number:02x}" for number in range(3, PARTIALS_MAX + 3)]


async def test_the_quota_takes_forgotten_artifacts_first(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, quota_bytes=100)
    old, needed = await add(store, b"o" * 40), await add(store, b"n" * 40)
    store.forget([old])
    new = await add(store, b"w" * 40)
    assert store.get_digests() == {needed, new}


async def test_the_quota_never_takes_what_is_needed(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, quota_bytes=100)
    needed = await add(store, b"n" * 80)
    path = write(store, b"w" * 40)
    with pytest.raises(DiskFull, match=r"raise it in config\.toml"):
        await store.adopt(path)
    assert path.exists()
    assert store.get_digests() == {needed}


async def test_reserved_space_counts_until_it_is_released(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, quota_bytes=100)
    with store.reserve(70), pytest.raises(DiskFull):
        store.reserve(40)
    with store.reserve(40):
        assert store.total_bytes == 0


async def test_a_reservation_makes_room_for_its_own_artifact(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, quota_bytes=100)
    with store.reserve(60) as reservation:
        stored = await store.adopt(write(store, b"r" * 60), reservation=reservation)
    assert store.has(stored.digest)
    with store.reserve(40):
        pass


async def test_a_disk_without_space_is_told_from_other_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArtifactStore(tmp_path)
    for number, expected in ((errno.ENOSPC, DiskFull), (errno.EACCES, DiskFailed)):

        def fail(*_arguments: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            with pytest.raises(expected) as caught:
                await store.adopt(write(store, b"content"))
        assert type(caught.value) is expected
    assert store.get_digests() == frozenset()


async def test_a_cancelled_adoption_is_whole_or_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    path = write(store, b"content" * 1_000)
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.adopt(path)
    assert path.exists() != store.has(compute_name(b"content" * 1_000))


def test_asking_for_what_is_not_stored_is_a_mistake(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(KeyError):
        store.get_path(ABSENT)


async def test_files_that_cannot_be_removed_or_marked_cost_space_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store = ArtifactStore(tmp_path, retention_count=1)
    digests = [await add(store, b"model %d" % number) for number in range(3)]
    with monkeypatch.context() as broken:
        broken.setattr(os, "unlink", fail)
        broken.setattr(os, "open", fail)
        store.forget(digests)
        store.keep(digests[2])
    assert store.get_digests() == {digests[2]}
    assert ArtifactStore(tmp_path, retention_count=1).get_path(digests[2]).read_bytes() == b"model 2"


async def test_a_partial_file_that_cannot_be_read_is_as_good_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store = ArtifactStore(tmp_path)
    content = os.urandom(CHUNK_BYTES * 2)
    digest = await add(store, content)
    chunks = store.get_chunk_list(digest)
    partial = PartialArtifact(store.partial_directory, digest, len(content))
    partial.write_chunk(chunks, 0, content[:CHUNK_BYTES])
    assert partial.find_missing(chunks) == {1}
    monkeypatch.setattr(os, "pread", fail)
    assert partial.find_missing(chunks) == {0, 1}
    with pytest.raises(DiskFailed):
        partial.read_prefix()
    partial.close()
