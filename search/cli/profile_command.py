"""The command that prices one network: of the catalogue, of a file, of timm or of torchvision."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Classes, Input, Json, check_device, input_shape_of, is_file, show, show_json

if TYPE_CHECKING:
    from torch import nn

    from ...spaces.architectures.architecture import Architecture
    from ...spaces.blocks.base import Shape
    from ...spaces.blocks.cost import Cost

Part = tuple[dict[str, Any], list[str]]  # what is said, as JSON and as text


def profile(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE", help="A network of the catalogue, an ARCH.json, timm:NAME or torchvision:NAME."
        ),
    ],
    shape: Input = None,
    classes: Classes = None,
    remove: Annotated[str, typer.Option(help="Leave out weighted layers by number, as in 3,4,6,7.")] = "",
    witness: Annotated[
        str | None, typer.Option(help="Build it and count again: torch or fvcore; differences are explained.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Build it and measure latency and memory: cpu or cuda.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Batch for the predicted training memory.")] = 128,
    as_json: Json = False,
) -> None:
    """Price a network layer by layer: parameters, multiply-accumulates, activations, training memory."""
    given = input_shape_of(shape)
    if not is_file(name) and ":" in name:
        if remove:
            raise ValueError(f"--remove takes layers out of a network of the catalogue, but {name} is none")
        told, texts = _foreign(name, given, classes, witness, device)
    else:
        told, texts = _described(name, given, classes, _numbers(remove), witness, device, batch_size)
    if as_json:
        show_json({"name": name, **told})
    else:
        show(*texts)


def _described(
    name: str,
    shape: tuple[int, int, int] | None,
    classes: int | None,
    remove: tuple[int, ...],
    witness: str | None,
    device: str | None,
    batch_size: int,
) -> Part:
    """The closed form of an architecture; only a witness or a device builds it."""
    from ...spaces.architectures.architecture import Architecture
    from ...spaces.architectures.catalogue import without
    from ...spaces.architectures.cost import cost, layer_costs, shared_weights
    from .tables import UNITS, cost_words, layers_table, shared_words

    whole = _architecture(name, shape, classes)
    left = Architecture(whole.input_shape, without(whole, remove, name), whole.classes) if remove else whole
    price, rows = cost(left, batch_size), layer_costs(left)
    title = f"{name}, input {'x'.join(map(str, left.input_shape))}, {left.classes} classes"
    head = {"input_shape": list(left.input_shape), "fingerprint": left.fingerprint}
    shared = shared_weights(rows)
    costs = {**price.to_json(), "flops": price.flops, **shared._asdict()}
    told = {**head, **costs, "layers": [row.to_json() for row in rows]}
    texts = [layers_table(rows, price, title), cost_words(price), *shared_words(shared)]
    parts = [_saved(cost(whole), price, remove)] if remove else []
    parts += [_second(left, witness)] if witness else []
    if device:
        from ...models.networks.build import build

        parts.append(_measured(build(left), left.input_shape, device))
    for also, lines in parts:
        told |= also
        texts += lines
    return told, [*texts, UNITS]


def _foreign(
    name: str, shape: tuple[int, int, int] | None, classes: int | None, witness: str | None, device: str | None
) -> Part:
    """The profile of a network of timm or torchvision, built on the meta device."""
    from ...models.networks.backbones import backbone, published_input
    from ...models.profiling.profiler import profile_module
    from .profile_tables import profile_texts

    network = backbone(name, classes=classes, in_channels=shape[0] if shape else 3, device="meta")
    in_shape = shape or published_input(network)
    found = profile_module(network, in_shape, witness=witness or "torch")
    told, texts = found.to_json(), profile_texts(found, f"{name}, input {'x'.join(map(str, in_shape))}")
    if device:
        built = backbone(name, classes=classes, in_channels=in_shape[0])
        also, lines = _measured(built, in_shape, device)
        told, texts = told | also, texts + lines
    return told, texts


def _saved(whole: "Cost", left: "Cost", remove: tuple[int, ...]) -> Part:
    from .profile_tables import saved_words

    params, macs = whole.params - left.params, whole.macs - left.macs
    shares = {"params_share": params / whole.params, "macs_share": macs / whole.macs}
    saved = {"params": params, "macs": macs, **shares}
    return {"removed": list(remove), "saved": saved}, [saved_words(remove, saved, whole)]


def _second(architecture: "Architecture", witness: str) -> Part:
    """The closed form held against the built network, counted by ``witness``."""
    from dataclasses import asdict, replace

    from ...models.networks.build import build
    from ...models.profiling.fvcore_check import differences, torch_witness
    from ...models.profiling.profiler import profile_module
    from ...spaces.architectures.cost import layer_costs
    from .profile_tables import witness_texts

    built = profile_module(build(architecture, device="meta"), architecture.input_shape, witness=witness)
    families = {"convolution": "convolution", "fully-connected": "matrix product"}
    ours = dict.fromkeys(families.values(), 0)
    for row in layer_costs(architecture):
        if row.kind in families:
            ours[families[row.kind]] += row.macs
    said = built.witness or torch_witness(built)
    said = replace(said, differences=differences(ours, said.operators, said.not_counted))
    return {"witness": {**asdict(said), "params": built.params}}, witness_texts(said, sum(ours.values()))


def _measured(network: "nn.Module", shape: "Shape", device: str) -> Part:
    from ...models.profiling.latency import measure_latency
    from .profile_tables import measured_words

    check_device(device)
    found = measure_latency(network, shape, device=device)
    return {"measured": found.to_json()}, [measured_words(found)]


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
        raise ValueError(f"there is no architecture file {path} in {Path.cwd()}")
    try:
        return Architecture.from_json(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is no JSON: {error}; an architecture file has input_shape, blocks and classes"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no architecture file: byte {error.start} is not UTF-8 text") from None
    except RecursionError:
        raise ValueError(f"{path} nests too deeply for an architecture") from None


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise ValueError(f"--remove takes layer numbers, as in 3,4,6,7, but got {text!r}") from None
