"""A rank's entry: ``python -m node.worker.rank NAME``, started by a launcher that :mod:`node.worker.crew` starts.

A rank is a worker of the worker: it serves the same requests over a socket of that name. It ends when the worker's end
of the socket closes, and when the launcher dies, whichever it notices first (:mod:`node.worker.lifeline`).
"""

import os
import signal
import socket
import struct
import sys

from node.worker.lifeline import end_process_group, tie_to_parent
from node.worker.serving import serve


def main() -> None:
    """Serve requests until the worker or the launcher ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_to_parent(os.getppid())
    worker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        worker.connect(f"\0{sys.argv[1]}")
        if not is_own_user(worker):
            end_process_group()
    except OSError:
        end_process_group()
    serve(worker.makefile("rb"), worker.makefile("wb"), name=f"rank {os.environ.get('RANK', '?')}")


def is_own_user(connection: socket.socket) -> bool:
    """Return whether this user's process is at the other end: nothing else guards the socket's name."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.getuid())


if __name__ == "__main__":
    main()
