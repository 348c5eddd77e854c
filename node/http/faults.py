"""How a mistake in a page, or in the libraries below it, ends with the connection that met it.

Whoever may ask for a page is a stranger, and a member that stops is slashed for its silence. So what goes wrong while
answering is logged as our mistake and goes no further.
"""

from types import TracebackType
from typing import Self

import structlog

_log = structlog.get_logger("http")


class page_faults:  # noqa: N801 - reads as a statement: with page_faults("answer")
    """Log any error of the enclosed answer and end it there; cancellation passes."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self.has_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.has_failed = True
        _log.error("page_failed", doing=self._doing, error=type(error).__name__, reason=str(error), exc_info=error)
        return True
