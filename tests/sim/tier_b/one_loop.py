"""One trio loop in virtual time whose every run is the same: seeded order, and budgets against standing still.

Trio draws at random in which order the tasks of one instant run. Here the draw is seeded, and deadlines that fall on
one instant wake their tasks in the order of their creation. A network that waits for ever keeps polling, so virtual
time runs on and its budget ends the run; one that is busy without time ever moving is ended by the budget of steps.
"""

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import pytest
import trio
from trio.testing import MockClock

T = TypeVar("T")

STEPS_PER_INSTANT_MAX: Final = 20_000
"""Far more steps than tasks ever take between two movements of the virtual clock."""


class TimeIsUp(AssertionError):
    """What should have happened did not, by the virtual deadline."""


class StandingStill(AssertionError):
    """Tasks kept running without virtual time moving on."""


@dataclass(slots=True, eq=False)
class StepBudget(trio.abc.Instrument):
    """Ends a run in which too many steps are taken at one instant."""

    scope: trio.CancelScope
    steps_max: int = STEPS_PER_INSTANT_MAX
    steps: int = 0
    instant_s: float = -1.0
    is_spent: bool = False

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step."""
        now_s = trio.current_time()
        if now_s != self.instant_s:
            self.instant_s, self.steps = now_s, 0
        self.steps += 1
        if self.steps > self.steps_max and not self.is_spent:
            self.is_spent = True
            self.scope.cancel()


@contextmanager
def seeded_order(seed: int) -> Iterator[None]:
    """Make the order in which trio runs the tasks of one instant a function of the seed, while the context is open."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", True)
        patch.setattr("trio._core._run._r", random.Random(f"order-{seed}"))
        yield


def run_virtual(
    main: Callable[[], Awaitable[T]],
    *,
    seed: int,
    virtual_s_max: float,
    steps_per_instant_max: int = STEPS_PER_INSTANT_MAX,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run an async function to its end in virtual time.

    Raises:
        TimeIsUp: It took longer than ``virtual_s_max`` on the virtual clock.
        StandingStill: It took more than ``steps_per_instant_max`` steps without the virtual clock moving.
    """
    scope = trio.CancelScope()
    budget = StepBudget(scope, steps_per_instant_max)

    async def run_bounded() -> T:
        scope.deadline = trio.current_time() + virtual_s_max
        with scope:
            return await main()
        if budget.is_spent:
            raise StandingStill(f"{budget.steps} steps at {budget.instant_s:.3f} s")
        raise TimeIsUp(f"not done after {virtual_s_max} virtual seconds")

    clock = MockClock(autojump_threshold=0)
    with seeded_order(seed):
        return trio.run(run_bounded, clock=clock, instruments=[budget, *instruments])
