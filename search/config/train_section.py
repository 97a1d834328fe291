"""``[train]`` of a search file: functions of the user that replace the training, its loss or its optimizer."""

from pydantic import Field

from .section import Section


class TrainSection(Section):
    """``[train]``: custom functions that replace the training, its loss or its optimizer."""

    function: str | None = Field(
        default=None, description='Function that trains a network and reports each epoch, such as "my_module:train".'
    )
    loss: str | None = Field(
        default=None, description='Loss of a batch, such as "my_module:focal_loss"; the default is the cross-entropy.'
    )
    optimizer: str | None = Field(
        default=None, description='Function that returns an optimizer, such as "my_module:lion", not recipe.optimizer.'
    )

    @property
    def references(self) -> dict[str, str]:
        """The references that are set, by their keys in the search file."""
        return {f"train.{name}": reference for name, reference in self.model_dump().items() if reference is not None}


BUILT_IN_TRAINING = TrainSection()
