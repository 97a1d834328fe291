"""``[train]`` of a search: its modules are plug-ins, and its functions fit the other settings."""

from ...spaces.parameters.task_kinds import CLASSIFICATION
from ..config.schema import SearchFile
from ..config.train_section import TrainSection


def keys_of_modules(train: TrainSection) -> dict[str, str]:
    """Return the key of ``[train]`` that names each of its modules, except those of a script or a notebook."""
    from ..plugins.loading import MAIN
    from ..plugins.references import split_reference

    keys = {split_reference(reference, key)[0]: key for key, reference in train.references.items()}
    return {module: key for module, key in keys.items() if module != MAIN}


def with_modules_of_train(file: SearchFile) -> SearchFile:
    """Return ``file`` with the modules of ``[train]`` among its plug-ins, so that they are shipped and recorded."""
    new = [module for module in keys_of_modules(file.train) if module not in file.plugins.modules]
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
