"""A disk that refuses to flush: the real store says so, takes no more, and has lost nothing that it reported (C10).

No option of SQLite makes a flush fail, so a few lines of C stand between it and the operating system.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

FLUSHES_TRIED = 30
"""Opening a store takes some, and every batch one or more."""

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>

static int remaining = -1;

void fail_flush_after(int count) { remaining = count; }

static int flush(const char *name, int descriptor) {
    if (remaining == 0) {
        errno = EIO;
        return -1;
    }
    if (remaining > 0) remaining--;
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(descriptor);
}

int fsync(int descriptor) { return flush("fsync", descriptor); }
int fdatasync(int descriptor) { return flush("fdatasync", descriptor); }
"""

FAIL_EVERY_FLUSH_ONCE = """
import ctypes, sys
from pathlib import Path
import trio
from node.errors import DiskFailed, StoreCorrupt
from tests.node.store_homes import get_vote_views, make_store_home

shim = ctypes.CDLL(None)

async def live(home):
    reported = []
    try:
        store = home.open_store()
        store.load()
        blocks = home.make_blocks()
        for view in range(1_001, 1_007):
            await store.append([home.make_vote(view), *([blocks.pop(0)] if blocks else [])])
            reported.append(view)
        await store.save_snapshot(home.builder.state)
    except (StoreCorrupt, DiskFailed):
        return reported, True
    return reported, False

for flushes in range(int(sys.argv[2])):
    root = Path(sys.argv[1]) / str(flushes)
    root.mkdir()
    home = make_store_home(root)
    shim.fail_flush_after(flushes)
    reported, has_failed = trio.run(live, home)
    shim.fail_flush_after(-1)
    home.close_all()
    views = get_vote_views(home.open_store())
    assert views[: len(reported)] == reported, (flushes, views, reported)
    assert len(views) <= len(reported) + 1, (flushes, views, reported)
    home.close_all()
    print(flushes, len(reported), has_failed)
"""

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    compiler = sysconfig.get_config_var("CC").split()[0]
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return library


def test_no_vote_that_was_reported_is_lost_by_a_flush_that_fails(shim: Path, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", FAIL_EVERY_FLUSH_ONCE, str(tmp_path), str(FLUSHES_TRIED)],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    outcomes = [line.split() for line in finished.stdout.splitlines()]
    reported = [int(count) for _, count, _ in outcomes]
    assert len(outcomes) == FLUSHES_TRIED
    assert reported == sorted(reported)
    assert {0, 1, 2, 3, 4, 5, 6} <= set(reported), "a flush of each batch has failed"
    assert outcomes[0][2] == "True"
    assert outcomes[-1][2] == "False"
