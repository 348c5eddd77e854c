"""Runs coroutines for targets: without an event loop where nothing waits, else on a clock that never waits either."""

import atexit
import logging
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import structlog
import trio
from trio.testing import MockClock

T = TypeVar("T")

_SCHEDULER = import_module("trio._core._run").__dict__
"""Where trio keeps the chance by which it orders the tasks of one instant."""


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # what a coroutine returns has no other way out
    coroutine.close()
    raise AssertionError("the coroutine waits for something")


def run_virtually(call: Callable[[], Awaitable[T]]) -> T:
    """Run an async call in virtual time, its tasks in the same order every time."""
    _SCHEDULER["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    _SCHEDULER["_r"] = random.Random(0)

    async def run() -> T:
        return await call()

    return trio.run(run, clock=MockClock(autojump_threshold=0))


@cache
def make_scratch() -> Path:
    """Return a directory for this process, removed at its end; in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="pnyx-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def hush_logs() -> None:
    """Log nothing: a target's code warns about every other input."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )
    logging.disable(logging.CRITICAL)
