"""Backbones: networks of timm and torchvision by name, with random weights."""

import warnings
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from ...spaces.architectures.architecture import check_input_shape
from ...spaces.parameters.lookup import look_up
from .torchvision_inputs import DEFAULT_INPUT, task_names


def backbone(
    name: str,
    *,
    classes: int | None = None,
    in_channels: int = 3,
    image_size: int | None = None,
    device: torch.device | str | None = None,
) -> nn.Module:
    """Build the network ``name``, as in "timm:resnet18" or "torchvision:vgg16", with random weights and no download.

    ``classes=None`` keeps the published number; 0 leaves out the classifier: (N, C, H, W) -> (N, features).
    ``image_size`` is the side of the images if it is not the published one; most networks take any size, but some are
    built for one. ``device="meta"`` builds without allocating memory. torchvision's auxiliary heads are left out of its
    classifiers. The networks of torchvision for other tasks than classification can be built, too.
    Raises ``ValueError`` for an unknown name, if timm is not installed, or for ``in_channels`` or an ``image_size``
    that cannot be built.
    """
    source, _, network = name.partition(":")
    make = look_up(_SOURCES, source, "source of networks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation notices inside timm and torchvision
        try:
            with torch.device(device or torch.get_default_device()):
                return make(network, classes, in_channels, image_size)
        except NotImplementedError:
            # Some constructors compute with tensor values, which meta tensors lack, e.g. torchvision's regnets.
            if str(device) != "meta":
                raise
            return make(network, classes, in_channels, image_size).to("meta")


def published_input(network: nn.Module) -> tuple[int, int, int]:
    """Return the input shape (C, H, W) that timm records for ``network``, or 3x224x224 if there is no record."""
    published: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    return check_input_shape(published.get("input_size", DEFAULT_INPUT))


def _timm(name: str, classes: int | None, in_channels: int, image_size: int | None) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError:
        raise ValueError(
            "timm networks need the package timm, but it is not installed; pip install 'archsieve[timm]'"
        ) from None
    if not timm.is_model(name):
        raise ValueError(_unknown("timm", name, timm.list_models()))
    # Without the argument timm keeps the published number of classes.
    extra: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=False, in_chans=in_channels, **extra, **size_argument(name, image_size)
        )
    except (AssertionError, TypeError, ValueError) as error:
        if image_size is None:
            raise
        raise _no_size(f"timm:{name}", image_size, error) from None
    return network


def _no_size(name: str, image_size: int, error: Exception) -> ValueError:
    return ValueError(
        f"{name} must take images of {image_size} pixels, but it cannot be built for them: "
        f"{type(error).__name__}: {str(error)[:200]}; use the published size"
    )


def size_argument(name: str, image_size: int | None) -> dict[str, Any]:
    """Return the argument of ``timm.create_model`` for ``image_size``; empty for networks that take any size."""
    config = timm_config(name)
    if image_size is None or config is None or not config.fixed_input_size or image_size == config.input_size[1]:
        return {}
    return {"img_size": image_size}


def timm_config(name: str) -> Any:
    """Return what timm publishes about the weights of ``name``; None if the installed version has no such network."""
    import timm

    return timm.get_pretrained_cfg(name)


def _torchvision(name: str, classes: int | None, in_channels: int, image_size: int | None) -> nn.Module:
    import torchvision

    if name not in (known := torchvision.models.list_models()):
        raise ValueError(_unknown("torchvision", name, known))
    if classes == 0 and name not in torchvision.models.list_models(module=torchvision.models):
        raise ValueError(
            f"only a network that classifies images has a classifier to leave out, but {name} does something else; "
            "use another network of torchvision or timm"
        )
    if in_channels != 3:
        raise ValueError(f"torchvision networks take 3 input channels, but got {in_channels}; use a timm network")
    extra: dict[str, Any] = {"num_classes": classes} if classes else {}
    if image_size is not None and name.startswith("vit_"):
        extra["image_size"] = image_size
    if name in ("googlenet", "inception_v3"):  # the two with auxiliary heads, and with a slow initialisation
        extra |= {"aux_logits": False, "init_weights": False}
    if name in task_names("detection", "segmentation"):
        extra["weights_backbone"] = None  # its default is a download
    try:
        network: nn.Module = torchvision.models.get_model(name, weights=None, **extra)
    except AssertionError as error:
        if image_size is None:
            raise
        raise _no_size(f"torchvision:{name}", image_size, error) from None
    return _without_classifier(network, name) if classes == 0 else network


_SOURCES: dict[str, Callable[[str, int | None, int, int | None], nn.Module]] = {
    "timm": _timm,
    "torchvision": _torchvision,
}


def _without_classifier(network: nn.Module, name: str) -> nn.Module:
    """Replace the last linear layer of ``network`` by the identity, and return ``network``."""
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(
            f"a torchvision network must have a linear layer to leave out its classifier, but {name} has none; "
            "use a timm network"
        )
    network.set_submodule(linear[-1], nn.Identity())
    return network


def _unknown(source: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"unknown {source} network {name!r}; {hint}{source} {version(source)} has {len(names):,} networks"
