"""When a view is given up: one timer, armed only while there is something to decide (C4, C11, C12)."""

from protocol.parameters import Parameters
from protocol.units import Millis


class Pacemaker:
    """The timer of the current view, and how long its timeout is by now."""

    def __init__(self, parameters: Parameters) -> None:
        """Start unarmed, with the shortest timeout."""
        self._parameters = parameters
        self._timer_ms: Millis | None = None
        self._repeats = 0
        self.failures = 0
        """Views since the last block became final that were nullified, or that this node had given up."""

    @property
    def timer_ms(self) -> Millis | None:
        """When the view's timer runs out, if it is armed."""
        return self._timer_ms

    def compute_timeout_ms(self) -> Millis:
        """Return the current timeout: doubled per failed view and per repeat, reset on finality only (C11)."""
        doubled = self._parameters.timeout_view_ms << min(self.failures + self._repeats, 16)
        return Millis(min(doubled, self._parameters.timeout_view_max_ms))

    def compute_push_ms(self) -> Millis | None:
        """Return when half of the armed timeout has passed, the time to push a notarized block to finality."""
        return None if self._timer_ms is None else Millis(self._timer_ms - self.compute_timeout_ms() // 2)

    def is_armed(self) -> bool:
        """Return whether the timer runs."""
        return self._timer_ms is not None

    def is_due(self, now_ms: Millis) -> bool:
        """Return whether the timer has run out.

        One that is further away than it was ever set has been set by a clock that was put back since: it would keep the
        node waiting for as long as that clock had been ahead.
        """
        if self._timer_ms is None:
            return False
        return not now_ms < self._timer_ms <= now_ms + self.compute_timeout_ms()

    def arm(self, now_ms: Millis) -> None:
        """Start the timer."""
        self._timer_ms = Millis(now_ms + self.compute_timeout_ms())

    def disarm(self) -> None:
        """Stop the timer."""
        self._timer_ms = None

    def on_timeout(self) -> None:
        """Note that the same view has run out once more."""
        self._timer_ms = None
        self._repeats += 1

    def on_view_entered(self) -> None:
        """A new view begins unarmed."""
        self._timer_ms = None
        self._repeats = 0

    def on_finalized(self) -> None:
        """Progress: back to the shortest timeout."""
        self._timer_ms = None
        self._repeats = 0
        self.failures = 0
