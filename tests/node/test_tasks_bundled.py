"""The bundled tasks: what they deal, build, learn and score."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch

from node.tasks import TaskContext, TaskError
from node.tasks.breast_cancer import BreastCancerTask
from node.tasks.deal import deal
from node.tasks.digits import DigitsTask
from node.tasks.loading import BUNDLED, load_task_class
from node.tasks.real_data import CreditDataTask, LendingClubTask, MnistTask, Support2Task
from node.tasks.reviews import ReviewsTask
from node.tasks.shipped_data import Examples, load_breast_cancer, load_digits
from node.tasks.table_task import TableTask

CPU = torch.device("cpu")
MEMBER_COUNT = 7
TASKS = [DigitsTask, BreastCancerTask]


def make_context(member_index: int = 0, *, split: str = "iid", seed: int = 1) -> TaskContext:
    return TaskContext(
        member_index=member_index,
        member_count=MEMBER_COUNT,
        split=split,
        seed=seed,
        parameters=MappingProxyType({}),
    )


def get_rows(examples: Examples) -> list[bytes]:
    return [row.tobytes() + label.tobytes() for row, label in zip(examples.features, examples.labels, strict=True)]


def flatten(model: torch.nn.Module) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def fill(model: torch.nn.Module, weights: torch.Tensor) -> None:
    torch.nn.utils.vector_to_parameters(weights, model.parameters())


def compute_accuracy(model: torch.nn.Module, examples: Examples) -> float:
    with torch.no_grad():
        return float((model(torch.from_numpy(examples.features)).argmax(dim=1).numpy() == examples.labels).mean())


@pytest.mark.parametrize("split", ["iid", "dirichlet:0.3", "dirichlet:100"])
@pytest.mark.parametrize("load", [load_digits, load_breast_cancer])
def test_every_example_is_dealt_once(load: Callable[[], Examples], split: str) -> None:
    examples = load()
    hands = [deal(examples, make_context(index, split=split)) for index in range(MEMBER_COUNT)]
    dealt = [row for hand in hands for part in (hand.training, hand.held_out) for row in get_rows(part)]
    assert sorted(dealt) == sorted(get_rows(examples))


@pytest.mark.parametrize("split", ["iid", "dirichlet:0.5"])
def test_a_third_of_each_hand_is_held_out(split: str) -> None:
    for index in range(MEMBER_COUNT):
        hand = deal(load_digits(), make_context(index, split=split))
        count = hand.training.labels.shape[0] + hand.held_out.labels.shape[0]
        assert 0.3 * count - 1 <= hand.held_out.labels.shape[0] <= 0.4 * count


def test_same_seed_deals_the_same_hand_and_another_seed_another() -> None:
    hands = [get_rows(deal(load_digits(), make_context(2, seed=seed)).training) for seed in (1, 1, 2)]
    assert hands[0] == hands[1]
    assert hands[0] != hands[2]


def test_dirichlet_split_skews_the_classes() -> None:
    def compute_largest_share(split: str) -> float:
        hands = [deal(load_digits(), make_context(index, split=split)) for index in range(MEMBER_COUNT)]
        counts = [np.bincount(hand.training.labels, minlength=10) for hand in hands]
        return float(np.mean([count.max() / count.sum() for count in counts]))

    assert compute_largest_share("dirichlet:0.1") > 2 * compute_largest_share("iid")


@pytest.mark.parametrize(
    "split", ["", "random", "dirichlet", "dirichlet:", "dirichlet:0", "dirichlet:-1", "dirichlet:nan"]
)
def test_unknown_split_is_an_error_that_says_what_to_use(split: str) -> None:
    with pytest.raises(TaskError, match=r"use 'iid', 'site', or 'dirichlet:0\.5'"):
        deal(load_digits(), make_context(split=split))


def test_hand_too_small_to_learn_from_is_an_error() -> None:
    few = load_breast_cancer().select(np.arange(20))
    with pytest.raises(TaskError, match="at least 8 each"):
        deal(few, make_context())


@pytest.mark.parametrize(
    ("task_class", "digest"),
    [(DigitsTask, "b0e7a6487409955a"), (BreastCancerTask, "f4fb0e631c95c346")],
    ids=["digits", "breast_cancer"],
)
def test_initial_weights_are_the_same_bits_for_ever(task_class: type[TableTask], digest: str) -> None:
    weights = flatten(task_class(make_context()).build_model()).numpy()
    assert hashlib.sha256(weights.astype("<f4").tobytes()).hexdigest()[:16] == digest


def test_initial_weights_are_the_same_for_all_members_of_a_chain_only() -> None:
    ours, theirs, others = (
        flatten(DigitsTask(context).build_model())
        for context in (make_context(0), make_context(5), make_context(seed=2))
    )
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, others)


@pytest.mark.parametrize("task_class", TASKS)
def test_training_repeats_bit_by_bit(task_class: type[TableTask]) -> None:
    task = task_class(make_context())
    models = [task.build_model(), task.build_model()]
    for model in models:
        task.train(model, round=3, device=CPU)
    assert torch.equal(flatten(models[0]), flatten(models[1]))


@pytest.mark.parametrize(("task_class", "goal"), [(DigitsTask, 0.9), (BreastCancerTask, 0.9)])
def test_eight_rounds_of_two_proposers_learn_the_task(task_class: type[TableTask], goal: float) -> None:
    tasks = [task_class(make_context(index)) for index in range(MEMBER_COUNT)]
    model = tasks[0].build_model()
    base = flatten(model)
    for round_number in range(1, 9):
        deltas = []
        for index in (2 * round_number % MEMBER_COUNT, (2 * round_number + 1) % MEMBER_COUNT):
            fill(model, base)
            tasks[index].train(model, round=round_number, device=CPU)
            deltas.append(flatten(model) - base)
        base = base + torch.stack(deltas).mean(dim=0)
    fill(model, base)
    assert np.mean([compute_accuracy(model, task.hand.held_out) for task in tasks]) > goal


def test_score_puts_a_destroyed_model_below_an_untrained_one_for_every_member() -> None:
    for index in range(MEMBER_COUNT):
        task = DigitsTask(make_context(index))
        model = task.build_model()
        untrained, base = task.evaluate(model, device=CPU), flatten(model)
        task.train(model, round=1, device=CPU)
        trained = task.evaluate(model, device=CPU)
        fill(model, base - 1.5 * (flatten(model) - base))
        assert 0.0 <= task.evaluate(model, device=CPU) < 0.95 * untrained < untrained < trained <= 1.0


def test_flipped_labels_spoil_training_but_not_the_score() -> None:
    honest, flipped = DigitsTask(make_context()), DigitsTask(make_context())
    flipped.flip_labels()
    model = honest.build_model()
    for round_number in (1, 2, 3):
        flipped.train(model, round=round_number, device=CPU)
    assert compute_accuracy(model, honest.hand.held_out) < 0.3
    assert flipped.evaluate(model, device=CPU) == honest.evaluate(model, device=CPU)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rat": "1"}, "unknown task parameter learning_rat"),
        ({"learning_rate": "fast"}, "give it as float"),
        ({"learning_rate": "0"}, "learning_rate = 0.0"),
        ({"learning_rate": "nan"}, "learning_rate = nan"),
        ({"momentum": "1"}, "momentum = 1.0"),
        ({"passes": "0"}, "passes = 0"),
        ({"passes": "1.5"}, "give it as int"),
        ({"batch_size": "0"}, "batch_size = 0"),
        ({"hidden_units": "0"}, "hidden_units = 0"),
    ],
)
def test_wrong_parameter_is_an_error_that_names_it(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        DigitsTask(replace(make_context(), parameters=MappingProxyType(parameters)))


def test_bundled_names_load() -> None:
    classes = [BreastCancerTask, CreditDataTask, DigitsTask, LendingClubTask, MnistTask, ReviewsTask, Support2Task]
    assert [load_task_class(name) for name in sorted(BUNDLED)] == classes


def test_own_task_loads_by_module_and_class() -> None:
    assert load_task_class("tests.node.odd_task:OddTask").__name__ == "OddTask"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", "use breast_cancer, credit_data, digits, lending_club, mnist, reviews, support2 or module:Class"),
        ("no.such.module:Task", "No module named"),
        ("tests.node.odd_task:NoSuchTask", "tests.node.odd_task has no class NoSuchTask"),
        ("tests.node.odd_task:OddModel", "no subclass of node.tasks.Task"),
    ],
)
def test_unknown_task_is_an_error_that_says_what_to_do(name: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_task_class(name)


def test_bundled_tasks_keep_heavy_libraries_out_of_the_worker() -> None:
    code = (
        "import sys; from types import MappingProxyType as M; import torch; from node.tasks.digits import DigitsTask;"
        "from node.tasks import TaskContext;"
        "t = DigitsTask(TaskContext(member_index=0, member_count=2, split='iid', seed=0, parameters=M({})));"
        "m = t.build_model(); d = torch.device('cpu'); t.train(m, round=1, device=d); t.evaluate(m, device=d);"
        "print(*sorted({'sklearn', 'scipy', 'pandas', 'sympy', 'torch._dynamo', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
