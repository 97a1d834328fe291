"""Checks of the search file of a zero-shot search, before its data are loaded."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.data.shapes import FEATURES
from ...spaces.metrics.registry import ACCURACY
from ...spaces.networks.patterns import PRETRAINED, WEIGHT_SUFFIXES
from ...spaces.recipes.parameter_table import written_options
from ...spaces.recipes.zero_shot_recipe import LINEAR_FORMS, SENTENCE, VECTORS, ZeroShotRecipe
from .base import check_decoding_keys

if TYPE_CHECKING:
    from ..config.schema import SearchFile, SpaceSection

LABEL_PROXY = "grad_norm"  # the zero-cost proxy that needs labels
# keys of a recipe that change pixels, and their values without an effect
CHANGES_OF_PIXELS: dict[str, Any] = {
    "augmentation": "none",
    **dict.fromkeys(("rotation_degrees", "jitter", "noise_std", "elastic_alpha_px", "randaugment_ops"), 0),
    "random_erasing": 0,
}


def check_file(file: "SearchFile") -> None:
    """Raise ``ValueError`` if the search file has settings that zero-shot searches do not support."""
    data = file.data
    if data.test_fraction != type(data).model_fields["test_fraction"].default:
        raise ValueError(
            "data.test_fraction must be left out for zero-shot data, which are tested on unseen classes, but got "
            f"{data.test_fraction}; set data.unseen_fraction"
        )
    if data.storage not in ("auto", "memory"):
        raise ValueError(
            f"data.storage must be auto or memory for zero-shot data, but got {data.storage!r}; leave it out"
        )
    if data.limit is not None and data.name != "glyphs":
        raise ValueError(
            f"data.limit must be left out for zero-shot data other than glyphs, but got {data.limit} for "
            f"{data.name!r}; leave it out"
        )
    check_decoding_keys(data)
    if data.label_separator is not None:
        raise ValueError(
            f"data.label_separator must be left out for zero-shot data, which have one class for each image, but "
            f"got {data.label_separator!r}; leave it out"
        )
    if file.search.metric != ACCURACY or file.search.record_metrics or file.search.direction:
        raise ValueError(
            "search.metric and search.record_metrics are for classification: a zero-shot search selects by the "
            f"calibrated H, but got {[file.search.metric, *file.search.record_metrics]}; leave them out"
        )
    if file.device.run is not None:
        raise ValueError(
            "device.run must be left out for zero-shot data, whose networks have a head that no device format has; "
            f"but got {file.device.run!r}"
        )
    _check_proxies(file)
    _check_recipe(file.recipe)
    if file.data.name == FEATURES:
        _check_features(file)
    _check_backbone(file)
    if file.zero_shot.baselines is not None:
        _check_baselines(file.zero_shot.baselines)


def check_weights(space: "SpaceSection", input_shape: tuple[int, int, int]) -> None:
    """Raise ``ValueError`` for weights that do not fit their backbone: they must fail before Ray starts."""
    from ...models.networks.backbones import backbone
    from ...models.networks.pretrained import load_weights
    from ...models.networks.weight_files import find_weights

    weights, names = space.weights, space.backbone
    channels, side, _ = input_shape
    if weights is None or names is None:
        return
    if isinstance(names, str):
        network = backbone(names, classes=0, in_channels=channels, image_size=side)
        load_weights(network, names, weights, channels, side)
    elif weights != PRETRAINED:
        for name in names:  # reading all files would take long
            find_weights(name, Path(weights))


def _check_recipe(recipe: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for recipes that would fail only in a worker."""
    size = recipe.get("filter_size")
    if isinstance(size, Mapping) and "options" not in size:  # a table without options is a range
        raise ValueError(
            "recipe.filter_size must be odd, but got a range, which has even numbers too; give a list, as in [1, 3, 5]"
        )
    if any(str(text).startswith(SENTENCE) for text in written_options(recipe.get("text", ""))):
        try:
            import sentence_transformers  # noqa: F401
        except ModuleNotFoundError:
            raise ValueError(
                "recipe.text: a sentence encoder needs the package sentence-transformers, but it is not installed; "
                "run pip install 'archsieve[sentence]'"
            ) from None


def _check_features(file: "SearchFile") -> None:
    """Raise ``ValueError`` for settings that are for images: own features are vectors."""
    for key in ("backbone", "image_size"):
        if (value := getattr(file.space, key)) is not None:
            raise ValueError(
                f"space.{key} is for images, but the data are features, and {key} is {value!r}; leave it out"
            )
    for key, off in CHANGES_OF_PIXELS.items():
        if any(option != off for option in written_options(file.recipe.get(key, off))):
            raise ValueError(
                f"recipe.{key} changes images, but the data are features, and it is {file.recipe[key]!r}; leave it out"
            )


