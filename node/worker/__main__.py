"""The worker's entry: ``python -m node.worker PARENT_PID``, started by :mod:`node.learner` and of no use by hand."""

import os
import signal
import sys
from typing import BinaryIO

from node.worker.lifeline import tie_to_parent
from node.worker.serving import serve


def main() -> None:
    """Serve requests until the daemon closes the input or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_to_parent(int(sys.argv[1]))
    requests, replies = _take_streams()
    serve(requests, replies, name="worker")


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return the pipes to the daemon, and leave /dev/null and standard error in their place.

    So a task that prints, or a library that writes to descriptor 1, cannot corrupt the replies.
    """
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


if __name__ == "__main__":
    main()
