"""The real stores behind what a node serves, filled with the recorded run."""

from functools import cache
from typing import Final

from node.artifacts.store import ArtifactStore, StoredArtifact
from node.blocking import run_inline
from node.clock import OsEntropy
from node.store.sqlite import SqliteStore
from protocol.chunks import CHUNK_BYTES
from tests.fuzz.driving import make_scratch, run_virtually
from tests.fuzz.recording import record

ARTIFACT_BYTES: Final = 2 * CHUNK_BYTES + 1_000


@cache
def open_ledger() -> SqliteStore:
    """Return a database with the recorded blocks."""
    run = record()
    folder = make_scratch() / "ledger"
    folder.mkdir()
    store = SqliteStore(
        folder / "ledger.db",
        genesis=run.genesis,
        member=run.keys[0].key.member,
        marker=folder / "votelog",
        entropy=OsEntropy(),
        run_blocking=run_inline,
    )

    async def fill() -> None:
        store.load()
        await store.append(run.blocks)

    run_virtually(fill)
    return store


@cache
def open_artifacts() -> tuple[ArtifactStore, StoredArtifact]:
    """Return a store with one artifact of three chunks."""
    store = ArtifactStore(make_scratch() / "artifacts", run_blocking=run_inline)

    async def fill() -> StoredArtifact:
        path = store.make_temporary_path()
        path.write_bytes(bytes(range(250)) * (ARTIFACT_BYTES // 250))
        return await store.adopt(path)

    return store, run_virtually(fill)
