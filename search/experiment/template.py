"""The search file that ``archsieve init`` writes: every key with its default and one sentence that explains it."""

import json
import math
import os
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo

from ...models.data.shapes import IMAGES, OWN_IMAGES, count_training_images
from ...models.process.cores import usable_cores
from ...spaces.architectures.budget import parse_count
from ...spaces.metrics.registry import ACCURACY, MULTI_LABEL_METRIC
from ...spaces.parameters.task_kinds import ZERO_SHOT
from ..config.latency_section import LatencySection
from ..config.schema import (
    DataSection,
    ResourcesSection,
    SearchFile,
    SpaceSection,
    ZeroShotSection,
)
from ..config.search_section import SearchSection
from ..config.section import Section
from ..tasks.base import Task
from ..tasks.registry import task_of
from .timed_budget import Proposal, propose, sides_below, time_steps

if TYPE_CHECKING:
    from ...models.image_files.index import Index

Columns = Mapping[str, str | Sequence[str]]

# Recipe keys that a new search file sets or searches; the other keys are commented out with their defaults.
SEARCHED_ZERO_SHOT = {
    "epochs": "12",
    "form": '["fc", "conv", "fc+conv"]',
    "text": '["tfidf", "tfidf-stop"]',
    "k": "[50, 100]",
    "hidden": "[200, 300]",
    "filters": "[4, 8]",
    "loss": '["bce", "softmax"]',
    "similarity": '"cosine"',
    "calibration": '"posterior"',
    "lr": "{ low = 1e-3, high = 1e-2, log = true }",
}
SEARCHED = {
    "epochs": "12",
    "lr": "{ low = 1e-2, high = 1.0, log = true }",
    "weight_decay": "{ low = 1e-5, high = 1e-2, log = true }",
    "dropout": "[0.0, 0.1, 0.3]",
}
RECIPE_COMMENTS = {
    "epochs": "Number of passes over the training images.",
    "batch_size": "Number of images in a training step.",
    "optimizer": "Optimizer: sgd, adam or adamw.",
    "lr": 'Largest learning rate; "auto" uses the first of 1, 1/2, 1/4, ... that trains.',
    "momentum": "Momentum of sgd; the first beta of adam and adamw.",
    "nesterov": "Whether sgd uses Nesterov momentum.",
    "weight_decay": "Weight decay of the optimizer: L2 for sgd and adam, decoupled for adamw.",
    "decay_norms": "Whether biases and normalisation layers have weight decay, too.",
    "schedule": "Learning rate schedule: cosine, step, one-cycle or constant.",
    "lr_end": "Learning rate of the last step, as a fraction of lr; not for constant.",
    "warmup_epochs": "Number of epochs in which the learning rate rises linearly to lr.",
    "dropout": "Probability that an input of a fully connected layer is set to 0.",
    "label_smoothing": "Fraction of the label that is spread over all classes.",
    "augmentation": "Augmentation: none, shift, shift-flip, standard (shift, flip, rotation, jitter) or crop-flip.",
    "rotation_degrees": "Largest rotation of an image in degrees, in both directions.",
    "jitter": "Largest relative change of brightness, contrast and saturation.",
    "noise_std": "Standard deviation of Gaussian noise, as a fraction of the full range of pixel values.",
    "elastic_alpha_px": "Strength of the elastic distortion in pixels.",
    "elastic_sigma_px": "Smoothness of the elastic distortion in pixels; used with elastic_alpha_px.",
    "dropconnect": "Probability that a weight of a fully connected layer is set to 0.",
    "l1": "Strength of the L1 penalty on weights (proximal step, times the learning rate).",
    "activation_l1": "Weight of the mean absolute activation in the loss.",
    "init": "Initialisation of weights: he or glorot.",
    "averaging": "Weight averaging: none, ema or swa.",
    "ema_decay": "Decay of the average per step; used with averaging = ema.",
    "swa_start": "Fraction of the epochs before averaging starts; used with averaging = swa.",
    "qat_epochs": "Last epochs of quantisation-aware training: weights and activations are rounded to int8.",
    "auxiliary": "Auxiliary task during training: none, rotation or reconstruction.",
    "auxiliary_weight": "Weight of the auxiliary loss; used with an auxiliary task.",
    "class_weights": "Weight of each class in the loss: none, balanced or a table such as { cat = 1.0, dog = 3.0 }.",
    "sampling": "How an epoch draws images: shuffle (each once) or balanced (each class equally often).",
    "find_lr": "Whether training uses the first of lr, lr/2, lr/4, ... at which the loss falls.",
    "train": "What is trained: all, head (the last linear layer, on features that are computed once) or head-then-all.",
    "head_epochs": "Epochs in which only the head is trained; used with train = head-then-all.",
    "frozen_stages": "Number of stages, from the input on, that are never trained.",
    "layer_lr_decay": "Learning rate of a layer, as a fraction of that of the layer after it.",
    "head_lr_factor": "Factor on the learning rate of the head.",
    "adapter": "Low-rank adapters that are trained in place of the weights: none or lora.",
    "lora_rank": "Rank of the adapters; used with adapter = lora.",
    "lora_alpha": "Adapters are multiplied by lora_alpha / lora_rank; used with adapter = lora.",
    "drop_path": "Probability that the last residual branch is left out; it falls towards the input.",
    "clip_grad_norm": "Largest norm of the gradient; 0 for no limit.",
    "mixup_alpha": "Average images and labels of a batch in pairs; the share is drawn from Beta(alpha, alpha).",
    "cutmix_alpha": "Replace a rectangle of each image by one of another image; its area is drawn likewise.",
    "randaugment_ops": "Number of random changes of each image by RandAugment.",
    "randaugment_magnitude": "Strength of these changes, 0 to 30; used with randaugment_ops.",
    "random_erasing": "Probability that a rectangle of an image gets the mean colour.",
    "teacher": "Saved model, or a network such as timm:resnet18, from which the network learns; none without.",
    "distill_weight": "Weight of the teacher in the loss; used with a teacher.",
    "distill_temperature": "Logits are divided by it before they are compared; used with a teacher.",
    "form": "What the text network predicts for a class: a vector (fc), filters (conv) or both (fc+conv).",
    "text": "Text features: tfidf, tfidf-stop, tfidf-stem, tfidf-stem-stop, names or sentence:NAME.",
    "k": "Number of entries of the predicted vector; used with fc.",
    "hidden": "Width of the hidden layer of the text network.",
    "filters": "Number of predicted filters; used with conv.",
    "filter_size": "Height and width of a predicted filter; an odd number.",
    "loss": "Loss: bce, hinge, euclidean or softmax.",
    "similarity": "Score of an image for a class: dot or cosine.",
    "text_ridge": "Of the forms ridge and eszsl: strength of the penalty of texts.",
    "image_ridge": "Of the form eszsl: strength of the penalty of image vectors.",
    "calibration": "Scaling of scores: none, or posterior to make scores of different images comparable.",
}
# A larger data set supports a larger network. Well-known networks have 4 (GoogLeNet) to 20 (ResNet-50) parameters per
# image of ImageNet; ResNet-20 and ResNet-56 have 5 to 17 parameters per image of CIFAR-10.
PARAMS_PER_IMAGE, MACS_PER_PARAM = 10, 100
MIN_PARAMS = 60_000  # with fewer, a space has too few architectures to choose from
USUAL_MACS_PER_PIXEL = 20_000  # nine of ten networks of ``mixed`` with so few parameters need less
# Budgets of zero-shot networks by the largest side of an image. The number of training images is not known here: it
# depends on which classes are drawn for training.
BUDGETS = ((16, "60k", "6M"), (32, "500k", "50M"), (64, "2M", "200M"))
LARGEST_BUDGET = ("5M", "600M")