def check_texts_fit(texts: Sequence[str], recipe: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` if a kind of text in ``recipe`` reads numbers as words, or words as numbers."""
    vectors = [_vector_width(text) for text in texts]
    for kind in written_options(recipe.get("text", ZeroShotRecipe.text)):
        if kind == VECTORS and (None in vectors or len(set(vectors)) > 1):
            position = vectors.index(None) if None in vectors else 0
            raise ValueError(
                "recipe.text 'vectors' needs the same number of finite numbers for each class, but a text begins with "
                f"{texts[position][:30]!r}; use another kind such as tfidf, or set data.texts to an .npz file"
            )
        # one number may be a word, such as the name of a year
        if kind not in (VECTORS, "names") and all(width is not None and width > 1 for width in vectors):
            raise ValueError(
                f"recipe.text {kind!r} is for words, but the texts of all classes are numbers, the first begins with "
                f"{texts[0][:30]!r}; set recipe.text = 'vectors'"
            )


def _vector_width(text: str) -> int | None:
    """Return the number of entries of a text that is a vector; None for other texts."""
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        return None
    return len(numbers) if all(map(isfinite, numbers)) else None


def _check_backbone(file: "SearchFile") -> None:
    """Raise ``ValueError`` if the search file has settings that its backbone does not support."""
    space, recipe = file.space, file.recipe
    if space.networks is not None:
        raise ValueError(
            f"space.networks is for labelled images, but the data have texts and networks is {space.networks!r}; "
            'name the networks in space.backbone, as in backbone = ["timm:resnet18"]'
        )
    if space.backbone is None:
        if file.data.name != FEATURES and (linear := [form for form in _forms(recipe) if form in LINEAR_FORMS]):
            raise ValueError(
                f"recipe.form {linear[0]!r} is linear in the vector of a frozen backbone, but space.backbone is not "
                'set; set it, as in backbone = "timm:resnet18", or use the forms fc, conv and fc+conv'
            )
        if space.weights is not None:
            raise ValueError(
                f"space.weights needs space.backbone, but got weights {space.weights!r} alone; add their backbone, or "
                "leave space.weights out"
            )
        return
    if space.name is not None or space.stages is not None:
        raise ValueError(
            "a space must have only one of backbone, name and stages, but space.backbone is set together with "
            "another key; leave the other keys out"
        )
    # a file of weights has the shapes of one network
    is_file = space.weights is not None and Path(space.weights).suffix in WEIGHT_SUFFIXES
    if is_file and not isinstance(space.backbone, str):
        raise ValueError(
            f"a file in space.weights needs a single space.backbone, but got {space.backbone}; set only the backbone "
            'of these weights, or set space.weights to a folder of files NAME.safetensors, or to "pretrained"'
        )
    allowed = ("fc", *LINEAR_FORMS) if space.frozen else ("fc",)
    if other := [form for form in _forms(recipe) if form not in allowed]:
        raise ValueError(
            f"recipe.form must be one of {', '.join(allowed)} with a {'frozen' if space.frozen else 'fine-tuned'} "
            f"backbone, because the size of its feature map is not known in advance, but got {other[0]!r}; leave it out"
        )
    # a frozen backbone computes the features of each image once, before the first epoch
    changes = [option for option in written_options(recipe.get("augmentation", "none")) if option != "none"]
    if space.frozen and changes:
        raise ValueError(
            'recipe.augmentation must be "none" with a frozen backbone, which reads each image only once, but got '
            f"{changes[0]!r}; leave it out, or set space.frozen = false"
        )


def _forms(recipe: Mapping[str, Any]) -> list[Any]:
    return written_options(recipe.get("form", "fc"))


def _check_proxies(file: "SearchFile") -> None:
    """Raise ``ValueError`` if a proxy needs labels: an image network of this task has features, not classes."""
    warmup = file.search.warmup
    if LABEL_PROXY in (*file.search.proxies, warmup.proxy if warmup else ""):
        raise ValueError(
            "search.proxies and search.warmup.proxy must not need labels, because the image networks of zero-shot data "
            f"output no classes, but got {LABEL_PROXY}; use synflow, naswot or jacob_cov"
        )


def _check_baselines(names: list[str]) -> None:
    """Raise ``ValueError`` for an unknown baseline, with the nearest name."""
    from ...models.zero_shot.baselines import BASELINES
    from ...spaces.parameters.lookup import unknown

    for name in names:
        if name not in BASELINES:
            raise ValueError(f"zero_shot.baselines: {unknown('baseline', name, BASELINES)}")
