"""Errors of the shell: what an operator can do something about.

Each class carries the exit code that the command line ends with when the error reaches it.
"""

from typing import ClassVar


class NodeError(Exception):
    """Something outside the protocol went wrong; the message says what to do next."""

    exit_code: ClassVar[int] = 69


class ConfigError(NodeError):
    """The configuration, the home or the genesis document is wrong."""

    exit_code: ClassVar[int] = 64


class StoreCorrupt(NodeError):
    """The database or an artifact on disk does not hold what it should."""

    exit_code: ClassVar[int] = 65


class DiskFull(NodeError):
    """Nothing more can be written; the node stops before anything is lost."""

    exit_code: ClassVar[int] = 74


class DiskFailed(NodeError):
    """A file can be neither read nor written, though there is space."""

    exit_code: ClassVar[int] = 74


class HomeLocked(NodeError):
    """Another daemon already runs on this home."""

    exit_code: ClassVar[int] = 75


class AddressUnavailable(NodeError):
    """A listen address is taken or not of this machine."""

    exit_code: ClassVar[int] = 76


class PeerUnreachable(NodeError):
    """A request to a peer failed: not connected, too slow, refused, or cut short."""


class PeerMisbehaved(NodeError):
    """A peer answered with something that breaks the stream protocol or a limit."""


class WorkerFailed(NodeError):
    """The worker process died, hung past its deadline, or its task raised."""

    exit_code: ClassVar[int] = 70


class StillPending(NodeError):
    """An operation is not final yet; it stays pending, whoever waits for it."""

    exit_code: ClassVar[int] = 75


class DaemonUnreachable(NodeError):
    """No daemon answers on the home's control socket."""

    exit_code: ClassVar[int] = 69
