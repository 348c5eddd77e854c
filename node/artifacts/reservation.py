"""Space in the artifact store that is set aside for an artifact to come."""

from collections.abc import Callable
from typing import Self


class Reservation:
    """Space set aside for an artifact to come, until the end of a ``with`` block or until it is released."""

    def __init__(self, size_bytes: int, change_reserved: Callable[[int], None]) -> None:
        """Set the space aside."""
        self._size_bytes = size_bytes
        self._change_reserved = change_reserved
        change_reserved(size_bytes)

    def __enter__(self) -> Self:
        """Return the reservation."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Give the space back."""
        self.release()

    def release(self) -> None:
        """Give the space back; once is enough."""
        self._change_reserved(-self._size_bytes)
        self._size_bytes = 0
