"""The keysmith: does the beacon's long computations with this member's keys, off the event loop, one at a time (B4)."""

from functools import partial
from typing import Final

import trio

from node.blocking import RunBlocking
from node.inbox import Inbox
from node.timings import Activity, Timings
from protocol.key_orders import JudgeDeal, KeyWork
from protocol.key_work import KeyHolder, do_key_work

JUDGEMENTS_WAITING_MAX: Final = 512
"""Deals that wait to be checked ahead of their blocks; the ledger checks by itself what was left out."""


class Keysmith:
    """Does one computation after the other, in the background."""

    def __init__(self, *, holder: KeyHolder, inbox: Inbox, run_blocking: RunBlocking, timings: Timings) -> None:
        """Take whose keys do the work, and where results go."""
        self._holder = holder
        self._inbox = inbox
        self._run_blocking = run_blocking
        self._timings = timings
        # The engine orders each of the other kinds once per epoch, so what waits is bounded.
        self._send, self._receive = trio.open_memory_channel[KeyWork](float("inf"))

    def start_nowait(self, work: KeyWork) -> None:
        """Queue an order; returns at once."""
        if isinstance(work, JudgeDeal) and self._send.statistics().current_buffer_used >= JUDGEMENTS_WAITING_MAX:
            return
        self._send.send_nowait(work)

    async def run(self) -> None:
        """Work until cancelled."""
        async for work in self._receive:
            with self._timings.measure(Activity.KEYS):
                done = await self._run_blocking(partial(do_key_work, self._holder, work))
            if done is not None:
                await self._inbox.put(done)
