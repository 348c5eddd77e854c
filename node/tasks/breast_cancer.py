"""A small medical task: benign or malignant, a perceptron of 30, 16 and 2 units, trained from nothing."""

from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from node.tasks.perceptron import TrainingPlan
from node.tasks.shipped_data import Examples, load_breast_cancer
from node.tasks.table_task import TableTask

_CENTRES: Final = (
    14.0, 19.0, 92.0, 650.0, 0.096, 0.1, 0.09, 0.05, 0.18, 0.063,
    0.4, 1.2, 2.9, 40.0, 0.007, 0.025, 0.03, 0.012, 0.02, 0.0038,
    16.0, 26.0, 107.0, 880.0, 0.13, 0.25, 0.27, 0.11, 0.29, 0.084,
)  # fmt: skip
"""About the middle of each measurement, fixed so that no member's statistics enter the shared model."""

_WIDTHS: Final = (
    3.5, 4.3, 24.0, 350.0, 0.014, 0.053, 0.08, 0.039, 0.027, 0.007,
    0.28, 0.55, 2.0, 45.0, 0.003, 0.018, 0.03, 0.006, 0.008, 0.0026,
    4.8, 6.1, 34.0, 570.0, 0.023, 0.16, 0.21, 0.066, 0.062, 0.018,
)  # fmt: skip
"""About the standard deviation of each measurement."""


class BreastCancerTask(TableTask):
    """Tell malignant from benign tumours; see :class:`node.tasks.table_task.TableTask` for parameters and score."""

    feature_count: ClassVar[int] = 30
    class_count: ClassVar[int] = 2
    hidden_units: ClassVar[int] = 16
    plan: ClassVar[TrainingPlan] = TrainingPlan(learning_rate=0.02, momentum=0.9, pass_count=1, batch_size=8)

    def load_examples(self) -> Examples:
        """Return the 569 tumours of scikit-learn's breast cancer data, each measurement centred and scaled."""
        examples = load_breast_cancer()
        centres, widths = np.array(_CENTRES, dtype=np.float32), np.array(_WIDTHS, dtype=np.float32)
        scaled: NDArray[np.float32] = (examples.features - centres) / widths
        return Examples(features=scaled, labels=examples.labels)
