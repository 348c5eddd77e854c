"""`pnyx watch` on a terminal, which is a pseudo-terminal here."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from node.json_values import get_object
from node.testnet import NodeSpec, open_testnet
from tests.e2e.networks import copy_homes, wait_rounds

WAIT_S = 120.0
ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
A_DUTY = re.compile("proposer|voter|draw")
AN_ENDED_ROUND = re.compile(r"^ *(\d+)  . (?:accept|reject|void)", re.MULTILINE)
ENTER_SCREEN, LEAVE_SCREEN, SHOW_CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"

TAKE_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "cli", *sys.argv[1:]])
"""
"""Makes the terminal the one from which Ctrl-C comes, heeds it even if the tests do not, and becomes the command."""


@dataclass
class Terminal:
    """A pseudo-terminal, and the command that runs in it."""

    descriptor: int
    process: "subprocess.Popen[bytes]"
    written: bytes = b""

    @property
    def last_screen(self) -> str:
        """The last frame drawn in full, without its colours: what follows the last way home may be half a frame."""
        frame = self.written.rpartition(b"\x1b[H")[0].rpartition(b"\x1b[H")[2]
        return ESCAPE.sub(b"", frame).decode(errors="replace")

    def read_some(self) -> None:
        if select.select([self.descriptor], [], [], 0.2)[0]:
            try:
                self.written += os.read(self.descriptor, 65_536)
            except OSError:
                # The other end is closed: the command has ended.
                time.sleep(0.05)

    def wait_for(self, holds: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not holds(self.last_screen):
            assert time.monotonic() < deadline, self.written[-4_000:]
            assert self.process.poll() is None, self.written[-4_000:]
            self.read_some()

    def wait_ended(self) -> int:
        deadline = time.monotonic() + WAIT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.written[-4_000:]
            self.read_some()
        self.read_some()
        return self.process.returncode


@contextmanager
def open_terminal(*arguments: str) -> Iterator[Terminal]:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))

    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def follow_two_rounds(home: Path) -> Terminal:
    """Watch until a round comes that was not there at first, and end it with Ctrl-C."""
    with open_terminal("watch", "--home", str(home)) as terminal:
        terminal.wait_for(lambda screen: "✓ quorum: 2 of 2 online" in screen)
        terminal.wait_for(lambda screen: A_DUTY.search(screen) is not None)
        terminal.wait_for(lambda screen: AN_ENDED_ROUND.search(screen) is not None)
        seen = max(map(int, AN_ENDED_ROUND.findall(terminal.last_screen)))
        terminal.wait_for(lambda screen: re.search(rf"^ *{seen + 2}  . ", screen, re.MULTILINE) is not None)
        os.write(terminal.descriptor, b"\x03")
        assert terminal.wait_ended() == 0
        return terminal


@pytest.mark.timeout(400)
async def test_the_screen_follows_the_rounds_and_leaves_the_terminal_as_it_was(
    pair: tuple[NodeSpec, ...], tmp_path: Path
) -> None:
    async with open_testnet(copy_homes(pair, tmp_path)) as testnet:
        testnet.start_all()
        for node in testnet.nodes:
            await node.wait_ready()
        first, second = testnet.nodes
        await wait_rounds(first, 1)
        terminal = await trio.to_thread.run_sync(follow_two_rounds, first.home)
        assert ENTER_SCREEN in terminal.written
        assert terminal.written.rfind(LEAVE_SCREEN) > terminal.written.rfind(ENTER_SCREEN)
        assert terminal.written.rfind(SHOW_CURSOR) > terminal.written.rfind(b"\x1b[?25l")
        assert b"Traceback" not in terminal.written
        assert get_object(await first.ask("status"))["is_voting"] is True

        await second.stop()

        def watch_alone() -> Terminal:
            with open_terminal("watch", "--home", str(first.home)) as lonely:
                lonely.wait_for(lambda screen: "✗ no quorum: 1 of 2 online" in screen and "✗ away" in screen)
                assert first.pid is not None
                os.kill(first.pid, signal.SIGTERM)
                lonely.wait_ended()
                return lonely

        ended = await trio.to_thread.run_sync(watch_alone)
        assert ended.process.returncode == 69
        assert b"the daemon" in ended.written.rpartition(LEAVE_SCREEN)[2]
        assert b"Traceback" not in ended.written