def search_file_text(
    data: str,
    *,
    path: str | None = None,
    image_size: int | None = None,
    texts: str | None = None,
    minutes: float | None = None,
    columns: Columns | None = None,
    label_separator: str | None = None,
    nested: bool = False,
    folder: Path | None = None,
) -> str:
    """Return the text of a search file for the data set ``data``.

    Args:
        data: Name of a data set; ``images`` for own images.
        path: Where the data are, relative to the current folder. Own images are listed to recommend a budget.
        image_size: Side of own images in pixels; by default chosen from their sizes and the time.
        texts: Folder of the class texts, relative to the current folder; makes the search zero-shot.
        minutes: Time of the search, from which image size, budget and trials are chosen; two networks are timed.
        columns: Columns of a manifest by role, as in ``data.columns``.
        label_separator: Text between the labels of an image with several labels.
        nested: Whether folders inside class folders are classes, too.
        folder: Folder of the search file, to which the paths in it are relative; None for the current folder.

    Raises:
        ValueError: The data set is unknown, or an argument that it needs is missing or does not apply.
    """
    name = data if texts is None else f"{data} with texts"
    if minutes is not None and (data not in OWN_IMAGES or texts is not None):
        raise ValueError(f"--minutes is for own images, but the data set is {name!r}; leave it out")
    if data not in OWN_IMAGES and (columns or label_separator or nested):
        raise ValueError(
            f"--column, --label-separator and --nested are for own images, but the data set is {data!r}; leave them out"
        )
    proposal = None
    reading: dict[str, Any] = {"columns": columns or None, "label_separator": label_separator or None, "nested": nested}
    if data in OWN_IMAGES and texts is None and path is not None and (image_size is None or minutes is not None):
        proposal = _proposal(path, image_size, DEFAULT_MINUTES if minutes is None else minutes, reading)
        image_size = proposal.image_size
    section = DataSection(name=data, path=path, image_size=image_size, texts=texts, **reading)
    text = _text(SearchFile(data=section), proposal)
    return _with_paths(text, section, folder)


