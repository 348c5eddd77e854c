"""Counts the steps that a node's tasks take, and does something at one of them: at any await, between any two effects.

A task belongs to the node in whose context it was started; trio hands the context on to every task that it starts.
"""

from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

import trio

NODE: ContextVar[str] = ContextVar("NODE")
"""The name of the node that a task belongs to."""


def get_node_name() -> str | None:
    """Return whose task runs now."""
    return NODE.get(None)


def get_task_owner(task: trio.lowlevel.Task) -> str | None:
    """Return whose task this is."""
    return task.context.get(NODE)


@dataclass(slots=True, eq=False)
class Interrupter(trio.abc.Instrument):
    """Does something to a node when its tasks have taken a number of steps more."""

    _armed: dict[str, tuple[int, Callable[[], None]]] = field(default_factory=dict)

    def arm(self, name: str, *, steps: int, action: Callable[[], None]) -> None:
        """Wait for so many steps of a node."""
        self._armed[name] = (steps, action)

    def disarm(self) -> None:
        """Leave everybody alone."""
        self._armed.clear()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step."""
        if not self._armed:
            return
        name = get_task_owner(task)
        if name is None or name not in self._armed:
            return
        steps, action = self._armed.pop(name)
        if steps > 1:
            self._armed[name] = (steps - 1, action)
        else:
            action()


@dataclass(slots=True, eq=False)
class Census(trio.abc.Instrument):
    """Knows how many tasks of each kind every node has, and had at most."""

    alive: Counter[tuple[str, str]] = field(default_factory=Counter)
    most: dict[tuple[str, str], int] = field(default_factory=dict)

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Count a task."""
        name = get_task_owner(task)
        if name is not None:
            key = (name, task.name)
            self.alive[key] += 1
            self.most[key] = max(self.most.get(key, 0), self.alive[key])

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Count it no more."""
        name = get_task_owner(task)
        if name is not None:
            self.alive[name, task.name] -= 1
