"""A frozen BERT encoder, read from a safetensors file, with adapters in the attention of its last layer.

J. Devlin et al., NAACL 2019 (see :mod:`node.tasks.wordpiece`); adapters are LoRA: E. J. Hu et al., "LoRA: Low-Rank
Adaptation of Large Language Models", ICLR 2022, on the projections of query and value, as there. The layers below the
last one are the same for ever, so what they make of an example is computed once.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import safetensors.torch
import torch
from torch.nn.functional import embedding, gelu, layer_norm, linear

ADAPTED: Final = ("query", "value")
_EXAMPLES_AT_ONCE: Final = 64
_FAR_AWAY: Final = -1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderShape:
    """What ``config.json`` says of an encoder."""

    width: int
    head_count: int
    layer_count: int
    epsilon: float
    position_count: int


class Encoder:
    """The weights, none of which is ever trained."""

    def __init__(self, folder: Path, *, device: torch.device) -> None:
        """Read ``config.json`` and ``model.safetensors``.

        Raises:
            OSError: One of them cannot be read.
            KeyError: It is no BERT encoder.
        """
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.shape = EncoderShape(
            width=int(config["hidden_size"]),
            head_count=int(config["num_attention_heads"]),
            layer_count=int(config["num_hidden_layers"]),
            epsilon=float(config["layer_norm_eps"]),
            position_count=int(config["max_position_embeddings"]),
        )
        loaded = safetensors.torch.load_file(folder / "model.safetensors", device=str(device))
        self._weights = {name: tensor for name, tensor in loaded.items() if tensor.is_floating_point()}

    def compute_lower(self, tokens: torch.Tensor, is_word: torch.Tensor) -> torch.Tensor:
        """Return what all layers but the last make of token numbers.

        Args:
            tokens: int64 [examples, tokens].
            is_word: bool [examples, tokens], False at the padding.

        Returns:
            float32 [examples, tokens, width].
        """
        parts = []
        with torch.no_grad():
            for chosen, words in zip(tokens.split(_EXAMPLES_AT_ONCE), is_word.split(_EXAMPLES_AT_ONCE), strict=True):
                hidden = self._embed(chosen)
                for layer in range(self.shape.layer_count - 1):
                    hidden = self._run_layer(layer, hidden, words, {})
                parts.append(hidden)
        return torch.cat(parts)

    def compute_meaning(
        self, lower: torch.Tensor, is_word: torch.Tensor, adapters: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return the mean of the last layer's outputs over an example's words, float32 [examples, width].

        Args:
            lower: As :meth:`compute_lower` gives it.
            is_word: As there.
            adapters: By ``NAME_down`` [rank, width] and ``NAME_up`` [width, rank], for each adapted projection.
        """
        hidden = self._run_layer(self.shape.layer_count - 1, lower, is_word, adapters)
        counted = is_word.unsqueeze(-1).to(hidden.dtype)
        return (hidden * counted).sum(dim=1) / counted.sum(dim=1)

    def _embed(self, tokens: torch.Tensor) -> torch.Tensor:
        positions = self._get("embeddings.position_embeddings.weight")[: tokens.shape[1]]
        kind = self._get("embeddings.token_type_embeddings.weight")[0]
        words = embedding(tokens, self._get("embeddings.word_embeddings.weight"))
        return self._normalize("embeddings.LayerNorm", words + positions + kind)

    def _run_layer(
        self, layer: int, hidden: torch.Tensor, is_word: torch.Tensor, adapters: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        prefix = f"encoder.layer.{layer}"
        query, key, value = (
            self._split_heads(self._project(f"{prefix}.attention.self.{name}", name, hidden, adapters))
            for name in ("query", "key", "value")
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        scores = scores.masked_fill(~is_word[:, None, None, :], _FAR_AWAY)
        attended = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).reshape(hidden.shape)
        mixed = linear(attended, *self._get_linear(f"{prefix}.attention.output.dense"))
        hidden = self._normalize(f"{prefix}.attention.output.LayerNorm", hidden + mixed)
        inner = gelu(linear(hidden, *self._get_linear(f"{prefix}.intermediate.dense")))
        outer = linear(inner, *self._get_linear(f"{prefix}.output.dense"))
        return self._normalize(f"{prefix}.output.LayerNorm", hidden + outer)

    def _project(
        self, prefix: str, name: str, hidden: torch.Tensor, adapters: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        projected = linear(hidden, *self._get_linear(prefix))
        if f"{name}_down" not in adapters:
            return projected
        return projected + linear(linear(hidden, adapters[f"{name}_down"]), adapters[f"{name}_up"])

    def _split_heads(self, projected: torch.Tensor) -> torch.Tensor:
        examples, tokens, width = projected.shape
        heads = self.shape.head_count
        return projected.view(examples, tokens, heads, width // heads).transpose(1, 2)

    def _normalize(self, prefix: str, hidden: torch.Tensor) -> torch.Tensor:
        weight, bias = self._get(f"{prefix}.weight"), self._get(f"{prefix}.bias")
        return layer_norm(hidden, (self.shape.width,), weight, bias, self.shape.epsilon)

    def _get_linear(self, prefix: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self._get(f"{prefix}.weight"), self._get(f"{prefix}.bias")

    def _get(self, name: str) -> torch.Tensor:
        return self._weights[name]
