"""Hands an operation to a running node and waits until the ledger has judged it, however long that takes.

Whoever waits is told why: on a terminal by a line that moves, elsewhere only if something is amiss. Ending the wait, by
Ctrl-C or a time limit, does not take the operation back.
"""

import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio
import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from node.commands.common import format_weights, print_note
from node.control import call, open_request
from node.errors import DaemonUnreachable, NodeError, StillPending
from node.failures import raise_cause
from node.json_values import JsonObject, get_object, get_text

QUIET_S: Final = 2.0
"""What is over by then needs no explanation."""
POLL_INTERVAL_S: Final = 1.0
EXIT_INTERRUPTED: Final = 130


class _Explanation:
    """Tells why it takes so long."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._last_stall: str | None = None

    def show(self, status: JsonObject) -> None:
        """Tell what a node's status says about the wait."""
        weights = get_object(status["weights"])
        stall = None if weights["has_quorum"] is True else f"waiting: connected are {format_weights(weights)}"
        if not sys.stderr.isatty():
            if stall is not None and self._last_stall is None:
                print_note(stall)
            self._last_stall = stall
            return
        text = Text(stall or f"waiting for a final block after height {status['height']}")
        if self._status is None:
            self._status = Console(stderr=True).status(text)
            self._status.start()
        self._status.update(text)

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self._status is not None:
            self._status.stop()


@dataclass(slots=True)
class _Wait:
    """One operation that is waited for."""

    operation_id: str | None = None
    """None until the node has signed it."""
    result: JsonObject | None = None
    is_interrupted: bool = False
    explanation: _Explanation = field(default_factory=_Explanation)

    def describe_pending(self) -> str:
        """Return what becomes of the operation without anybody waiting for it."""
        if self.operation_id is None:
            return "the node has the request, but has not signed the operation yet; see `pnyx stakes` later"
        return (
            f"operation {self.operation_id} stays pending: the node sends it until it is final, across restarts too;"
            " see `pnyx stakes` later"
        )


def submit_operation(home: Path, request: JsonObject, *, timeout_s: float) -> JsonObject:
    """Return what the ledger made of an operation.

    Args:
        home: Of the node whose member asks.
        request: The operation, as the control desk takes it.
        timeout_s: How long to wait.

    Raises:
        StillPending: It is not final in time.
        DaemonUnreachable: No daemon runs on the home, or it stopped meanwhile.
        NodeError: The daemon refused the request.
        Exit: The user had seen enough.
    """
    wait = _Wait()
    try:
        with raise_cause():
            trio.run(_submit, home, {"command": "submit", **request}, wait, timeout_s)
    except DaemonUnreachable as error:
        if wait.operation_id is None:
            raise
        raise DaemonUnreachable(f"the daemon stopped; {wait.describe_pending()}") from error
    finally:
        wait.explanation.clear()
    if wait.result is not None:
        return wait.result
    if wait.is_interrupted:
        print_note(f"not waiting any more; {wait.describe_pending()}")
        raise typer.Exit(EXIT_INTERRUPTED)
    raise StillPending(f"not final after {timeout_s:.0f} s; {wait.describe_pending()}")


async def _submit(home: Path, request: JsonObject, wait: _Wait, timeout_s: float) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_wait_interrupt, signals, wait, nursery.cancel_scope)
            nursery.start_soon(_explain, home, wait)
            with trio.move_on_after(timeout_s):
                await _follow(home, request, wait)
            nursery.cancel_scope.cancel()


async def _follow(home: Path, request: JsonObject, wait: _Wait) -> None:
    async with open_request(home, request) as client:
        signed = get_object(await client.read_result())
        wait.operation_id = get_text(signed["operation_id"])
        judged = get_object(await client.read_result())
        wait.result = {name: value for name, value in judged.items() if name != "state"}


async def _wait_interrupt(signals: AsyncIterator[int], wait: _Wait, waiting: trio.CancelScope) -> None:
    async for _ in signals:
        wait.is_interrupted = True
        waiting.cancel()
        return


async def _explain(home: Path, wait: _Wait) -> None:
    await trio.sleep(QUIET_S)
    while True:
        try:
            wait.explanation.show(get_object(await call(home, {"command": "status"})))
        except NodeError:
            # The wait itself fails as well, and says so.
            return
        await trio.sleep(POLL_INTERVAL_S)
