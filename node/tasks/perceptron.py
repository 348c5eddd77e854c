"""Small multilayer perceptrons for tables: initial weights, plain training, scoring.

The training loop is written out instead of using torch.optim, whose first step imports torch's compiler: 70 MB and two
seconds more in every worker.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch

from node.tasks.interface import TrainReport
from node.tasks.shipped_data import Examples

_INITIAL_STREAM: Final = 0x696E6974
_SHUFFLE_STREAM: Final = 0x73687566
_UNIFORM_BITS: Final = 24
"""As many bits as a float32 significand has, so that the integers become weights without rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How a perceptron is trained in one round."""

    learning_rate: float
    momentum: float
    pass_count: int
    """How often one round goes through the member's training data."""
    batch_size: int
    class_weights: tuple[float, ...] | None = None
    """How much an example of each class counts; None counts all the same."""


def build_perceptron(widths: Sequence[int], *, seed: int) -> torch.nn.Sequential:
    """Return a perceptron with ReLU between its layers, its weights by :func:`initialize_layer`.

    Args:
        widths: Of the layers, from the features to the classes.
        seed: The chain's.
    """
    generator = make_initial_generator(seed)
    modules: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(widths):
        # torch.nn.utils.skip_init would save drawing weights that are thrown away, and import 40 MB of sympy to do so.
        layer = torch.nn.Linear(inputs, outputs)
        initialize_layer(layer.weight, layer.bias, generator)
        modules += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def make_initial_generator(seed: int) -> np.random.Generator:
    """Return where a model's initial weights come from, given the chain's seed."""
    return np.random.Generator(np.random.PCG64([seed, _INITIAL_STREAM]))


def initialize_layer(weight: torch.Tensor, bias: torch.Tensor | None, generator: np.random.Generator) -> None:
    """Give a layer its initial weights, the same bits everywhere; its biases are 0.

    Weights are integers from PCG64 times a power of two near He's bound (K. He et al., "Delving Deep into Rectifiers",
    ICCV 2015).

    Args:
        weight: [outputs, ...], the rest being an output's inputs.
        bias: [outputs], if there is one.
        generator: As :func:`make_initial_generator` gives it.
    """
    shape = tuple(weight.shape)
    bound_exponent = round(math.log2(math.sqrt(6.0 / math.prod(shape[1:]))))
    integers = generator.integers(-(2**_UNIFORM_BITS), 2**_UNIFORM_BITS, size=shape, endpoint=True)
    with torch.no_grad():
        weight.copy_(torch.from_numpy(np.ldexp(integers.astype(np.float32), bound_exponent - _UNIFORM_BITS)))
        if bias is not None:
            bias.zero_()


def train_perceptron(
    model: torch.nn.Module, examples: Examples, plan: TrainingPlan, *, shuffle_seed: Sequence[int], device: torch.device
) -> TrainReport:
    """Train in place by stochastic gradient descent with momentum on the cross-entropy.

    Args:
        model: Maps float32 [batch, features] to logits float32 [batch, classes].
        examples: The member's training data.
        plan: How.
        shuffle_seed: Numbers that the order of the examples depends on.
        device: Where to compute.
    """
    model.train()
    features = torch.from_numpy(examples.features).to(device)
    labels = torch.from_numpy(examples.labels).to(device)
    weights = None if plan.class_weights is None else torch.tensor(plan.class_weights, device=device)

    def compute_loss(batch: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(features[batch]), labels[batch], weight=weights)

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return descend(parameters, compute_loss, plan, example_count=labels.shape[0], shuffle_seed=shuffle_seed)


def descend(
    parameters: Sequence[torch.nn.Parameter],
    compute_loss: Callable[[torch.Tensor], torch.Tensor],
    plan: TrainingPlan,
    *,
    example_count: int,
    shuffle_seed: Sequence[int],
) -> TrainReport:
    """Lower a loss in place by stochastic gradient descent with momentum.

    Args:
        parameters: What is trained, all on one device.
        compute_loss: Takes the numbers of a batch's examples, int64 [batch], and returns their mean loss.
        plan: How.
        example_count: How many examples there are.
        shuffle_seed: Numbers that the order of the examples depends on.
    """
    device = parameters[0].device
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    generator = np.random.Generator(np.random.PCG64([*shuffle_seed, _SHUFFLE_STREAM]))
    loss_sum = 0.0
    for _ in range(plan.pass_count):
        order = torch.from_numpy(generator.permutation(example_count)).to(device)
        loss_sum = 0.0
        for batch in order.split(plan.batch_size):
            loss = compute_loss(batch)
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                    velocity.mul_(plan.momentum).add_(gradient)
                    parameter.sub_(velocity, alpha=plan.learning_rate)
            loss_sum += loss.item() * batch.shape[0]
    return TrainReport(example_count=example_count, mean_loss=loss_sum / example_count)


def compute_class_probabilities(model: torch.nn.Module, examples: Examples, *, device: torch.device) -> torch.Tensor:
    """Return the model's probabilities, float64 [examples, classes] on the CPU."""
    model.eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(examples.features).to(device))
    return torch.softmax(logits.double().cpu(), dim=1)


def compute_score(
    model: torch.nn.Module,
    examples: Examples,
    *,
    device: torch.device,
    class_weights: tuple[float, ...] | None = None,
) -> float:
    """Return 1 minus half the Brier score: how close the probabilities are to the truth, in [0, 1].

    1 is sure and right on every example, 0 is sure and wrong on every example; of ten classes, knowing nothing gives
    0.55, and of two 0.75. Preferred to accuracy because it moves with every improvement on small held-out parts and
    because a destroyed model, sure of one class, falls below an untrained one: by accuracy both get every tenth digit
    right, and honest voters would disagree in the first round. bench/score_choice.py compares it with others.

    Class weights say how much an example of each class counts; None counts all the same.

    G. W. Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather Review 78, 1950.
    """
    probabilities = compute_class_probabilities(model, examples, device=device)
    return compute_probability_score(probabilities, torch.from_numpy(examples.labels), class_weights=class_weights)


def compute_probability_score(
    probabilities: torch.Tensor, labels: torch.Tensor, *, class_weights: tuple[float, ...] | None = None
) -> float:
    """Return 1 minus half the Brier score of probabilities, float64 [examples, classes], as :func:`compute_score`."""
    truth = torch.nn.functional.one_hot(labels, probabilities.shape[1])
    squared_errors = (probabilities - truth).square().sum(dim=1)
    if class_weights is None:
        return 1.0 - squared_errors.mean().item() / 2.0
    counts = torch.tensor(class_weights, dtype=torch.float64)[labels]
    return 1.0 - (squared_errors * counts).sum().item() / counts.sum().item() / 2.0
