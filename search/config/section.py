"""The base of the tables of a search file."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the search file. Types are strict and unknown keys are errors, so that no typing error is ignored."""

    # frozen: an experiment caches what it derives from the file
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
