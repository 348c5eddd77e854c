"""Serves one peer's requests until it is gone: what a worker and its ranks have in common.

The main thread reads requests and notices the end of input, even while a task computes; one other thread does the work.
"""

import gc
import logging
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn

from node.tasks.interface import TaskError
from node.worker.lifeline import end_process_group
from node.worker.messages import (
    RankFailed,
    Reply,
    RequestFailed,
    SetupError,
    decode_request,
    encode_reply,
    read_frame,
)

if TYPE_CHECKING:
    from node.worker.service import Service

_MESSAGE_CHARACTERS_MAX: Final = 2_000

_log = logging.getLogger("node.worker")


def serve(requests: BinaryIO, replies: BinaryIO, *, name: str) -> NoReturn:
    """Serve requests until the peer closes its end or dies; then end this process, and all that its task has started.

    Args:
        requests: Frames come in here.
        replies: Frames go out here.
        name: How this process signs what it logs.
    """
    logging.basicConfig(stream=sys.stderr, format=f"{name}: %(message)s")
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="task")
    while (payload := read_frame(requests)) is not None:
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


def _answer(done: Future[Reply], replies: BinaryIO) -> None:
    error = done.exception()
    if error is None:
        reply = done.result()
    else:
        # An error of ours says it all, and goes to whoever asked; of all else the log keeps where it came from.
        if not isinstance(error, TaskError | SetupError | RankFailed):
            _log.error("a request failed", exc_info=error)
        reply = RequestFailed(kind=type(error).__name__, message=_format_message(error))
    replies.write(encode_reply(reply))
    replies.flush()


def _format_message(error: BaseException) -> str:
    """Return the error's message as one line of valid text, whatever the task has put in it."""
    line = " ".join(str(error).split())[:_MESSAGE_CHARACTERS_MAX]
    return line.encode("utf-8", "replace").decode("utf-8")
