"""What the shell's tests put in place of the engine, the worker and the clock, and builders around them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from node.errors import WorkerFailed
from node.ports import Candidate, Training
from protocol.chunks import ArtifactHasher
from protocol.interface import Effect, Input
from protocol.learning.artifact_format import (
    compute_model_header,
    compute_model_size_bytes,
    compute_update_header,
    compute_update_size_bytes,
)
from protocol.ledger.state import LedgerState
from protocol.units import Millis, Ppm
from tests.helpers import SCHEMA


@dataclass(slots=True)
class TrioClock:
    """Implements the Clock port on trio's time, which a mock clock makes virtual."""

    origin_ms: int = 1_700_000_000_000
    shift_ms: int = 0
    """By how much somebody has set the wall clock meanwhile."""

    def get_now_ms(self) -> Millis:
        """See the port."""
        return Millis(self.origin_ms + self.shift_ms + round(trio.current_time() * 1_000))


@dataclass(slots=True)
class ScriptedCore:
    """A core that answers each input as the test says, and remembers when it came."""

    state: LedgerState
    answer: Callable[[Input], list[Effect]]
    first: list[Effect] = field(default_factory=list)
    handled: list[tuple[Input, Millis]] = field(default_factory=list)

    def start(self, now_ms: Millis) -> list[Effect]:
        """See Core."""
        return self.first

    def handle(self, event: Input, now_ms: Millis) -> list[Effect]:
        """See Core."""
        self.handled.append((event, now_ms))
        return self.answer(event)


@dataclass(slots=True)
class FakeLearner:
    """Implements the Learner port with bytes of the right shape, as long and as badly as the test wants."""

    takes_s: float = 0.0
    failure: str = ""
    """Not empty makes everything fail with this reason."""
    score: Ppm = Ppm(900_000)
    calls: list[str] = field(default_factory=list)
    bases: list[Path | None] = field(default_factory=list)
    """Beside what the models were to be scored."""

    async def train(self, *, round_number: int, base: Path, update: Path) -> Training:
        """See the port."""
        await self._work("train")
        update.write_bytes(make_update_bytes(round_number))
        return Training(scale_exponents=(-16, -16), example_count=7, train_ms=Millis(1))

    async def aggregate(
        self, *, base: Path, updates: Sequence[tuple[Path, tuple[int, ...]]], candidate: Path
    ) -> Candidate:
        """See the port."""
        await self._work("aggregate")
        for path in (base, *(path for path, _ in updates)):
            assert path.is_file()
        content = make_model_bytes(len(updates))
        candidate.write_bytes(content)
        hasher = ArtifactHasher()
        hasher.update(content)
        return Candidate(digest=hasher.finish()[0])

    async def evaluate(self, *, model: Path, base: Path | None = None) -> Ppm:
        """See the port."""
        await self._work("evaluate")
        assert model.is_file()
        assert base is None or base.is_file()
        self.bases.append(base)
        return self.score

    async def screen(self, *, base: Path, update: Path, scale_exponents: tuple[int, ...]) -> Ppm:
        """See the port."""
        await self._work("screen")
        assert base.is_file()
        assert update.is_file()
        return self.score

    async def _work(self, call: str) -> None:
        self.calls.append(call)
        await trio.sleep(self.takes_s)
        if self.failure:
            raise WorkerFailed(self.failure)


def make_model_bytes(number: int) -> bytes:
    """Return a model artifact of the test schema whose tensors depend on a number."""
    header = compute_model_header(SCHEMA)
    return header + bytes([number % 256]) * (compute_model_size_bytes(SCHEMA) - len(header))


def make_update_bytes(number: int) -> bytes:
    """Return an update artifact of the test schema whose tensors depend on a number."""
    header = compute_update_header(SCHEMA)
    return header + bytes([number % 256]) * (compute_update_size_bytes(SCHEMA) - len(header))
