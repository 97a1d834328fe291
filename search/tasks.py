"""The table of tasks. A new one is one file and one row."""

from ..spaces.tasks import task_name
from .image_task import ImageTask
from .sections import SearchFile
from .task import Task
from .zero_shot_task import ZeroShotTask

TASKS: dict[str, Task] = {task.name: task for task in (ImageTask(), ZeroShotTask())}


def task_of(file: SearchFile) -> Task:
    """The task that the data of a search file ask for."""
    return TASKS[task_name({"name": file.data.name, "texts": file.data.texts})]
