"""Every call by which a node touches a file, so that any of them can fail, and so that files have the times of the run.

The real store is not seen here, since SQLite makes its calls by itself; :mod:`tests.sim.tier_b.machine` breaks those.
Nothing is flushed: what loses power here is simulated, and waiting for the disk of the machine below proves nothing.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest
import trio

from tests.sim.tier_b.stepping import get_node_name

FILE_CALLS: Final = ("open", "write", "pwrite", "pread", "ftruncate", "fchmod", "fsync", "replace", "unlink", "mkdir")
TAKES_SPACE: Final = frozenset({"open", "write", "pwrite", "ftruncate", "fsync", "replace", "mkdir"})
"""Calls that can fail for lack of space; any can fail because the disk does."""


@dataclass(slots=True)
class FileCalls:
    """Counts the calls of every node, and lets some fail."""

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    """Every call that failed: whose, which, and how."""
    _planned: dict[str, tuple[int, bool]] = field(default_factory=dict)

    def plan_failure(self, name: str, *, after_calls: int, is_full: bool) -> None:
        """Let a call of a node fail, after so many that succeed; for lack of space, if it is one that takes any.

        A failure that is still to come comes first.
        """
        self._planned.setdefault(name, (after_calls, is_full))

    def forget_failures(self) -> None:
        """Let all calls succeed from now on."""
        self._planned.clear()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Stand between all nodes and their files while the context is open."""
        with pytest.MonkeyPatch.context() as patch:
            for call in FILE_CALLS:
                patch.setattr(os, call, self._wrap(call, getattr(os, call)))
            yield

    def _wrap(self, call: str, perform: Callable[..., object]) -> Callable[..., object]:
        def perform_or_fail(*arguments: object, **options: object) -> object:
            name = get_node_name()
            if name is not None:
                self._count(name, call)
            if call == "fsync":
                return None
            result = perform(*arguments, **options)
            if name is not None and call == "open":
                # Marks are sorted by their age, which must not depend on how fast this machine is.
                moment_ns = round(trio.current_time() * 1e9) + self.counts[name]
                assert isinstance(result, int)
                os.utime(result, ns=(moment_ns, moment_ns))
            return result

        return perform_or_fail

    def _count(self, name: str, call: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        remaining, is_full = self._planned.get(name, (-1, False))
        if remaining > 0:
            self._planned[name] = (remaining - 1, is_full)
        elif remaining == 0:
            del self._planned[name]
            error = errno.ENOSPC if is_full and call in TAKES_SPACE else errno.EIO
            self.failed.append(f"{name}: {call}: {os.strerror(error)}")
            raise OSError(error, os.strerror(error))
