"""The file of ``archsieve deploy --device``: the device, and the limits that the network must meet there."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...spaces.architectures.budget import Budget
from .device_section import DeviceSection
from .section import Section


class DeployFile(Section):
    """``[device]`` and an optional ``[budget]`` with ``ram``, ``flash``, ``latency_ms``."""

    device: DeviceSection = DeviceSection()
    budget: dict[str, Any] = {}

    @property
    def limits(self) -> Budget:
        """The budget of the file."""
        return Budget.of(self.budget)


def load_deploy_file(path: Path) -> DeployFile:
    """Read a device file; raise ``ValueError`` with the place of a mistake."""
    try:
        file = DeployFile.model_validate(tomllib.loads(path.read_text()))
        _ = file.limits
    except FileNotFoundError:
        raise ValueError(f"--device must be a file with [device], but {path} does not exist; check the path") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:  # also of TOML
        raise ValueError(f"{path}: {error}") from None
    return file
