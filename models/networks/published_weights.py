"""Published weights, by timm's and torchvision's own mechanism: from the cache of the hub, or downloaded."""

import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor

from ...spaces.parameters.user_code import first_line
from .backbones import size_argument, timm_config
from .weight_files import with_current_names


def published_weights(name: str, in_channels: int, image_size: int | None) -> tuple[dict[str, Tensor], str, str]:
    """Return the tensors of the published network ``name``, the tag of its weights, and their file or address.

    The cache and the offline mode of the hub are honoured. Raises ``ValueError`` if no weights are published, or if
    they are not in the cache and cannot be downloaded.
    """
    source, _, architecture = name.partition(":")
    if source == "torchvision":
        return _torchvision(architecture)
    return _timm(architecture, in_channels, image_size)


def _timm(name: str, in_channels: int, image_size: int | None) -> tuple[dict[str, Tensor], str, str]:
    import timm

    config = timm_config(name)
    if config is None or not config.has_weights:
        raise ValueError(
            f'weights = "pretrained" needs published weights, but timm has none of {name}; choose another network '
            "(archsieve space timm:* --pretrained), or give a file"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = timm.create_model(name, pretrained=True, in_chans=in_channels, **size_argument(name, image_size))
    except (OSError, ValueError, RuntimeError) as error:  # among these are the errors of the hub, and of unsafe files
        raise _unreachable(f"timm:{name}", str(config.hf_hub_id or config.url), _hub_folder(), error) from None
    return network.state_dict(), str(config.tag or ""), _hub_file(config)


def _hub_folder() -> str:
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def _hub_file(config: Any) -> str:
    """Return the file in the hub's cache, or else the address of the weights."""
    from huggingface_hub import try_to_load_from_cache

    repository = config.hf_hub_id
    names = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    for file in names if repository else ():
        if isinstance(path := try_to_load_from_cache(repository, file), str):
            return path
    if config.url and (path := _checkpoint(config.url)).is_file():
        return str(path)
    return str(repository or config.url)


def _checkpoint(url: str) -> Path:
    """Return the file in torch's cache in which the weights of ``url`` are kept."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(url).name)


def cached_file(name: str) -> Path | None:
    """Return the file with the published weights of ``name`` on this machine, or None."""
    source, _, architecture = name.partition(":")
    if source == "torchvision":
        import torchvision

        file = _checkpoint(torchvision.models.get_model_weights(architecture).DEFAULT.url)
    else:
        config = timm_config(architecture)
        if config is None:  # the table is of another version of timm
            return None
        file = Path(_hub_file(config))
    return file if file.is_file() else None


def _torchvision(name: str) -> tuple[dict[str, Tensor], str, str]:
    import torchvision

    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = _checkpoint(weights.url)
    try:
        with redirect_stdout(sys.stderr):  # torch prints that it downloads, and stdout is for results
            # weights_only, because a file in a cache may have been changed
            state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError, UnpicklingError) as error:  # a RuntimeError if the hash is another
        raise _unreachable(f"torchvision:{name}", file.name, str(file.parent), error) from None
    return with_current_names(state), weights.name, str(file)


def _unreachable(name: str, missing: str, folder: str, error: Exception) -> ValueError:
    reason = f"{type(error).__name__}: {first_line(error)[:200]}"
    return ValueError(
        f"the published weights of {name} must be in the cache or the network must be reachable, but {missing} is not "
        f"in {folder} and cannot be downloaded: {reason}; fill the cache on a machine with a connection, or "
        "set weights to a folder with the files"
    )