DEFAULT_MINUTES = 10.0
VALIDATION_COST = 1 / 3  # time of an image relative to training, which has a backward pass of twice the work


def _proposal(path: str, image_size: int | None, minutes: float, reading: dict[str, Any]) -> Proposal:
    """Return what fits into ``minutes`` for own images; raise :class:`DataError` if they cannot be read.

    ``reading`` are the keys of ``[data]`` that say how a path is read.
    """
    from ...models.data.inspection import image_sizes
    from ...models.readers.read_index import read_index

    if not minutes > 0:
        raise ValueError(f"--minutes must be above 0, but got {minutes:g}; use a number such as 10")
    index = read_index(path, **reading)
    sides = [image_size] if image_size is not None else sides_below(image_sizes(index))
    n_images = count_training_images(IMAGES, path=path, **reading)
    pixels = max(sides) ** 2
    return propose(
        _images_an_epoch(index),
        time_steps(len(index.classes)),
        minutes=minutes,
        sides=sides,
        largest_macs=parse_count(recommended_budget(n_images, pixels)[1], "macs"),
        concurrent=usable_cores(),
    )


def _images_an_epoch(index: "Index") -> float:
    """Return the images that a trial trains on in an epoch, and a share of the validation images for their time."""
    from ...models.data.splits import missing_parts

    section, n_images = DataSection(), {part: float(len(rows)) for part, rows in index.rows.items()}
    missing = missing_parts(n_images, section.val_fraction, section.test_fraction)
    n_val = n_images.get("val", 0.0) + n_images["train"] * missing.get("val", 0.0)
    return n_images["train"] * (1 - sum(missing.values())) + VALIDATION_COST * n_val


def _with_paths(text: str, section: DataSection, folder: Path | None) -> str:
    """Return ``text`` with paths that are relative to ``folder`` instead of the current one."""
    if folder is None:
        return text
    for key in ("path", "texts"):
        value = getattr(section, key)
        if value is None or "://" in value or Path(value).expanduser().is_absolute():
            continue
        moved = Path(os.path.relpath(Path.cwd() / value, folder)).as_posix()
        text = text.replace(f"{key} = {_toml(value)}  #", f"{key} = {_toml(moved)}  #", 1)
    return text


def _text(file: SearchFile, proposal: Proposal | None) -> str:
    section, data, path = file.data, file.data.name, file.data.path
    task = task_of(file)
    shape = task.describe(file)
    zero_shot = task.name == ZERO_SHOT
    kind = "zero-shot" if zero_shot else f"{shape.n_classes} classes"
    recommendation = "" if zero_shot else RECOMMENDATION
    if zero_shot:
        params, macs = next(((p, m) for side, p, m in BUDGETS if shape.input_shape[1] <= side), LARGEST_BUDGET)
    else:
        n_all = count_training_images(
            data,
            path=path,
            columns=section.columns,
            nested=section.nested,
            label_separator=section.label_separator,
        )
        n_train = n_all * (1 - section.val_fraction)
        params, macs = recommended_budget(n_train, math.prod(shape.input_shape[1:]))
        macs = macs if proposal is None else _rounded(proposal.macs)
    parts = [
        f"# {data}: images of {'x'.join(map(str, shape.input_shape))}, {kind}\n{_timing(proposal)}"
        f'name = "{_run_name(section)}"  # Name of the run.',
        _table("data", section, ("test_fraction",) if zero_shot else ("texts", "unseen_fraction", "seen", "unseen")),
        "[budget]  # No architecture outside these limits is proposed; docs/budgets.md explains each limit.\n"
        f'params = "{params}"  # Largest number of trainable parameters{recommendation}.\n'
        f'macs = "{macs}"  # Largest number of multiply-accumulates of convolutions and linear layers for one image.\n'
        + BUDGET,
        SPACE.replace("# stem", f"{_line('features', shape.n_classes, _FEATURES)}\n# stem") if zero_shot else SPACE,
        _recipe(task),
        _table(
            "search",
            SearchSection(
                trials=SearchSection().trials if proposal is None else proposal.trials,
                metric=MULTI_LABEL_METRIC if shape.multi_label else ACCURACY,
            ),
            ("metric", "record_metrics") if zero_shot else (),
        ),
        *([_table("zero_shot", ZeroShotSection())] if zero_shot else []),
        _table("latency", LatencySection()),
        _table("resources", ResourcesSection()),
    ]
    return "\n\n".join(parts) + "\n"


