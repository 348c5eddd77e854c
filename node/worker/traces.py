"""What a dry round sees of a training: the rows that went through the model, and the weights that came of it.

A rank, which trains in a process of its own, leaves its trace in a file.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch

from node.worker.models import ModelTensors
from protocol.learning.artifact_format import ModelSchema

ROWS_MAX: Final = 100_000
"""Rows that are remembered of one process, by their hashes."""

_ROW_BYTES: Final = 16
_WEIGHTS_BYTES: Final = 32


@dataclass(slots=True)
class Rows:
    """Hashes of the rows that went through a model."""

    seen: set[bytes] = field(default_factory=set)

    def note(self, _module: torch.nn.Module, inputs: tuple[object, ...]) -> None:
        """Take what the model is called with; the first axis counts examples."""
        for tensor in inputs:
            if isinstance(tensor, torch.Tensor) and tensor.dim() > 1:
                for row in tensor.detach().cpu():
                    if len(self.seen) >= ROWS_MAX:
                        return
                    content = row.contiguous().numpy().tobytes()
                    self.seen.add(hashlib.blake2b(content, digest_size=_ROW_BYTES).digest())


@dataclass(frozen=True, slots=True)
class Trace:
    """What one process trained on, and to what."""

    weights: bytes
    """A hash of the trainable tensors."""
    rows: frozenset[bytes]


@contextmanager
def watch(model: torch.nn.Module, rows: Rows) -> Iterator[None]:
    """Note what a model is called with while the block runs."""
    handle = model.register_forward_pre_hook(rows.note)
    try:
        yield
    finally:
        handle.remove()


def make_trace(rows: Rows, tensors: ModelTensors, schema: ModelSchema) -> Trace:
    """Return the trace of a training that has just ended."""
    hasher = hashlib.blake2b(digest_size=_WEIGHTS_BYTES)
    for spec in schema.tensors:
        if spec.is_trainable:
            hasher.update(tensors.get_tensor(spec.name).tobytes())
    return Trace(weights=hasher.digest(), rows=frozenset(rows.seen))


def save_trace(path: Path, trace: Trace) -> None:
    """Write a trace, for the worker that asked for it."""
    path.write_bytes(trace.weights + b"".join(sorted(trace.rows)))


def load_trace(path: Path) -> Trace:
    """Read what :func:`save_trace` wrote."""
    content = path.read_bytes()
    rows = (content[start : start + _ROW_BYTES] for start in range(_WEIGHTS_BYTES, len(content), _ROW_BYTES))
    return Trace(weights=content[:_WEIGHTS_BYTES], rows=frozenset(rows))
