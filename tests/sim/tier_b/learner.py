"""A learner for simulated networks: artifacts of hashes instead of tensors, equal inputs giving equal bytes."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from node.errors import WorkerFailed
from node.ports import Candidate, Training
from protocol.chunks import ArtifactHasher
from protocol.learning.artifact_format import (
    ModelSchema,
    compute_model_header,
    compute_model_size_bytes,
    compute_update_header,
    compute_update_size_bytes,
    get_trainable_tensors,
)
from protocol.units import Digest, MemberId, Millis, Ppm

SCALE_EXPONENT: Final = -16


def make_first_model(schema: ModelSchema) -> bytes:
    """Return the initial model of a network."""
    return _fill(compute_model_header(schema), compute_model_size_bytes(schema), b"first")


def compute_artifact_name(content: bytes) -> Digest:
    """Return the digest that an artifact of these bytes goes by."""
    hasher = ArtifactHasher()
    hasher.update(content)
    return hasher.finish()[0]


@dataclass(slots=True, kw_only=True)
class HashLearner:
    """Implements the Learner port; every model is about as good as the one before."""

    schema: ModelSchema
    member: MemberId
    random: random.Random
    work_s_max: float = 0.6
    failure_share: float = 0.0
    """How often the worker dies in the middle of something."""

    async def train(self, *, round_number: int, base: Path, update: Path) -> Training:
        """See the port."""
        await self._work()
        parts = (_hash_file(base), self.member, round_number.to_bytes(8, "big"))
        header, size_bytes = compute_update_header(self.schema), compute_update_size_bytes(self.schema)
        update.write_bytes(_fill(header, size_bytes, *parts))
        exponents = tuple(SCALE_EXPONENT for _ in get_trainable_tensors(self.schema))
        return Training(scale_exponents=exponents, example_count=1, train_ms=Millis(1))

    async def aggregate(
        self, *, base: Path, updates: Sequence[tuple[Path, tuple[int, ...]]], candidate: Path
    ) -> Candidate:
        """See the port."""
        await self._work()
        parts = (_hash_file(base), *(_hash_file(path) for path, _ in updates))
        content = _fill(compute_model_header(self.schema), compute_model_size_bytes(self.schema), *parts)
        candidate.write_bytes(content)
        return Candidate(digest=compute_artifact_name(content))

    async def evaluate(self, *, model: Path, base: Path | None = None) -> Ppm:
        """See the port."""
        await self._work()
        jitter = int.from_bytes(hashlib.sha256(_hash_file(model) + self.member).digest()[:2], "big") % 10_000
        return Ppm(600_000 + jitter)

    async def screen(self, *, base: Path, update: Path, scale_exponents: tuple[int, ...]) -> Ppm:
        """See the port."""
        await self._work()
        parts = (_hash_file(base), _hash_file(update), repr(scale_exponents).encode(), self.member)
        jitter = int.from_bytes(hashlib.sha256(b"|".join(parts)).digest()[:2], "big") % 10_000
        return Ppm(600_000 + jitter)

    async def _work(self) -> None:
        await trio.sleep(self.random.random() * self.work_s_max)
        if self.random.random() < self.failure_share:
            raise WorkerFailed("the simulated worker died")


def _fill(header: bytes, size_bytes: int, *parts: bytes) -> bytes:
    return header + hashlib.shake_128(b"|".join(parts)).digest(size_bytes - len(header))


def _hash_file(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
