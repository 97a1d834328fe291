"""The command that computes the costs of one network: a published one, or one of a file, timm or torchvision."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Classes, Input, Json, check_device, input_shape_of, is_file
from .output import show, show_json, show_message

if TYPE_CHECKING:
    from torch import nn

    from ...spaces.architectures.architecture import Architecture
    from ...spaces.blocks.base import Shape
    from ...spaces.blocks.cost import Cost

Output = tuple[dict[str, Any], list[str]]  # the same content as JSON and as lines of text


def profile(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A published network such as resnet20-cifar, a JSON file, timm:NAME or torchvision:NAME.",
        ),
    ],
    shape: Input = None,
    classes: Classes = None,
    remove: Annotated[str, typer.Option(help="Remove convolutions and linear layers by number, such as 3,4,6,7.")] = "",
    cross_check: Annotated[
        str | None, typer.Option(help="Also count the built network with torch or fvcore, and explain differences.")
    ] = None,
    old_cross_check: Annotated[str | None, typer.Option("--witness", hidden=True)] = None,  # its name in version 0.1.0
    device: Annotated[
        str | None, typer.Option(help="Also build the network and measure latency and memory: cpu or cuda.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Batch size for the predicted training memory.")] = 128,
    precision: Annotated[
        str, typer.Option(help="Number format on a device, for RAM and flash: float32 or int8.")
    ] = "float32",
    as_json: Json = False,
) -> None:
    """Show what a network costs, layer by layer.

    The costs are parameters, multiply-accumulates, activations, training memory, and RAM and flash on a device.

    Example: archsieve profile resnet20-cifar --cross-check torch
    """
    input_shape = input_shape_of(shape)
    if old_cross_check is not None:
        show_message("--witness is now called --cross-check")
        cross_check = cross_check or old_cross_check
    # timm:NAME and torchvision:NAME; a file name may contain a colon, too
    if not is_file(name) and ":" in name:
        if remove:
            raise ValueError(
                f"--remove needs a published network or an architecture file, but got {name}; leave --remove out"
            )
        values, texts = _library_network(name, input_shape, classes, cross_check, device)
    else:
        values, texts = _architecture_costs(
            name, input_shape, classes, _numbers(remove), cross_check, device, batch_size, precision
        )
    if as_json:
        show_json({"name": name, **values})
    else:
        show(*texts)


def _architecture_costs(
    name: str,
    shape: tuple[int, int, int] | None,
    classes: int | None,
    remove: tuple[int, ...],
    cross_check: str | None,
    device: str | None,
    batch_size: int,
    precision: str,
) -> Output:
    """Return the closed-form costs of an architecture.

    The network is built only for a ``cross_check`` or a ``device``, because that loads torch.
    """
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.architectures.catalogue import remove_layers
    from ...spaces.architectures.cost import cost, layer_costs, shared_weights
    from .profile_tables import device_output
    from .tables import UNITS, cost_line, layers_table, shared_weights_line

    whole = _architecture(name, shape, classes)
    network = Architecture(whole.input_shape, remove_layers(whole, remove, name), whole.classes) if remove else whole
    total, rows = cost(network, batch_size), layer_costs(network)
    title = f"{name}, input {'x'.join(map(str, network.input_shape))}, {network.classes} classes"
    head = {"input_shape": list(network.input_shape), "fingerprint": network.fingerprint}
    shared = shared_weights(rows)
    on_device, ram, device_line = device_output(network, precision)
    costs = {**total.to_json(), "flops": total.flops, **shared._asdict(), **on_device}
    layers = [{**row.to_json(), "ram_bytes": size} for row, size in zip(rows, ram, strict=True)]
    values = {**head, **costs, "layers": layers}
    texts = [layers_table(rows, total, title, ram), cost_line(total), device_line, *shared_weights_line(shared)]
    outputs = [_saved(cost(whole), total, remove)] if remove else []
    outputs += [_counted_again(network, cross_check)] if cross_check else []
    if device:
        from ...models.networks.build import build

        outputs.append(_measured(build(network), network.input_shape, device))
    for more_values, lines in outputs:
        values |= more_values
        texts += lines
    return values, [*texts, UNITS]


def _library_network(
    name: str, shape: tuple[int, int, int] | None, classes: int | None, cross_check: str | None, device: str | None
) -> Output:
    """Return the profile of a network of timm or torchvision, built on the meta device without memory for weights."""
    from ...models.networks.backbones import backbone
    from ...models.profiling.library_networks import profile_library_network
    from .profile_tables import profile_texts

    if device and "raft" in name:
        raise ValueError(f"--device times networks that take one image, but {name} takes two; leave --device out")
    profile = profile_library_network(name, shape, classes=classes, cross_check=cross_check or "torch")
    in_shape = profile.input_shape
    values, texts = profile.to_json(), profile_texts(profile, f"{name}, input {'x'.join(map(str, in_shape))}")
    if device:
        # built a second time: tensors on the meta device have no values, so they cannot be run
        built = backbone(name, classes=classes, in_channels=in_shape[0])
        more_values, lines = _measured(built, in_shape, device)
        values, texts = values | more_values, texts + lines
    return values, texts


def _saved(whole: "Cost", remaining: "Cost", remove: tuple[int, ...]) -> Output:
    from .profile_tables import saved_line

    params, macs = whole.params - remaining.params, whole.macs - remaining.macs
    shares = {"params_share": params / whole.params, "macs_share": macs / whole.macs}
    saved = {"params": params, "macs": macs, **shares}
    return {"removed": list(remove), "saved": saved}, [saved_line(remove, saved, whole)]


def _counted_again(architecture: "Architecture", cross_check: str) -> Output:
    """Compare the closed-form costs with the count of the built network by the library ``cross_check``."""
    from dataclasses import asdict, replace

    from ...models.networks.build import build
    from ...models.profiling.fvcore_check import differences, torch_cross_check
    from ...models.profiling.profiler import profile_module
    from ...spaces.architectures.cost import layer_costs
    from .profile_tables import cross_check_texts

    built = profile_module(build(architecture, device="meta"), architecture.input_shape, cross_check=cross_check)
    # layers are compared by family: libraries give their operators other names than our layers
    families = {"convolution": "convolution", "fully-connected": "matrix product"}
    ours = dict.fromkeys(families.values(), 0)
    for row in layer_costs(architecture):
        if row.kind in families:
            ours[families[row.kind]] += row.macs
    counts = built.cross_check or torch_cross_check(built)
    counts = replace(counts, differences=differences(ours, counts.operators, counts.not_counted))
    return {"cross_check": {**asdict(counts), "params": built.params}}, cross_check_texts(counts, sum(ours.values()))


def _measured(network: "nn.Module", shape: "Shape", device: str) -> Output:
    from ...models.profiling.latency import measure_latency
    from .profile_tables import measurement_line

    check_device(device)
    measurement = measure_latency(network, shape, device=device)
    return {"measured": measurement.to_json()}, [measurement_line(measurement)]


def _architecture(name: str, shape: tuple[int, int, int] | None, classes: int | None) -> "Architecture":
    if not is_file(name):
        from ...spaces.architectures.catalogue import named

        return named(name, input_shape=shape, classes=classes)
    from ...spaces.architectures.architecture import Architecture

    stored = _stored(Path(name))
    return Architecture(shape or stored.input_shape, stored.blocks, classes or stored.classes)


def _stored(path: Path) -> "Architecture":
    from ...spaces.architectures.architecture import Architecture

    if not path.is_file():
        raise ValueError(
            f"there is no architecture file {path} in {Path.cwd()}; check the path, or use the name of a "
            "published network"
        )
    try:
        return Architecture.from_json(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"an architecture file must be JSON, but {path} is not: {error}; write input_shape, blocks and classes"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"an architecture file must be UTF-8 text, but byte {error.start} of {path} is not; save it as UTF-8"
        ) from None
    except RecursionError:
        raise ValueError(
            f"{path} nests lists or objects too deeply for an architecture; write input_shape, blocks and classes"
        ) from None


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise ValueError(f"--remove must be layer numbers, but got {text!r}; use numbers such as 3,4,6,7") from None
