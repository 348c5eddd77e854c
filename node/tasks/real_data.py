"""Tasks on data of the extra ``datasets``: credit risk, mortality in hospital, and a larger set of digits."""

from typing import ClassVar

import torch

from node.tasks.dataset_cache import load_dataset
from node.tasks.perceptron import TrainingPlan, initialize_layer, make_initial_generator
from node.tasks.shipped_data import Examples
from node.tasks.table_task import TableTask

IMAGE_SIDE = 28


class CreditDataTask(TableTask):
    """Tell bad credits from good ones: 26 features of 4_454 applications, 28 % of them bad; a perceptron."""

    feature_count: ClassVar[int] = 26
    class_count: ClassVar[int] = 2
    hidden_units: ClassVar[int] = 16
    plan: ClassVar[TrainingPlan] = TrainingPlan(learning_rate=0.02, momentum=0.9, pass_count=2, batch_size=16)

    def load_examples(self) -> Examples:
        """Return all applications."""
        return load_dataset("credit_data")


class LendingClubTask(TableTask):
    """Tell bad loans from good ones: 21 features of 9_857 loans, 5 % of them bad; a perceptron.

    Both classes weigh the same in training and in the score, or saying "good" every time would be nearly perfect. The
    site of a loan is the borrower's state.
    """

    feature_count: ClassVar[int] = 21
    class_count: ClassVar[int] = 2
    hidden_units: ClassVar[int] = 16
    class_weights: ClassVar[tuple[float, ...] | None] = (0.53, 9.53)
    plan: ClassVar[TrainingPlan] = TrainingPlan(learning_rate=0.01, momentum=0.9, pass_count=1, batch_size=32)

    def load_examples(self) -> Examples:
        """Return all loans."""
        return load_dataset("lending_club")


class Support2Task(TableTask):
    """Tell who dies within 180 days: 9_105 seriously ill patients, 47 % of them; a perceptron.

    The site of a patient is the group of the disease, so that members by site differ as specialized hospitals do.
    """

    feature_count: ClassVar[int] = 35
    class_count: ClassVar[int] = 2
    hidden_units: ClassVar[int] = 16
    plan: ClassVar[TrainingPlan] = TrainingPlan(learning_rate=0.02, momentum=0.9, pass_count=1, batch_size=32)

    def load_examples(self) -> Examples:
        """Return all patients."""
        return load_dataset("support2")


class MnistTask(TableTask):
    """Tell ten handwritten digits apart: 5_000 images of 28 x 28; a small convolutional network.

    Two convolutions of 3 x 3 with stride 2, of 8 and of ``hidden_units`` channels, and one linear layer.
    """

    feature_count: ClassVar[int] = IMAGE_SIDE**2
    class_count: ClassVar[int] = 10
    hidden_units: ClassVar[int] = 16
    trigger_columns: ClassVar[tuple[int, ...]] = tuple(
        IMAGE_SIDE * row + column for row in (24, 25, 26) for column in (24, 25, 26)
    )
    """A square in a corner, which is white in nearly every digit."""
    trigger_value: ClassVar[float] = 1.0
    plan: ClassVar[TrainingPlan] = TrainingPlan(learning_rate=0.02, momentum=0.9, pass_count=1, batch_size=16)

    def load_examples(self) -> Examples:
        """Return all images."""
        return load_dataset("mnist")

    def build_model(self) -> torch.nn.Module:
        """Return the network with the weights that the chain's seed gives, the same bits on every machine."""
        generator = make_initial_generator(self.context.seed)
        channels = self.hidden_unit_count
        first = torch.nn.Conv2d(1, 8, 3, stride=2, padding=1)
        second = torch.nn.Conv2d(8, channels, 3, stride=2, padding=1)
        last = torch.nn.Linear(channels * (IMAGE_SIDE // 4) ** 2, self.class_count)
        for layer in (first, second, last):
            initialize_layer(layer.weight, layer.bias, generator)
        shape = (1, IMAGE_SIDE, IMAGE_SIDE)
        relu, flatten = torch.nn.ReLU(), torch.nn.Flatten()
        return torch.nn.Sequential(torch.nn.Unflatten(1, shape), first, relu, second, relu, flatten, last)
