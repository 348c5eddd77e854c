"""Writing files so that a crash leaves the old content or the new one, never half of it."""

import errno
import os
from pathlib import Path
from typing import Final, NoReturn

import structlog

from node.errors import DiskFailed, DiskFull, NodeError

_NOT_OURS: Final = "give the home and all in it to the user that runs the node (chown -R), and let it write (chmod)"
_ADVICE: Final = {
    errno.EROFS: "its file system is mounted read-only; mount it for writing",
    errno.EACCES: _NOT_OURS,
    errno.EPERM: _NOT_OURS,
}

_log = structlog.get_logger(__name__)


def save_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file durably and in one step: a temporary file beside it, fsync, rename, fsync of the directory.

    Raises:
        DiskFull: There is no space left; the old content is untouched.
        DiskFailed: The disk failed; the content is the old one or the new one.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            os.fchmod(descriptor, mode)
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        discard_file(temporary)
        raise_for_os_error(error, path)


def discard_file(path: Path) -> None:
    """Remove a file that nobody needs; one that cannot be removed takes space and does no other harm."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("file_not_removed", path=str(path), reason=error.strerror)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def raise_for_os_error(error: OSError, path: Path) -> NoReturn:
    """Raise what a failed file operation means to an operator; see :func:`explain_os_error`."""
    raise explain_os_error(error, path) from error


def explain_os_error(error: OSError, path: Path) -> NodeError:
    """Return what a failed file operation means to an operator: DiskFull, also for a quota, or else DiskFailed."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"no space left to write {path}: free some space on that disk, then start the node again")
    advice = _ADVICE.get(error.errno or 0, "check the disk and whose files these are")
    return DiskFailed(f"{path}: {error.strerror or error}: {advice}")


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
