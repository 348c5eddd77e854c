"""The default task: handwritten digits, a perceptron of 64, 32 and 10 units, trained from nothing."""

from typing import ClassVar

from node.tasks.perceptron import TrainingPlan
from node.tasks.shipped_data import Examples, load_digits
from node.tasks.table_task import TableTask


class DigitsTask(TableTask):
    """Tell ten handwritten digits apart; see :class:`node.tasks.table_task.TableTask` for parameters and score.

    The defaults are gentle on purpose: with seven members, two of them training in a round, accuracy goes from 0.1 over
    0.7 in the first round to above 0.9 in the fourth, and one member's update alone hardly ever harms the others.
    """

    feature_count: ClassVar[int] = 64
    class_count: ClassVar[int] = 10
    hidden_units: ClassVar[int] = 32
    trigger_columns: ClassVar[tuple[int, ...]] = (0, 7, 56, 63)
    """The corners of the image, which are white in nearly every digit."""
    trigger_value: ClassVar[float] = 1.0
    plan: ClassVar[TrainingPlan] = TrainingPlan(learning_rate=0.05, momentum=0.9, pass_count=2, batch_size=16)

    def load_examples(self) -> Examples:
        """Return the 1_797 images of scikit-learn's digits."""
        return load_digits()
