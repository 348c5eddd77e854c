"""The export of a ledger: one file from which a stranger can audit everything since genesis.

Layout: a line that names format and version, then frames, each preceded by its length in bytes (u32, big-endian). The
first frame is the genesis document, then one :class:`ExportedBlock` per height from 1, and last an
:class:`ExportTrailer`, after which the file ends. Frames are canonical msgpack (W1). Reading is lazy and trusts nothing
but its own limits; what the frames mean is checked by :mod:`protocol.audit`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, TypeAlias, cast

from protocol.blocks import GENESIS_HEIGHT, Block, compute_block_hash
from protocol.codec import decode_union, encode, encode_union
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.genesis import GENESIS_BYTES_MAX, Genesis, compute_chain_id, decode_genesis
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import compute_state_root
from protocol.outcomes import BlockOutcome
from protocol.units import Digest, Height
from protocol.votes import Certificate

EXPORT_MAGIC: Final = b"pnyx ledger export, version 2\n"
EXPORT_FRAME_BYTES_MAX: Final = 8 << 20
"""More than any block with its certificate and outcome; a longer frame is refused before it is read."""

_LENGTH_BYTES: Final = 4


class Readable(Protocol):
    """A binary file, as far as reading an export needs one."""

    def read(self, count: int, /) -> bytes:
        """Return up to ``count`` bytes, and none only at the end."""
        ...


class Writable(Protocol):
    """A binary file, as far as writing an export needs one."""

    def write(self, piece: bytes, /) -> object:
        """Take all of these bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedBlock:
    """One final block, what it did, and the certificate that finalized it, if the exporter holds one."""

    tag: ClassVar[int] = 0
    block: Block
    certificate: Certificate | None
    """Finalizes exactly this block; always there for the last block, which authenticates all before it."""
    outcome: BlockOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTrailer:
    """The end of an export: what a reader must have arrived at."""

    tag: ClassVar[int] = 1
    height: Height
    """Of the last block; 0 if there is none."""
    block_count: int
    tip_hash: Digest
    """The last block's hash; the chain id if there is none."""
    state_root: Digest
    """After the last block."""


ExportFrame: TypeAlias = ExportedBlock | ExportTrailer


def write_export(target: Writable, genesis: Genesis, blocks: Iterable[ExportedBlock]) -> ExportTrailer:
    """Write an export and return its trailer.

    Args:
        target: Where to; written front to back.
        genesis: The chain's document.
        blocks: All final blocks from height 1 on, ascending, the last one with its finalization certificate. An
            exporter that lacks the tip's certificate ends at the last block that has one.

    Raises:
        InvalidMessage: The last block has no certificate; what was written so far is no valid export.
    """
    chain_id = compute_chain_id(genesis)
    target.write(EXPORT_MAGIC)
    _write_frame(target, encode(genesis))
    last: ExportedBlock | None = None
    count = 0
    for exported in blocks:
        _write_frame(target, encode_union(exported, ExportFrame))
        last, count = exported, count + 1
    if last is None:
        state_root = compute_state_root(compute_genesis_state(genesis))
        trailer = ExportTrailer(height=GENESIS_HEIGHT, block_count=0, tip_hash=chain_id, state_root=state_root)
    else:
        if last.certificate is None:
            raise InvalidMessage("the last block has no finalization certificate; end the export at one that has")
        trailer = ExportTrailer(
            height=last.block.header.height,
            block_count=count,
            tip_hash=compute_block_hash(chain_id, last.block.header),
            state_root=last.outcome.state_root,
        )
    _write_frame(target, encode_union(trailer, ExportFrame))
    return trailer


def read_genesis(source: Readable) -> Genesis:
    """Return the checked genesis document that an export begins with.

    Raises:
        MalformedMessage: The file is no export of this version, or is damaged.
        InvalidMessage: The document breaks a rule.
    """
    if _read_exactly(source, len(EXPORT_MAGIC)) != EXPORT_MAGIC:
        raise MalformedMessage("this is no ledger export of version 2")
    encoded = _read_frame(source, bytes_max=GENESIS_BYTES_MAX)
    if encoded is None:
        raise MalformedMessage("the export ends before the genesis document")
    return decode_genesis(encoded)


def iterate_frames(source: Readable) -> Iterator[ExportFrame]:
    """Yield the frames after the genesis document, one at a time, up to the end of the file.

    Raises:
        MalformedMessage: A frame is too long, cut short, or does not decode.
    """
    while (encoded := _read_frame(source, bytes_max=EXPORT_FRAME_BYTES_MAX)) is not None:
        yield cast(ExportFrame, decode_union(ExportFrame, encoded, bytes_max=EXPORT_FRAME_BYTES_MAX))


def _write_frame(target: Writable, encoded: bytes) -> None:
    target.write(len(encoded).to_bytes(_LENGTH_BYTES, "big"))
    target.write(encoded)


def _read_frame(source: Readable, *, bytes_max: int) -> bytes | None:
    prefix = source.read(1)
    if not prefix:
        return None
    length = int.from_bytes(prefix + _read_exactly(source, _LENGTH_BYTES - 1), "big")
    if length > bytes_max:
        raise MalformedMessage(f"a frame of {length} bytes, at most {bytes_max} are accepted")
    return _read_exactly(source, length)


def _read_exactly(source: Readable, count: int) -> bytes:
    pieces: list[bytes] = []
    missing = count
    while missing:
        piece = source.read(missing)
        if not piece:
            raise MalformedMessage(f"the file ends {missing} bytes early")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
