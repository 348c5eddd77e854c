"""Asks other members for the blocks that this node lacks (C14), and now and then whether it lacks any.

Nothing is checked here but that bytes decode: the engine checks blocks against certificates, and as long as its height
does not move, other members are asked, with back-off. Which blocks are wanted is the engine's decision
(``FetchBlocks``, ``FetchBlock``); only the question "how far are you" comes from here, for a node that missed
everything while all were quiet.
"""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from node.errors import PeerMisbehaved, PeerUnreachable
from node.inbox import Inbox
from node.ports import Service, Transport
from node.services import (
    BLOCK_FRAME_BYTES_MAX,
    SYNC_RESPONSE_BYTES,
    BlocksRequest,
    BodyRequest,
    Progress,
    SyncRequest,
    decode_progress,
    encode_sync_request,
)
from node.timings import Activity, Timings
from protocol.blocks import Block
from protocol.codec import decode
from protocol.errors import MalformedMessage
from protocol.interface import BlockFetched, BlocksFetched, FinalizedBlock
from protocol.units import Digest, Height, MemberId, Millis

REQUEST_TIMEOUT_MS: Final = Millis(10_000)
STATUS_TIMEOUT_MS: Final = Millis(3_000)
PATIENCE_MIN_S: Final = 1.5
PATIENCE_GROWTH: Final = 2.0
"""How long a member may be silent before another is asked, and how that grows while nobody answers: a member that is
suspended or cut off stays connected for a while, and on a slow network all are silent for long."""
PROGRESS_WAIT_S: Final = 10.0
"""How long the engine may take for a batch of blocks before another member is asked."""
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
POLL_INTERVAL_S: Final = 10.0
POLL_FIRST_INTERVAL_S: Final = 0.5
POLL_GRACE_S: Final = 1.0
"""A member that is ahead for less than this is no news: blocks are under way by gossip."""
BODY_ATTEMPTS_MAX: Final = 12

_log = structlog.get_logger(__name__)


class _Patience:
    """How long a member may be silent in one search for something."""

    def __init__(self) -> None:
        self.seconds = PATIENCE_MIN_S

    def note_answer(self) -> None:
        self.seconds = PATIENCE_MIN_S

    def note_silence(self) -> None:
        self.seconds = min(self.seconds * PATIENCE_GROWTH, REQUEST_TIMEOUT_MS / 1_000)


