"""Files that are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from node.durable import discard_file, save_file
from node.errors import DiskFailed, DiskFull, NodeError


def test_a_file_gets_its_content_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    save_file(path, b"content", mode=0o600)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    save_file(path, b"old, and longer than the new one")
    save_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_does_not_depend_on_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        save_file(tmp_path / "file", b"content", mode=0o640)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, DiskFailed)]
)
def test_a_failed_write_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[NodeError]
) -> None:
    path = tmp_path / "file"
    save_file(path, b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(expected) as caught:
        save_file(path, b"new")
    assert type(caught.value) is expected
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiskFailed, match="No such file or directory"):
        save_file(tmp_path / "nowhere" / "file", b"content")


def test_a_file_that_cannot_be_removed_stops_nobody(tmp_path: Path) -> None:
    """What is a directory cannot be unlinked, whoever one is."""
    (tmp_path / "file").mkdir()
    discard_file(tmp_path / "file")
    discard_file(tmp_path / "nowhere")
    assert (tmp_path / "file").is_dir()
