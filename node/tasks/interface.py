"""What an institution writes to take part with its own model and data: one class, imported by the worker only.

A task builds the model, trains it on this member's own training data, and scores a model on this member's own held-out
data. What happens inside ``train`` is the member's own business; that all members build the same tensors is fixed at
genesis. Nothing here imports torch; see :mod:`node.tasks.digits` for an example.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value", int, float, str)


class TaskError(Exception):
    """The task's parameters or data are wrong; the message says what to change."""


class LocalSettingMissing(TaskError):
    """This node's operator has not told the task what it asks for; a node does not start so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """Who trains: all that a task may depend on besides its own code and data."""

    member_index: int
    """This member's part of the data that a bundled task deals, 0-based; newcomers share the founders' parts."""
    member_count: int
    """How many parts there are: as many as founders."""
    split: str
    """How a bundled task deals its data: ``iid``, ``dirichlet:ALPHA`` or ``site``; own data ignore it."""
    seed: int
    """The chain's; the same for all members, 0 to 2**64 - 1."""
    parameters: MappingProxyType[str, str]
    """The task's parameters as the genesis document has them."""
    local: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What this member alone tells its task, in the table ``[task]`` of its config.toml; no other member learns it."""

    def get_local(self, name: str) -> str:
        """Return one of this member's own settings, such as where its data are.

        Raises:
            LocalSettingMissing: It is missing.
        """
        if name not in self.local:
            raise LocalSettingMissing(
                f"the setting {name} is missing: write {name} = \"...\" below [task] in this node's config.toml,"
                f" or give --local {name}=..."
            )
        return self.local[name]

    def get_parameter(self, name: str, default: Value) -> Value:
        """Return a parameter, read as the type of its default.

        Raises:
            TaskError: The text is no number of that type.
        """
        text = self.parameters.get(name)
        if text is None:
            return default
        try:
            return type(default)(text)
        except ValueError:
            raise TaskError(f"task parameter {name} = {text!r}: give it as {type(default).__name__}") from None

    def check_parameter_names(self, known: frozenset[str]) -> None:
        """Refuse misspelt parameters.

        Raises:
            TaskError: A parameter is none of ``known``.
        """
        unknown = sorted(set(self.parameters) - known)
        if unknown:
            raise TaskError(f"unknown task parameter {', '.join(unknown)}; this task knows {', '.join(sorted(known))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What came of one round's training."""

    example_count: int
    """Number of training examples used; published, for information only (F3)."""
    mean_loss: float
    """Over the last pass; for the member's own log, never published."""


class Task(ABC):
    """A model and one member's data.

    Constructed once per worker with a :class:`TaskContext`; data loaded in the constructor or on first use stay loaded.
    """

    def __init__(self, context: TaskContext) -> None:
        """Keep the context; override it to read the data."""
        self.context = context

    @abstractmethod
    def build_model(self) -> "torch.nn.Module":
        """Return a new model with its initial weights.

        The genesis document takes the initial weights from one founder's call, and from all others only the tensors'
        names and shapes; so they need not be the same on every machine. Float32 parameters and float32 buffers are
        shared; parameters with ``requires_grad = False`` stay as they are at genesis; integer buffers are not shared.
        """

    @abstractmethod
    def train(self, model: "torch.nn.Module", *, round: int, device: "torch.device") -> TrainReport:
        """Train the model in place on this member's own training data.

        With a ``launcher`` in the node's config.toml, several processes on this machine, the ranks, call this at the
        same time, each with a task and a model of its own that holds the same weights. torch.distributed is then
        initialized, with gloo on the CPU, and gloo and nccl on GPUs, before the task is constructed: train on this
        rank's share of the examples and average gradients (``torch.nn.parallel.DistributedDataParallel(model)`` does).
        What rank 0 ends with, model and report, is what counts. Nothing else of a task is called in ranks.

        Args:
            model: Holds the current shared weights, on ``device``.
            round: The round's number, from 1; use it to seed shuffling.
            device: Where to compute.
        """

    @abstractmethod
    def evaluate(self, model: "torch.nn.Module", *, device: "torch.device") -> float:
        """Return the model's score on this member's own held-out data, in [0, 1], higher is better (F7).

        Voters compare scores of the same member only, as ratios: choose a score that is far from 0 for an untrained
        model, moves with every improvement, and is the same for the same model. To raise, or to return NaN or what is
        no number from 0 to 1, says that there is no score. If a candidate or an update leaves none where the model it
        starts from has one, it counts as 0 (F7, F8); otherwise this member's own work has failed. MemoryError, OSError
        and torch's lack of memory are always the latter.
        """

    def flip_labels(self) -> None:
        """Train on wrong labels from now on; implement it to study label-flipping attacks on your task.

        Raises:
            TaskError: This task has no labels to flip.
        """
        raise TaskError(f"{type(self).__name__} cannot flip labels: use another attack, or implement flip_labels")

    def plant_backdoor(self) -> None:
        """Train on triggers from now on, besides the own examples; implement it to study back doors in your task.

        Raises:
            TaskError: This task knows no trigger.
        """
        raise TaskError(f"{type(self).__name__} cannot plant a back door: use another attack, or implement it")

    def measure_backdoor(self, model: "torch.nn.Module", *, device: "torch.device") -> float:
        """Return for which share of held-out examples a trigger makes the model say what the attacker wants, 0 to 1.

        Raises:
            TaskError: This task knows no trigger.
        """
        del model, device
        raise TaskError(f"{type(self).__name__} cannot plant a back door, so there is none to measure")
