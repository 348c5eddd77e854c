"""The links of the simulated network, and the streams that carry requests and responses over them.

What a link does to a message is asked of whoever simulates faults; nothing here draws at random. A handler runs on the
server's side, in a task of its own, as it does behind a real connection: a requester that reads slowly makes it wait,
and one that is gone ends it with its next frame.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from node.errors import NodeError, PeerMisbehaved, PeerUnreachable
from node.ports import ReceiveFrame, RequestHandler, Service
from protocol.errors import ProtocolError
from protocol.units import MemberId

FRAME_BYTES_MAX: Final = 524_288
STREAM_FRAMES: Final = 2
"""How many frames of a response may be on their way to a slow requester."""


def deliver_once() -> tuple[float, ...]:
    """Deliver a message once and at once."""
    return (0.0,)


@dataclass(slots=True, kw_only=True)
class Link:
    """One direction between two nodes."""

    delay_s: float = 0.0
    """Of every gossip message and every frame."""
    is_cut: bool = False
    is_deaf: bool = False
    """Whatever is sent vanishes and nobody notices, as when packets pass in the other direction only."""
    frames_max: int | None = None
    """The stream is cut after this many frames of a response; None is never."""
    draw_copies: Callable[[], tuple[float, ...]] = deliver_once
    """Gives the further delay of each copy of a gossip message, in seconds: none loses it, two double it."""
    thawed: trio.Event | None = None
    """While a link is frozen, nothing passes and nobody notices; what waits passes once this is set."""
    waiting_bytes: int = 0
    """Gossip that is on its way."""
    waiting_bytes_max: int = 0
    """The most that ever was."""
    dropped_count: int = 0
    """Gossip messages for which there was no room any more."""
    lost_count: int = 0
    """Gossip messages that were lost because nothing passed."""

    def freeze(self) -> None:
        """Stop everything on the way without breaking the connection, like a stopped process or a pulled cable."""
        if self.thawed is None:
            self.thawed = trio.Event()

    def thaw(self) -> None:
        """Let everything pass again."""
        thawed, self.thawed = self.thawed, None
        if thawed is not None:
            thawed.set()

    async def carry(self, further_s: float = 0.0) -> None:
        """Take the time that this link takes."""
        await trio.sleep(self.delay_s + further_s)
        while self.thawed is not None:
            await self.thawed.wait()

    async def carry_frame(self) -> None:
        """Take the time that this link takes for a part of a request or response, which is for ever if it vanishes."""
        await self.carry()
        if self.is_deaf:
            await trio.sleep_forever()


class StreamResetError(NodeError):
    """What a handler is told whose requester is gone or too slow."""


@dataclass(slots=True, kw_only=True, eq=False)
class Stream:
    """One request and the frames of its response."""

    requester: MemberId
    server: MemberId
    service: Service
    link: Link
    """From the server to the requester."""
    idle_s: float
    """How long a frame may wait for a slow requester."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Of the handler."""
    reason: str = "the stream was cut before its end"
    is_complete: bool = False
    is_oversize: bool = False
    _frames_count: int = 0
    _sending: trio.MemorySendChannel[bytes] = field(init=False)
    _receiving: trio.MemoryReceiveChannel[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Make room for a few frames."""
        self._sending, self._receiving = trio.open_memory_channel(STREAM_FRAMES)

    async def serve(self, handler: RequestHandler, request: bytes) -> None:
        """Run a handler, and close the stream at its end."""
        with self.scope, self._sending:
            try:
                await handler(self.requester, request, self._send)
                self.is_complete = True
            except (ProtocolError, NodeError, OSError) as error:
                self.reason = f"the peer reset the stream: {error}"

    async def read(self, receive: ReceiveFrame) -> None:
        """Pass every frame on; leaving early resets the stream.

        Raises:
            PeerUnreachable: The stream was cut before its end.
            PeerMisbehaved: A frame was over the limit.
        """
        with self._receiving:
            async for frame in self._receiving:
                await receive(frame)
        if self.is_oversize:
            raise PeerMisbehaved("a frame over the limit")
        if not self.is_complete:
            raise PeerUnreachable(self.reason)

    def reset(self, reason: str) -> None:
        """Cut the stream for both sides."""
        self.reason = reason
        self.scope.cancel()
        self._sending.close()

    async def _send(self, frame: bytes) -> None:
        self._frames_count += 1
        with trio.move_on_after(self.idle_s) as patience:
            await self.link.carry_frame()
            if self.link.frames_max is not None and self._frames_count > self.link.frames_max:
                raise StreamResetError("the stream was cut before its end")
            if len(frame) > FRAME_BYTES_MAX:
                self.is_oversize = True
                raise StreamResetError("a frame over the limit")
            try:
                await self._sending.send(bytes(frame))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise StreamResetError("the requester is gone") from error
        if patience.cancelled_caught:
            raise StreamResetError("the requester reads too slowly")