def _timing(proposal: Proposal | None) -> str:
    if proposal is None:
        return ""
    return (
        f"# Image size, macs and trials are for a search of about {max(1, round(proposal.seconds / 60))} min on the "
        "cores of this machine,\n# estimated from two networks that were timed on it.\n"
    )


def _run_name(section: DataSection) -> str:
    """Return the name of the data set, or for own images that of their file or folder."""
    if section.name != IMAGES or section.path is None:
        return section.name
    path = Path(section.path)
    return re.sub(r"[^A-Za-z0-9._-]", "-", path.stem if path.suffix else path.name).lstrip("-.") or section.name


_FEATURES = SpaceSection.model_fields["features"]
BUDGET = """# activations = ...  # Largest number of elements in the outputs of those layers.
# memory_bytes = ...  # Largest predicted memory of training, such as "2GB".
# ram = ...  # Largest memory of the network on a device, such as "256kB"; flash = "1MB" limits its weights.
# precision = ...  # Number format on the device: "float32" or "int8".
# latency_ms = ...  # Largest median time of a forward pass in milliseconds.
# min_params = ...  # Smallest number of trainable parameters; also min_macs, min_activations, min_memory_bytes."""
SPACE = """[space]
name = "mixed"  # Named space; remove it to describe stages with the keys below.
# contrast = [false, true]  # Whether local contrast normalisation is the first layer.
# stem = [8, 16]  # Channels of a 3x3 convolution before the stages.
# [[space.stages]]
# block = ["conv-pool", "residual", "inverted-residual"]  # Type of the blocks.
# depth = [1, 2, 3]  # Number of blocks; for conv-pool, convolutions before the pooling layer.
# width = [16, 24, 32, 48, 64]  # Number of output channels.
# kernel = [3, 5]  # Kernel size of conv-pool and inverted-residual; an odd number.
# halve = true  # Whether the stage halves the height and width of the image."""


RECOMMENDATION = f": {PARAMS_PER_IMAGE} per training image, at least {MIN_PARAMS // 1000}k"


def recommended_budget(n_train: float, pixels: int) -> tuple[str, str]:
    """Return the recommended budget of parameters and multiply-accumulates, as text for a search file.

    ``n_train`` is the number of training images and ``pixels`` the pixels of one image.

    >>> recommended_budget(1_150, 8 * 8), recommended_budget(40_000, 32 * 32), recommended_budget(1_280_000, 224 * 224)
    (('60k', '6M'), ('400k', '40M'), ('13M', '1.3G'))
    >>> recommended_budget(600, 64 * 64)  # few but large images: the first layers work on every pixel
    ('60k', '82M')
    """
    params = max(MIN_PARAMS, PARAMS_PER_IMAGE * n_train)
    macs = max(MACS_PER_PARAM * params, USUAL_MACS_PER_PIXEL * pixels)
    return _rounded(params), _rounded(macs)


def _rounded(count: float) -> str:
    """Return a count with two significant digits and a unit."""
    value = float(f"{count:.1e}")
    unit, factor = next((unit, factor) for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if value >= factor)
    return f"{value / factor:g}{unit}"


def _table(name: str, section: Section, without: Container[str] = ()) -> str:
    """Return a table of the search file: keys with a default are set, keys without one are commented out."""
    fields = type(section).model_fields.items()
    keys = {key: field for key, field in fields if field.description and key not in without}
    return "\n".join([f"[{name}]", *(_line(key, getattr(section, key), field) for key, field in keys.items())])


def _line(key: str, value: Any, field: FieldInfo) -> str:
    if value is None:
        return f"# {key} = ...  # {field.description}"
    return f"{key} = {_toml(value)}  # {field.description}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml(entry)}' for key, entry in value.items())} }}"
    # TOML has no pairs of surrogates, which JSON escapes characters above U+FFFF with
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _recipe(task: Task) -> str:
    """Return the table of recipe keys for a task."""
    searched = SEARCHED_ZERO_SHOT if task.name == ZERO_SHOT else SEARCHED
    page = "docs/zero_shot.md" if task.name == ZERO_SHOT else "docs/recipe.md"
    lines = [f"[recipe]  # A value is fixed; a list or a range is searched. More on each key: {page}"]
    lines += [f"{key} = {value}  # {RECIPE_COMMENTS[key]}" for key, value in searched.items()]
    defaults = {key: value for key, value in task.recipe().to_json().items() if key not in searched}
    lines += [f"# {key} = {json.dumps(value)}  # {RECIPE_COMMENTS[key]}" for key, value in defaults.items()]
    return "\n".join(lines)
