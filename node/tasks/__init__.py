"""What the members train: the interface of a task, and the bundled ones."""

from node.tasks.interface import Task, TaskContext, TaskError, TrainReport

__all__ = ["Task", "TaskContext", "TaskError", "TrainReport"]
