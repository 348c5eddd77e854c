"""The worker's entry: ``python -m node.worker PARENT_PID``, started by :mod:`node.learner` and of no use by hand.

The main thread reads requests and notices the end of input, even while a task computes; one other thread does the work.
"""

import gc
import logging
import os
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, Final

from node.tasks.interface import TaskError
from node.worker.lifeline import end_process_group, tie_to_parent
from node.worker.messages import (
    FRAME_BYTES_MAX,
    FRAME_LENGTH_BYTES,
    Reply,
    RequestFailed,
    decode_request,
    encode_reply,
)

if TYPE_CHECKING:
    from node.worker.service import Service

_MESSAGE_CHARACTERS_MAX: Final = 2_000

_log = logging.getLogger("node.worker")


def main() -> None:
    """Serve requests until the daemon closes the input or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_to_parent(int(sys.argv[1]))
    requests, replies = _take_streams()
    logging.basicConfig(stream=sys.stderr, format="worker: %(message)s")
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="task")
    while (payload := _read_frame(requests)) is not None:
        # A future keeps whatever the task raises, even SystemExit, and the thread lives on.
        executor.submit(_handle, payload).add_done_callback(lambda done: _answer(done, replies))
    end_process_group()


@cache
def _get_service() -> "Service":
    # Importing torch takes seconds, during which the main thread must already watch the input.
    # What an import makes stays for good: not looking for garbage meanwhile, or later in it, saves a tenth of the time.
    gc.disable()
    from node.worker.service import Service  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    return Service()


def _handle(payload: bytes) -> Reply:
    return _get_service().handle(decode_request(payload))


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


def _read_frame(requests: BinaryIO) -> bytes | None:
    header = requests.read(FRAME_LENGTH_BYTES)
    length = int.from_bytes(header, "little")
    if len(header) < FRAME_LENGTH_BYTES or length > FRAME_BYTES_MAX:
        return None
    payload = requests.read(length)
    return payload if len(payload) == length else None


def _answer(done: Future[Reply], replies: BinaryIO) -> None:
    error = done.exception()
    if error is None:
        reply = done.result()
    else:
        # A TaskError's message says it all, and goes to whoever asked; of all else the log keeps where it came from.
        if not isinstance(error, TaskError):
            _log.error("a request failed", exc_info=error)
        reply = RequestFailed(kind=type(error).__name__, message=_format_message(error))
    replies.write(encode_reply(reply))
    replies.flush()


def _format_message(error: BaseException) -> str:
    """Return the error's message as one line of valid text, whatever the task has put in it."""
    line = " ".join(str(error).split())[:_MESSAGE_CHARACTERS_MAX]
    return line.encode("utf-8", "replace").decode("utf-8")


if __name__ == "__main__":
    main()
