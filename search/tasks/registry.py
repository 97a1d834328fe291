"""The table of tasks. A new one is one file and one row."""

from ...spaces.parameters.task_kinds import task_name
from ..config.schema import SearchFile
from .base import Task
from .classification import ImageTask
from .zero_shot import ZeroShotTask

TASKS: dict[str, Task] = {task.name: task for task in (ImageTask(), ZeroShotTask())}


def task_of(file: SearchFile) -> Task:
    """The task that the data of a search file ask for."""
    return TASKS[task_name({"name": file.data.name, "texts": file.data.texts})]
