"""What a node answers to other members about its ledger: blocks (SYNC) and how far it is (STATUS) (C14, W5).

Nothing here is trusted by whoever asks: blocks carry certificates, and a height is only a reason to ask for blocks.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, TypeAlias, cast

from node.ports import SendFrame
from protocol.blocks import Block, compute_block_hash
from protocol.codec import decode, decode_union, encode, encode_union
from protocol.interface import FinalizedBlock
from protocol.units import Digest, Height, MemberId, View
from protocol.votes import Vote

REQUEST_BYTES_MAX: Final = 256
STATUS_BYTES_MAX: Final = 2_048
BLOCK_FRAME_BYTES_MAX: Final = 4 << 20
"""More than the largest block with the largest certificate."""
SYNC_RESPONSE_BYTES: Final = 2 << 20
"""A response is cut after about so much; the requester asks again from where it then is."""
RECENT_BLOCKS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksRequest:
    """Asks for final blocks from a height on."""

    tag: ClassVar[int] = 0
    from_height: Height


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyRequest:
    """Asks for the body of one block that may not be final yet."""

    tag: ClassVar[int] = 1
    block_hash: Digest


SyncRequest: TypeAlias = BlocksRequest | BodyRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a node is."""

    height: Height
    view: View
    votes: tuple[Vote, ...]
    """The newest votes of whoever asks that this node has seen: the asker may have forgotten them (C10)."""


def encode_sync_request(request: SyncRequest) -> bytes:
    """Return the bytes of a request to SYNC."""
    return encode_union(request, SyncRequest)


def decode_progress(frame: bytes) -> Progress:
    """Return a STATUS response.

    Raises:
        MalformedMessage: It is none.
    """
    return decode(Progress, frame, bytes_max=STATUS_BYTES_MAX)


class RecentBlocks:
    """The bodies of the latest blocks that this node voted for or proposed, by hash; bounded."""

    def __init__(self, chain_id: Digest) -> None:
        """Take the chain whose hashes these are."""
        self._chain_id = chain_id
        self._blocks: OrderedDict[Digest, Block] = OrderedDict()

    def add(self, block: Block) -> None:
        """Remember a block and forget the oldest ones beyond the bound."""
        self._blocks[compute_block_hash(self._chain_id, block.header)] = block
        while len(self._blocks) > RECENT_BLOCKS_MAX:
            self._blocks.popitem(last=False)

    def get(self, block_hash: Digest) -> Block | None:
        """Return a block, if it is still remembered."""
        return self._blocks.get(block_hash)


class BlockSource(Protocol):
    """The part of the store that SYNC reads."""

    def get_blocks(self, from_height: Height, *, bytes_max: int) -> tuple[FinalizedBlock, ...]:
        """Return final blocks in ascending order, the last one with a finalization."""
        ...


class SyncService:
    """Serves final blocks in ascending order, and single bodies by hash."""

    def __init__(self, blocks: BlockSource, get_body: Callable[[Digest], Block | None]) -> None:
        """Take where final blocks come from, and single bodies by hash."""
        self._blocks = blocks
        self._get_body = get_body

    async def handle(self, _requester: MemberId, request: bytes, send: SendFrame) -> None:
        """Answer one request; an unknown block or height is an empty answer.

        Raises:
            MalformedMessage: The request does not decode.
        """
        match cast(SyncRequest, decode_union(SyncRequest, request, bytes_max=REQUEST_BYTES_MAX)):
            case BlocksRequest(from_height=from_height):
                for finalized in self._blocks.get_blocks(from_height, bytes_max=SYNC_RESPONSE_BYTES):
                    await send(encode(finalized))
            case BodyRequest(block_hash=block_hash):
                block = self._get_body(block_hash)
                if block is not None:
                    await send(encode(block))


class StatusService:
    """Tells how far this node is, and what it has heard of whoever asks."""

    def __init__(self, get_progress: Callable[[MemberId], Progress]) -> None:
        """Take where to read it."""
        self._get_progress = get_progress

    async def handle(self, requester: MemberId, _request: bytes, send: SendFrame) -> None:
        """Answer with one frame."""
        await send(encode(self._get_progress(requester)))
