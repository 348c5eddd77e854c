"""Finds a task's class by its name in the genesis document; called in the worker only."""

import importlib
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final

from node.tasks.interface import Task, TaskError

BUNDLED: Final = MappingProxyType(
    {
        "breast_cancer": "node.tasks.breast_cancer:BreastCancerTask",
        "credit_data": "node.tasks.real_data:CreditDataTask",
        "digits": "node.tasks.digits:DigitsTask",
        "lending_club": "node.tasks.real_data:LendingClubTask",
        "mnist": "node.tasks.real_data:MnistTask",
        "reviews": "node.tasks.reviews:ReviewsTask",
        "support2": "node.tasks.real_data:Support2Task",
    }
)

ENTRY_POINT_GROUP: Final = "pnyx.tasks"
_WAYS: Final = "install its package first, or put it into the home, or where --task-path says"


def load_task_class(name: str) -> type[Task]:
    """Return the class that a task's name stands for.

    Args:
        name: A bundled task's, an entry point's in the group ``pnyx.tasks``, or ``module:Class``.

    Raises:
        TaskError: There is no such task, or it is no subclass of Task. What importing its module raises passes through.
    """
    module_name, separator, class_name = find_reference(name).partition(":")
    if not separator:
        raise TaskError(f"unknown task {name!r}: use {', '.join(sorted(BUNDLED))} or module:Class")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise TaskError(f"task {name!r}: {error.msg}; {_WAYS}") from error
    task_class = getattr(module, class_name, None)
    if task_class is None:
        raise TaskError(f"task {name!r}: {module_name} has no class {class_name}")
    if not isinstance(task_class, type) or not issubclass(task_class, Task):
        raise TaskError(f"task {name!r}: {class_name} in {module_name} is no subclass of node.tasks.Task")
    return task_class


def find_reference(name: str) -> str:
    """Return ``module:Class`` for a task's name; a name that stands for nothing is returned as it is."""
    if name in BUNDLED:
        return BUNDLED[name]
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return point.value
    return name