class BlockFetcher:
    """Fetches blocks in the background; one request at a time for final ones, one task per unfinalized body."""

    def __init__(
        self, *, transport: Transport, inbox: Inbox, get_height: Callable[[], Height], timings: Timings
    ) -> None:
        """Take the network, where results go, and how to read the height of this node's ledger."""
        self._timings = timings
        self._transport = transport
        self._inbox = inbox
        self._get_height = get_height
        self._wanted_height = Height(0)
        self._hint: MemberId | None = None
        self._wanted = trio.Event()
        self._moved = trio.Event()
        self._bodies: dict[Digest, trio.CancelScope] = {}
        self._turn = 0
        self._nursery: trio.Nursery | None = None

    def want_blocks(self, from_height: Height, hint: MemberId | None) -> None:
        """Fetch final blocks from this height on; returns at once."""
        self._wanted_height = max(self._wanted_height, from_height)
        self._hint = hint or self._hint
        self._wanted.set()

    def want_body(self, block_hash: Digest) -> None:
        """Fetch the body of one unfinalized block; returns at once."""
        if self._nursery is not None and block_hash not in self._bodies:
            scope = self._bodies[block_hash] = trio.CancelScope()
            self._nursery.start_soon(self._fetch_body, block_hash, scope)

    def note_height(self) -> None:
        """Tell that the ledger's height may have moved."""
        self._moved.set()
        self._moved = trio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._poll_progress)
            try:
                while True:
                    await self._wanted.wait()
                    self._wanted = trio.Event()
                    await self._catch_up()
            finally:
                # The driver may finish a batch after this has ended; what it asks for then is nobody's business.
                self._nursery = None

    async def _catch_up(self) -> None:
        pause_s, patience = BACKOFF_MIN_S, _Patience()
        has_more = False
        while has_more or self._get_height() < self._wanted_height:
            member = self._choose_member()
            has_more = member is not None and await self._fetch_blocks(member, patience)
            if has_more:
                pause_s = BACKOFF_MIN_S
            elif self._get_height() < self._wanted_height:
                await trio.sleep(pause_s)
                pause_s = min(pause_s * 2, BACKOFF_MAX_S)

    async def _fetch_blocks(self, member: MemberId, patience: _Patience) -> bool:
        """Ask one member and return whether the ledger grew by its answer; it may have more then."""
        height = self._get_height()
        with self._timings.measure(Activity.FETCH):
            frames = await self._request(member, BlocksRequest(from_height=Height(height + 1)), patience)
            try:
                blocks = tuple(decode(FinalizedBlock, frame, bytes_max=BLOCK_FRAME_BYTES_MAX) for frame in frames)
            except MalformedMessage as error:
                self._blame(member, str(error))
                return False
        if not blocks:
            return False
        await self._inbox.put(BlocksFetched(blocks=blocks))
        with trio.move_on_after(PROGRESS_WAIT_S):
            while self._get_height() <= height:
                await self._moved.wait()
        has_grown = self._get_height() > height
        if has_grown:
            self._hint = member
        return has_grown

    async def _fetch_body(self, block_hash: Digest, scope: trio.CancelScope) -> None:
        block: Block | None = None
        try:
            with scope:
                block = await self._find_body(block_hash)
        finally:
            # Before the body is told, because the core may ask for it again at once.
            del self._bodies[block_hash]
        if block is not None:
            await self._inbox.put(BlockFetched(block=block))

    async def _find_body(self, block_hash: Digest) -> Block | None:
        pause_s, patience = BACKOFF_MIN_S, _Patience()
        for _ in range(BODY_ATTEMPTS_MAX):
            member = self._choose_member()
            block = None if member is None else await self._ask_body(member, block_hash, patience)
            if block is not None:
                return block
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 2, BACKOFF_MAX_S)
        return None

    async def _ask_body(self, member: MemberId, block_hash: Digest, patience: _Patience) -> Block | None:
        frames = await self._request(member, BodyRequest(block_hash=block_hash), patience)
        if not frames:
            return None
        try:
            block = decode(Block, frames[0], bytes_max=BLOCK_FRAME_BYTES_MAX)
        except MalformedMessage as error:
            self._blame(member, str(error))
            return None
        return block

    async def _request(self, member: MemberId, request: SyncRequest, patience: _Patience) -> list[bytes]:
        frames: list[bytes] = []
        received_bytes = 0

        async def receive(frame: bytes) -> None:
            nonlocal received_bytes
            silence.deadline = trio.current_time() + patience.seconds
            received_bytes += len(frame)
            if received_bytes > SYNC_RESPONSE_BYTES + 2 * BLOCK_FRAME_BYTES_MAX:
                raise PeerMisbehaved("more blocks than a response may hold")
            frames.append(frame)

        try:
            with trio.move_on_after(patience.seconds) as silence:
                await self._transport.request(
                    member, Service.SYNC, encode_sync_request(request), receive, timeout_ms=REQUEST_TIMEOUT_MS
                )
                patience.note_answer()
                return frames
        except PeerUnreachable as error:
            _log.debug("sync_request_failed", member=member, reason=str(error))
            return []
        except PeerMisbehaved as error:
            self._blame(member, str(error))
            return []
        patience.note_silence()
        _log.debug("sync_request_failed", member=member, reason="silent for too long")
        return []

    async def _poll_progress(self) -> None:
        interval_s = POLL_FIRST_INTERVAL_S
        while True:
            await trio.sleep(interval_s)
            member = self._choose_member()
            progress = None if member is None else await self._ask_progress(member)
            if member is None or progress is None:
                continue
            interval_s = POLL_INTERVAL_S
            if progress.height <= self._get_height():
                self._transport.note_caught_up(member)
            else:
                await trio.sleep(POLL_GRACE_S)
                if progress.height > self._get_height():
                    self.want_blocks(progress.height, member)

    async def _ask_progress(self, member: MemberId) -> Progress | None:
        frames: list[bytes] = []

        async def receive(frame: bytes) -> None:
            frames.append(frame)

        try:
            await self._transport.request(member, Service.STATUS, b"", receive, timeout_ms=STATUS_TIMEOUT_MS)
            return decode_progress(frames[0]) if frames else None
        except PeerUnreachable:
            return None
        except (PeerMisbehaved, MalformedMessage) as error:
            self._blame(member, str(error))
            return None

    def _choose_member(self) -> MemberId | None:
        connected = [peer.member for peer in self._transport.get_peers() if peer.is_connected]
        hint, self._hint = self._hint, None
        if hint in connected:
            return hint
        self._turn += 1
        return connected[self._turn % len(connected)] if connected else None

    def _blame(self, member: MemberId, reason: str) -> None:
        _log.warning("peer_misbehaved", member=member, reason=reason)
        self._transport.lower_score(member, by=10)
