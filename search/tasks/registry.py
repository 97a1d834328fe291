"""Registry of the tasks. A new task needs one file and one row."""

from ...spaces.parameters.task_kinds import task_name
from ..config.schema import SearchFile
from .base import Task
from .classification import ImageTask
from .zero_shot import ZeroShotTask

TASKS: dict[str, Task] = {task.name: task for task in (ImageTask(), ZeroShotTask())}


def task_of(file: SearchFile) -> Task:
    """Return the task for the data of a search file: data with texts are zero-shot, others are for classification."""
    return TASKS[task_name({"name": file.data.name, "texts": file.data.texts})]
