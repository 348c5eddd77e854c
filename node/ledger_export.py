"""Exports a home's ledger to a file that a stranger can audit; the node may be running or stopped."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing
from pathlib import Path

from node.errors import ConfigError
from node.genesis_file import load_genesis
from node.home import HomePaths
from node.store.reader import SqliteReader
from protocol.export import ExportedBlock, ExportTrailer, Writable, write_export
from protocol.genesis import Genesis, compute_chain_id
from protocol.interface import FinalizedBlock
from protocol.operations import Join, decode_operation
from protocol.outcomes import BlockOutcome
from protocol.units import Height, MemberId


def open_ledger(home: Path) -> tuple[Genesis, SqliteReader]:
    """Return a home's genesis document and a reader of its ledger; the caller closes the reader.

    Raises:
        ConfigError: There is no ledger there, or it is of another chain.
        StoreCorrupt: The database is damaged.
    """
    paths = HomePaths(root=home)
    if not paths.genesis.is_file() or not paths.ledger.is_file():
        raise ConfigError(f"there is no ledger in {home}: name a home with --home in which a node has run")
    genesis = load_genesis(paths.genesis)
    return genesis, SqliteReader(paths.ledger, compute_chain_id(genesis))


def read_names(genesis: Genesis, reader: SqliteReader, wanted: AbstractSet[MemberId]) -> dict[MemberId, str]:
    """Return the names of founders and, if anybody else's is wanted, of all for whom somebody has asked.

    Raises:
        StoreCorrupt: The database is damaged.
    """
    names = {founder.member: founder.name for founder in genesis.founders}
    if wanted <= names.keys():
        return names
    for finalized, _ in reader.iterate_blocks(Height(1)):
        for encoded in finalized.block.operations:
            payload = decode_operation(encoded).content.payload
            if isinstance(payload, Join):
                names[payload.card.member] = payload.card.name
    return names


def export_ledger(home: Path, target: Writable) -> ExportTrailer:
    """Write the ledger up to the last block whose finalization certificate this node holds.

    Raises:
        ConfigError: There is no ledger there.
        StoreCorrupt: The database is damaged.
    """
    genesis, reader = open_ledger(home)
    with closing(reader):
        return write_export(target, genesis, cut_at_certificate(reader.iterate_blocks(Height(1))))


def cut_at_certificate(blocks: Iterable[tuple[FinalizedBlock, BlockOutcome]]) -> Iterator[ExportedBlock]:
    """Yield the blocks, holding back those at the end that no certificate authenticates."""
    held: list[ExportedBlock] = []
    for finalized, outcome in blocks:
        held.append(ExportedBlock(block=finalized.block, certificate=finalized.certificate, outcome=outcome))
        if finalized.certificate is not None:
            yield from held
            held.clear()
