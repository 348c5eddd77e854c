"""Makes a TCP socket deaf to the other end, as a cut cable does: packets are dropped before TCP sees them.

A classic packet filter on the socket (socket(7), SO_ATTACH_FILTER) that lets nothing through. The other end gets no
acknowledgement, no reset and, from a listening socket, no answer to its SYN; once the filter is gone, TCP's own
retransmission brings back what was not lost for good. Some kernels want CAP_NET_ADMIN for it.
"""

import ctypes
import socket
import struct
from typing import Final, Protocol

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_RETURN: Final = 0x06
"""The filter's one instruction, BPF_RET | BPF_K: accept so many bytes of the packet, here none."""

_instruction: Final = ctypes.create_string_buffer(struct.pack("=HBBI", _RETURN, 0, 0, 0))
_DROP_ALL: Final = struct.pack("@HP", 1, ctypes.addressof(_instruction))


class OptionSocket(Protocol):
    """A socket, trio's or the standard library's."""

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        """Set a socket option."""
        ...


def can_drop_packets() -> bool:
    """Return whether this process may make sockets deaf."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            drop_packets(probe)
        except OSError:
            return False
    return True


def drop_packets(deaf: OptionSocket) -> None:
    """Drop whatever arrives for a socket from now on.

    Raises:
        OSError: The kernel does not let us.
    """
    deaf.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _DROP_ALL)


def pass_packets(deaf: OptionSocket) -> None:
    """Let a socket hear again."""
    deaf.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
