"""Where calls that block on disk or hash a lot run: in a thread on a real node, in line under a virtual clock.

A virtual clock does not wait for threads, so a simulated node runs such calls in line.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import trio

T = TypeVar("T")


class RunBlocking(Protocol):
    """Runs a blocking call to its end, even if the caller is cancelled meanwhile."""

    def __call__(self, call: Callable[[], T]) -> Awaitable[T]:
        """Return what the call returns, once it is awaited."""
        ...


async def run_in_thread(call: Callable[[], T]) -> T:
    """Run a blocking call in a worker thread; trio waits for a thread that runs, even for a cancelled caller."""
    return await trio.to_thread.run_sync(call)


async def run_inline(call: Callable[[], T]) -> T:
    """Run a blocking call here and now."""
    return call()
