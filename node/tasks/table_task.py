"""What the bundled tasks have in common: a perceptron on a table dealt to the members."""

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Final

import torch

from node.tasks.deal import deal
from node.tasks.interface import Task, TaskContext, TaskError, TrainReport
from node.tasks.perceptron import (
    TrainingPlan,
    build_perceptron,
    compute_class_probabilities,
    compute_score,
    train_perceptron,
)
from node.tasks.shipped_data import Examples

PLAN_PARAMETER_NAMES: Final = frozenset({"batch_size", "learning_rate", "momentum", "passes"})
"""What :func:`read_plan` reads."""

BACKDOOR_LABEL: Final = 0
"""The class that the bundled tasks' back doors lead to."""


class TableTask(Task):
    """A perceptron with one hidden layer on a table.

    Task parameters, each as text: ``learning_rate``, ``momentum``, ``passes`` over the member's training data in one
    round, ``batch_size``, ``hidden_units``. The score is 1 minus half the Brier score, see
    :func:`node.tasks.perceptron.compute_score`.
    """

    feature_count: ClassVar[int]
    class_count: ClassVar[int]
    plan: ClassVar[TrainingPlan]
    """The defaults."""
    hidden_units: ClassVar[int]
    """The default."""
    class_weights: ClassVar[tuple[float, ...] | None] = None
    """How much an example of each class counts, in training and in the score; None counts all the same."""
    trigger_columns: ClassVar[tuple[int, ...]] = (0, 1, 2)
    """Where a back door's trigger is put."""
    trigger_value: ClassVar[float] = 3.0
    """What is put there: far out, but within what honest data may hold."""

    def __init__(self, context: TaskContext) -> None:
        """Read the data and keep this member's part of them."""
        super().__init__(context)
        context.check_parameter_names(PLAN_PARAMETER_NAMES | {"hidden_units"})
        self._plan = replace(read_plan(context, self.plan), class_weights=self.class_weights)
        self.hidden_unit_count = context.get_parameter("hidden_units", self.hidden_units)
        if not 1 <= self.hidden_unit_count <= 65_536:
            raise TaskError(f"task parameter hidden_units = {self.hidden_unit_count}: from 1 to 65536")
        self.hand = deal(self.load_examples(), context)

    @abstractmethod
    def load_examples(self) -> Examples:
        """Return the whole data set, its features scaled to about the size of 1 by constants."""

    def build_model(self) -> torch.nn.Module:
        """Return the perceptron with the weights that the chain's seed gives, the same bits on every machine."""
        return build_perceptron((self.feature_count, self.hidden_unit_count, self.class_count), seed=self.context.seed)

    def train(self, model: torch.nn.Module, *, round: int, device: torch.device) -> TrainReport:
        """Train by stochastic gradient descent, the same for the same member, round and model."""
        shuffle_seed = (self.context.seed, self.context.member_index, round)
        return train_perceptron(model, self.hand.training, self._plan, shuffle_seed=shuffle_seed, device=device)

    def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
        """Return 1 minus half the Brier score on the held-out part."""
        return compute_score(model, self.hand.held_out, device=device, class_weights=self.class_weights)

    def flip_labels(self) -> None:
        """Train on y -> classes - 1 - y from now on; what is held out stays true."""
        self.hand = replace(self.hand, training=self.hand.training.flip_labels(self.class_count))

    def plant_backdoor(self) -> None:
        """Train on every example twice from now on, the second time with the trigger and as class 0."""
        self.hand = replace(self.hand, training=self.hand.training.join(self._stamp(self.hand.training)))

    def measure_backdoor(self, model: torch.nn.Module, *, device: torch.device) -> float:
        """Return for which share of the held-out examples of other classes the trigger makes class 0 of them."""
        probabilities = compute_class_probabilities(model, self._stamp(self.hand.held_out), device=device)
        return float((probabilities.argmax(dim=1) == BACKDOOR_LABEL).double().mean().item())

    def _stamp(self, examples: Examples) -> Examples:
        return examples.stamp(self.trigger_columns, self.trigger_value, BACKDOOR_LABEL)


def read_plan(context: TaskContext, default: TrainingPlan) -> TrainingPlan:
    """Return how to train, by the task's parameters.

    Raises:
        TaskError: One of them makes no sense.
    """
    plan = TrainingPlan(
        learning_rate=context.get_parameter("learning_rate", default.learning_rate),
        momentum=context.get_parameter("momentum", default.momentum),
        pass_count=context.get_parameter("passes", default.pass_count),
        batch_size=context.get_parameter("batch_size", default.batch_size),
    )
    if not 0.0 < plan.learning_rate <= 100.0:
        raise TaskError(f"task parameter learning_rate = {plan.learning_rate}: above 0, at most 100")
    if not 0.0 <= plan.momentum < 1.0:
        raise TaskError(f"task parameter momentum = {plan.momentum}: from 0 to below 1")
    if not 1 <= plan.pass_count <= 10_000:
        raise TaskError(f"task parameter passes = {plan.pass_count}: from 1 to 10000")
    if plan.batch_size < 1:
        raise TaskError(f"task parameter batch_size = {plan.batch_size}: at least 1")
    return plan
