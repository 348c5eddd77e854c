"""The inbox: every input on its way to the core, in one bounded queue.

Whoever may be told to go away asks :meth:`Inbox.offer_nowait` (gossip: a full inbox ignores messages, and their sender
will repeat what matters); whoever can wait uses :meth:`Inbox.put` (streams, the worker, the operator). That is the
node's only back-pressure, so nothing else in the shell queues without a bound.
"""

from typing import Final

import trio

from protocol.interface import Input

INBOX_INPUTS_MAX: Final = 2_048
BATCH_INPUTS_MAX: Final = 64
"""Inputs handled between two writes to disk: enough to share one fsync, too few to hold the event loop."""


class Inbox:
    """A bounded queue of inputs with one reader, the driver."""

    def __init__(self, capacity: int = INBOX_INPUTS_MAX) -> None:
        """Take the number of inputs that may wait."""
        self._send, self._receive = trio.open_memory_channel[Input](capacity)
        self.refused_count = 0
        """Inputs that found the inbox full."""

    def has_room(self) -> bool:
        """Return whether :meth:`offer_nowait` would succeed."""
        statistics = self._send.statistics()
        return statistics.current_buffer_used < statistics.max_buffer_size

    @property
    def waiting_count(self) -> int:
        """How many inputs wait."""
        return self._send.statistics().current_buffer_used

    def offer_nowait(self, event: Input) -> bool:
        """Add an input, or return False if the inbox is full."""
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            self.refused_count += 1
            return False
        return True

    async def put(self, event: Input) -> None:
        """Add an input, waiting for room."""
        await self._send.send(event)

    async def take(self, *, wait_s: float | None) -> list[Input]:
        """Return what has come, at most a batch of it, waiting for the first input.

        Args:
            wait_s: How long to wait at the most, in seconds; None waits for ever.

        Returns:
            Inputs in the order of their arrival; none if the time ran out.
        """
        events = self._drain(BATCH_INPUTS_MAX)
        if events:
            await trio.lowlevel.checkpoint()
            return events
        with trio.move_on_after(float("inf") if wait_s is None else max(wait_s, 0.0)):
            events.append(await self._receive.receive())
            events += self._drain(BATCH_INPUTS_MAX - 1)
        return events

    def _drain(self, count_max: int) -> list[Input]:
        events: list[Input] = []
        while len(events) < count_max:
            try:
                events.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                break
        return events
