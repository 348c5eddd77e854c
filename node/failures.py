"""Finds the one error that matters in what a nursery raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from node.errors import NodeError
from protocol.errors import InvariantViolation, ProtocolError


@contextmanager
def raise_cause() -> Iterator[None]:
    """Turn an exception group into its most telling member, if that is an error of ours; others pass as they are.

    A bug of ours comes before what it may have caused elsewhere.

    Raises:
        InvariantViolation: The group holds one.
        NodeError: The group holds one, and none of the former.
        ProtocolError: The group holds one, and none of the former.
        KeyboardInterrupt: The group holds one, and none of the former: Ctrl-C is no error of anybody's.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        for kind in (InvariantViolation, NodeError, ProtocolError, KeyboardInterrupt):
            cause = _find(group, kind)
            if cause is not None:
                raise cause from group
        raise


def _find(group: BaseExceptionGroup[BaseException], kind: type[BaseException]) -> BaseException | None:
    for error in group.exceptions:
        found = _find(error, kind) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, kind):
            return found
    return None
