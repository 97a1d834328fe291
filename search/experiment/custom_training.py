"""``[train]`` of a search: its modules are plug-ins, and its functions fit the other settings."""

from ...spaces.parameters.task_kinds import CLASSIFICATION
from ..config.schema import SearchFile


def with_modules_of_train(file: SearchFile) -> SearchFile:
    """Return ``file`` with the modules of ``[train]`` among its plug-ins, so that they are shipped and recorded."""
    from ..plugins.loading import MAIN
    from ..plugins.references import split_reference

    modules = [split_reference(reference, key)[0] for key, reference in file.train.references.items()]
    new = [one for one in dict.fromkeys(modules) if one not in (MAIN, *file.plugins.modules)]
    if not new:
        return file
    plugins = file.plugins.model_copy(update={"modules": [*file.plugins.modules, *new]})
    return file.model_copy(update={"plugins": plugins})


def check_train(file: SearchFile, task: str) -> None:
    """Raise ``ValueError`` where a function of ``[train]`` is missing, or does not fit the other settings."""
    if not file.train.references:
        return
    from ..plugins.references import custom_parts

    if task != CLASSIFICATION:
        key = next(iter(file.train.references))
        raise ValueError(f"{key} needs classes without texts, but {file.data.name!r} is zero-shot; leave it out")
    if file.train.function is not None:
        of_built_in = {
            "train.loss": file.train.loss,
            "train.optimizer": file.train.optimizer,
            "search.folds": file.search.folds,
        }
        for key, value in of_built_in.items():
            if value is not None:
                raise ValueError(
                    f"{key} is for the built-in training, but it is {value!r} and train.function is "
                    f"{file.train.function!r}; leave one of them out"
                )
    custom_parts(file.train)
