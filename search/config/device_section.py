"""The section ``[device]`` of a search file, and of a file for archsieve deploy: the device where networks will run."""

import shlex
from pathlib import Path

from pydantic import Field, field_validator

from ...models.profiling.device_command import MODEL, DeviceCommand
from ...spaces.parameters.lookup import look_up
from .section import Section

# Of archsieve export, without importing torch; a test compares them with the tables of the exporters.
FORMATS = ("torch-export", "onnx", "onnx-int8", "executorch", "executorch-int8", "c")


class DeviceSection(Section):
    """``[device]``: a command that measures the latency of an exported network on the device where it will run."""

    run: str | None = Field(
        default=None, description="Command that times a network on the device; {model} is the exported network."
    )
    format: str = Field(
        default="executorch", description="Format of the exported network: one of archsieve export --format."
    )
    name: str = Field(default="device", description="What the database calls the device.")
    timeout_s: float = Field(default=120.0, gt=0, description="Seconds that the command may take for a network.")
    retries: int = Field(default=2, ge=0, description="How often the command is repeated if the device is offline.")

    @field_validator("run")
    @classmethod
    def _names_the_model(cls, run: str | None) -> str | None:
        try:
            parts = shlex.split(run) if run is not None else [MODEL]
        except ValueError as error:
            raise ValueError(f"device.run must be a command, but got {run!r}: {error}; close the quotes") from None
        if not any(MODEL in part for part in parts):
            raise ValueError(
                f"device.run must have {MODEL} for the path of the network, but got {run!r}; write it as in "
                f"'ssh board ./timing {MODEL}'"
            )
        return run

    @field_validator("format")
    @classmethod
    def _is_known(cls, format: str) -> str:
        return look_up(dict(zip(FORMATS, FORMATS, strict=True)), format, "device.format")

    def command(self) -> DeviceCommand | None:
        """Return the command with the working folder of this process; None without ``run``."""
        if self.run is None:
            return None
        return DeviceCommand(self.run, self.name, self.timeout_s, self.retries, str(Path.cwd()))
