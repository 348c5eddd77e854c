"""All members' training in one process: the worker's work for a simulation, with every artifact in memory.

Models and updates have the bytes, and so the digests, that the members' workers would write to disk
(:mod:`node.worker.artifacts`); they are kept as arrays, and equal work is done once. Each member has its own task, with
its own data; one module computes for all of them.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from node.tasks.interface import Task, TaskError
from node.tasks.loading import load_task_class
from node.worker.messages import LoadTask
from node.worker.models import ModelTensors, describe_model
from node.worker.scoring import compute_score_beside_base, compute_score_ppm
from node.worker.service import build_context
from protocol.aggregation.candidate import compute_candidate
from protocol.aggregation.fixed_point import (
    FixedPoint,
    NotFiniteError,
    compute_magnitude,
    compute_scale_exponent,
    encode_update,
)
from protocol.aggregation.products import ProductSums
from protocol.aggregation.rules import RULES_OF_WHOLE_UPDATES, make_recipe
from protocol.chunks import ArtifactHasher
from protocol.interface import UpdateReference
from protocol.learning.artifact_format import (
    ModelSchema,
    compute_model_header,
    compute_parameter_count,
    compute_update_header,
)
from protocol.units import Digest, Ppm, Round

Weights: TypeAlias = NDArray[np.float32]
"""All tensors of a model, one after the other in schema order, float32 [parameters]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """An update artifact's content."""

    tensors: tuple[NDArray[np.int16], ...]
    """int16 [parameters] for each trainable tensor, in schema order."""
    scale_exponents: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a manifest says of an update."""

    digest: Digest
    size_bytes: int
    scale_exponents: tuple[int, ...]


class Laboratory:
    """The tasks of all members, and all models and updates that are still needed."""

    def __init__(self, load: LoadTask) -> None:
        """Load every member's task.

        Args:
            load: As each worker gets it; the member's index is put in here, one after the other.

        Raises:
            TaskError: The task is missing or wrong, or its data cannot be dealt.
        """
        torch.set_num_threads(load.thread_count)
        task_class = load_task_class(load.task)
        self.tasks: list[Task] = [
            task_class(build_context(replace(load, member_index=index))) for index in range(load.member_count)
        ]
        self.device = torch.device(load.device)
        self._model = self.tasks[0].build_model().to(self.device)
        self.schema: ModelSchema = describe_model(self._model)
        self._tensors = ModelTensors(self._model, self.schema)
        self._choice = load.aggregation
        counts = [compute_parameter_count(spec) for spec in self.schema.tensors]
        ends = list(accumulate(counts))
        self._slices = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
        self._trainable = [
            part for part, spec in zip(self._slices, self.schema.tensors, strict=True) if spec.is_trainable
        ]
        self._models: dict[Digest, Weights] = {}
        self._updates: dict[Digest, Update] = {}
        self._candidates: dict[tuple[Digest, tuple[UpdateReference, ...]], Digest] = {}
        self._moved: dict[tuple[Digest, UpdateReference], Weights] = {}
        """What single updates make of a base, which no artifact holds."""
        self._scores: dict[tuple[int, Digest], Ppm] = {}
        self.train_s = 0.0
        """How long training has taken so far, and below it the rest of the work."""
        self.evaluate_s = 0.0
        self.aggregate_s = 0.0
        self.initial_digest = self._add_model(self._read_module())

    def train(self, member: int, round_number: Round, base: Digest) -> tuple[Weights, int]:
        """Return what a member's training makes of a model, and how many examples it used."""
        started = time.perf_counter()
        self._load_module(self._models[base])
        report = self.tasks[member].train(self._model, round=round_number, device=self.device)
        trained = self._read_module()
        self.train_s += time.perf_counter() - started
        return trained, max(0, int(report.example_count))

    def publish(self, base: Digest, trained: Weights) -> Published:
        """Make an update artifact of a trained model (F4).

        Raises:
            TaskError: The trained model holds NaN or infinity.
        """
        weights = self._models[base]
        exponents: list[int] = []
        tensors: list[NDArray[np.int16]] = []
        for part in self._trainable:
            try:
                exponent = compute_scale_exponent(compute_magnitude(weights[part], trained[part]))
            except NotFiniteError as error:
                raise TaskError(str(error)) from error
            exponents.append(exponent)
            tensors.append(encode_update(weights[part], trained[part], scale_exponent=exponent))
        return self.publish_update(Update(tensors=tuple(tensors), scale_exponents=tuple(exponents)))

    def publish_update(self, update: Update) -> Published:
        """Keep an update's artifact and return its name."""
        hasher = ArtifactHasher()
        hasher.update(compute_update_header(self.schema))
        for tensor in update.tensors:
            hasher.update(tensor.astype("<i2").tobytes())
        digest, size_bytes, _ = hasher.finish()
        self._updates[digest] = update
        return Published(digest=digest, size_bytes=size_bytes, scale_exponents=update.scale_exponents)

    def get_reference(self, digest: Digest) -> UpdateReference:
        """Return how an update is named in an order to aggregate, with its own scales."""
        return UpdateReference(artifact_digest=digest, scale_exponents=self._updates[digest].scale_exponents)

    def aggregate(self, base: Digest, updates: Sequence[UpdateReference]) -> Digest:
        """Return the candidate of a base and updates, given in their canonical order (F4, F5, F6)."""
        key = (base, tuple(updates))
        known = self._candidates.get(key)
        if known is not None and known in self._models:
            return known
        started = time.perf_counter()
        digest = self._candidates[key] = self._add_model(self._join(base, updates))
        self.aggregate_s += time.perf_counter() - started
        return digest

    def screen(self, member: int, base: Digest, update: UpdateReference) -> Ppm:
        """Return the score of what one update makes of a base, on a member's held-out data (F8).

        Raises:
            NoScore: The member's task cannot score the base either.
        """
        started = time.perf_counter()
        moved = self._moved.get((base, update))
        if moved is None:
            moved = self._moved[base, update] = self._join(base, [update])
        self.aggregate_s += time.perf_counter() - started
        return self.evaluate_weights(member, moved, base)

    def evaluate(self, member: int, model: Digest, base: Digest | None = None) -> Ppm:
        """Return a model's score on a member's held-out data (F7); 0 if there is none but the base has one.

        Raises:
            NoScore: The member's task cannot score the base either, or none is given.
        """
        key = (member, model)
        score = self._scores.get(key)
        if score is None:
            score = self._scores[key] = self.evaluate_weights(member, self._models[model], base)
        return score

    def evaluate_weights(self, member: int, weights: Weights, base: Digest | None = None) -> Ppm:
        """Return the score of weights that no artifact holds, as :meth:`evaluate` does."""
        started = time.perf_counter()
        self._load_module(weights)
        task, model = self.tasks[member], self._model
        if base is None:
            score = compute_score_ppm(task, model, self.device)
        else:
            base_weights = self._models[base]
            score = compute_score_beside_base(
                task, model, self.device, put_base=lambda _: self._load_module(base_weights)
            )
        self.evaluate_s += time.perf_counter() - started
        return score

    def load_module(self, model: Digest) -> torch.nn.Module:
        """Return the module with a model's weights, until the next call of anything here."""
        self._load_module(self._models[model])
        return self._model

    def get_weights(self, model: Digest) -> Weights:
        """Return a model's weights; they must not be changed."""
        return self._models[model]

    def get_update(self, digest: Digest) -> Update:
        """Return an update's content."""
        return self._updates[digest]

    def get_change(self, digest: Digest) -> NDArray[np.float64]:
        """Return by how much an update moves each trainable weight, float64 [trainable parameters]."""
        update = self._updates[digest]
        parts = zip(update.tensors, update.scale_exponents, strict=True)
        return np.concatenate([np.ldexp(tensor.astype(np.float64), exponent) for tensor, exponent in parts])

    def compute_change(self, base: Weights, trained: Weights) -> NDArray[np.float64]:
        """Return trained minus base of the trainable weights, float64 [trainable parameters]."""
        return np.concatenate([trained[part].astype(np.float64) - base[part] for part in self._trainable])

    def add_change(self, base: Weights, change: NDArray[np.float64]) -> Weights:
        """Return the base moved by a change, both as above."""
        moved = base.copy()
        start = 0
        for part in self._trainable:
            count = part.stop - part.start
            moved[part] = (base[part] + change[start : start + count]).astype(np.float32)
            start += count
        return moved

    def keep(self, digests: Iterable[Digest]) -> None:
        """Forget all models and updates but these."""
        kept = set(digests)
        self._models = {digest: model for digest, model in self._models.items() if digest in kept}
        self._updates = {digest: update for digest, update in self._updates.items() if digest in kept}
        self._scores = {key: score for key, score in self._scores.items() if key[1] in kept}
        self._candidates = {key: digest for key, digest in self._candidates.items() if digest in kept}
        self._moved.clear()

    def _join(self, base: Digest, updates: Sequence[UpdateReference]) -> Weights:
        """Return what the chain's rule makes of a base and updates."""
        members = [self._split(update) for update in updates]
        products = None
        if self._choice.rule in RULES_OF_WHOLE_UPDATES:
            sums = ProductSums(len(members))
            for index in range(len(self._trainable)):
                sums.add([member[index] for member in members])
            products = sums.get()
        recipe = make_recipe(self._choice, update_count=len(members), products=products)
        candidate = self._models[base].copy()
        for index, part in enumerate(self._trainable):
            chosen = [members[member][index] for member in recipe.members]
            candidate[part] = compute_candidate(recipe, candidate[part], chosen)
        return candidate

    def _split(self, update: UpdateReference) -> list[FixedPoint]:
        parts = zip(self._updates[update.artifact_digest].tensors, update.scale_exponents, strict=True)
        return [FixedPoint(update=tensor, scale_exponent=exponent) for tensor, exponent in parts]

    def _add_model(self, weights: Weights) -> Digest:
        if not np.isfinite(weights).all():
            raise TaskError("NaN or infinity in the initial model")
        hasher = ArtifactHasher()
        hasher.update(compute_model_header(self.schema))
        hasher.update(weights.astype("<f4").tobytes())
        digest = hasher.finish()[0]
        self._models[digest] = weights
        return digest

    def _load_module(self, weights: Weights) -> None:
        for part, spec in zip(self._slices, self.schema.tensors, strict=True):
            self._tensors.put_slice(spec.name, 0, weights[part])

    def _read_module(self) -> Weights:
        return np.concatenate([self._tensors.get_tensor(spec.name) for spec in self.schema.tensors])
