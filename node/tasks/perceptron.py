"""Small multilayer perceptrons for tables: initial weights, plain training, scoring.

The training loop is written out instead of using torch.optim, whose first step imports torch's compiler: 70 MB and two
seconds more in every worker.
"""

import math
from collections.abc import Sequence
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


def build_perceptron(widths: Sequence[int], *, seed: int) -> torch.nn.Sequential:
    """Return a perceptron with ReLU between its layers.

    Weights are integers from PCG64 times a power of two near He's bound (K. He et al., "Delving Deep into Rectifiers",
    ICCV 2015), so that they are the same bits everywhere; biases are 0.

    Args:
        widths: Of the layers, from the features to the classes.
        seed: The chain's.
    """
    generator = np.random.Generator(np.random.PCG64([seed, _INITIAL_STREAM]))
    modules: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(widths):
        # torch.nn.utils.skip_init would save drawing weights that are thrown away, and import 40 MB of sympy to do so.
        layer = torch.nn.Linear(inputs, outputs)
        bound_exponent = round(math.log2(math.sqrt(6.0 / inputs)))
        integers = generator.integers(-(2**_UNIFORM_BITS), 2**_UNIFORM_BITS, size=(outputs, inputs), endpoint=True)
        weights = np.ldexp(integers.astype(np.float32), bound_exponent - _UNIFORM_BITS)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weights))
            layer.bias.zero_()
        modules += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


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
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    features = torch.from_numpy(examples.features).to(device)
    labels = torch.from_numpy(examples.labels).to(device)
    generator = np.random.Generator(np.random.PCG64([*shuffle_seed, _SHUFFLE_STREAM]))
    example_count = labels.shape[0]
    loss_sum = 0.0
    for _ in range(plan.pass_count):
        order = torch.from_numpy(generator.permutation(example_count)).to(device)
        loss_sum = 0.0
        for batch in order.split(plan.batch_size):
            loss = torch.nn.functional.cross_entropy(model(features[batch]), labels[batch])
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


def compute_score(model: torch.nn.Module, examples: Examples, *, device: torch.device) -> float:
    """Return 1 minus half the Brier score: how close the probabilities are to the truth, in [0, 1].

    1 is sure and right on every example, 0 is sure and wrong on every example; of ten classes, knowing nothing gives
    0.55, and of two 0.75. Preferred to accuracy because it moves with every improvement on small held-out parts and
    because a destroyed model, sure of one class, falls below an untrained one: by accuracy both get every tenth digit
    right, and honest voters would disagree in the first round. bench/score_choice.py compares it with others.

    G. W. Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather Review 78, 1950.
    """
    probabilities = compute_class_probabilities(model, examples, device=device)
    truth = torch.nn.functional.one_hot(torch.from_numpy(examples.labels), probabilities.shape[1])
    squared_errors = (probabilities - truth).square().sum(dim=1)
    return 1.0 - squared_errors.mean().item() / 2.0
