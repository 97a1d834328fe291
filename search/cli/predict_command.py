"""The command that predicts the classes of image files: predict."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...models.process.garbage import resume_collection
from .options import DATABASE, Database, Imports, Json, Runs, check_device, import_modules
from .output import printable, show, show_json, show_message
from .search_commands import NOTHING_USABLE

if TYPE_CHECKING:
    from ..post.predict import Prediction, Unreadable

    Result = Prediction | Unreadable


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL|TRIAL|RUN", help="A model file, a trained trial, or a run.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|FOLDER...", help="Image files, and folders that contain them.")
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A CSV file to write.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    top: Annotated[int, typer.Option(min=1, help="The number of most probable classes of each image.")] = 1,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="For images with several labels: an image has the classes above this probability."
        ),
    ] = None,
    texts: Annotated[Path | None, typer.Option(help="For a zero-shot model: folder or .json of class texts.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="The number of images at a time.")] = 256,
    device: Annotated[str, typer.Option(help="The device: cpu, cuda or cuda:1.")] = "cpu",
    imports: Imports = None,
    database: Database = DATABASE,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Predict the classes of image files.

    MODEL is a .safetensors file or an exported .onnx file. A trial must be trained first with `archsieve train`; for
    a run, its best trained network is used. The command names each image that cannot be decoded, and predicts the
    others. In CSV and JSON such an image has an error instead of a class. For images with several labels, all labels
    above the threshold and the probability of each class are given. A zero-shot model predicts the classes of --texts.

    Example: archsieve predict digits photos/ -o classes.csv
    """
    from ..post.predict import Unreadable, predict_files

    resume_collection()
    import_modules(imports)
    check_device(device)
    if output is not None:
        _check_output(output, force)
    network = _model(model, database, runs, texts).to(device)
    files = list(_files(images))
    with _named_when_unreadable(len(files)) as watch:
        predictions = predict_files(network, files, top=top, batch_size=batch_size, threshold=threshold)
        results = list(watch(predictions))
    layout = SeveralLabels(network.classes) if network.multi_label else OneLabel(top)
    _show(results, layout, output, as_json)
    if failed := sum(isinstance(result, Unreadable) for result in results):
        show_message(f"{failed} of {len(files)} images cannot be decoded; the others are predicted")
        raise typer.Exit(NOTHING_USABLE)


def _show(results: "list[Result]", layout: "Layout", output: Path | None, as_json: bool) -> None:
    if output is not None:
        _write(output, results, layout)
    if as_json:
        show_json([_as_json(result, layout) for result in results])
    elif output is not None:
        show(_summary(output, results))
    else:
        show(_table(results, layout))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the image files of all paths; note how many files of a folder are left out."""
    from ...models.export.image_input import list_images

    for path in paths:
        listing = list_images(path)
        if listing.others:
            show_message(f"note: {listing.others} files in {path} are not images by their suffix; left out")
        yield from listing.images


def _check_output(output: Path, force: bool) -> None:
    from .train_commands import check_target

    if output.suffix != ".csv":
        raise ValueError(f"--output must be a .csv file, but got {str(output)!r}; use --json to print JSON")
    check_target(output, force)


def _model(name: str, database: Any, runs: Path | None, texts: Path | None) -> Any:
    """Return the model of a file, or of a trial or run in the database; a zero-shot one for ``texts``."""
    from ..post.predict import for_texts, is_model_file, is_zero_shot_file, load_recorded_model, load_zero_shot_file

    if is_zero_shot_file(name):
        return load_zero_shot_file(Path(name), texts)
    if is_model_file(name):
        from ...models.export.onnx_file import load_classifier
        from ..plugins.loading import load_entry_points

        load_entry_points()
        return for_texts(load_classifier(Path(name)), texts)
    from ...results.database.url import runs_folder
    from .options import open_read_only

    with open_read_only(database) as store:
        return for_texts(load_recorded_model(store, name, runs or runs_folder(database)), texts)


@contextmanager
def _named_when_unreadable(total: int) -> Iterator[Any]:
    """Show a progress bar on stderr; the result of the block passes predictions on and prints unreadable files."""
    from rich.console import Console
    from rich.progress import Progress

    from ..post.predict import Unreadable

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("images", total=total)

        def watch(results: "Iterator[Result]") -> "Iterator[Result]":
            for result in results:
                if isinstance(result, Unreadable):
                    console.print(
                        printable(f"archsieve: {result.message}"), highlight=False, markup=False, soft_wrap=True
                    )
                progress.advance(task)
                yield result

        yield watch


@dataclass(frozen=True)
class OneLabel:
    """One row for each image and class; with ``top`` above 1 the rows have a rank from 1."""

    top: int

    @property
    def headers(self) -> list[str]:
        """The columns between "image" and "error"."""
        return [*(["rank"] if self.top > 1 else []), "class", "probability"]

    def rows(self, prediction: "Prediction") -> list[list[Any]]:
        """Return the cells of these columns."""
        ranks = self.top > 1
        return [
            [*([rank] if ranks else []), name, f"{probability:.6f}"]
            for rank, (name, probability) in enumerate(prediction.ranking, start=1)
        ]

    def json(self, prediction: "Prediction") -> dict[str, Any]:
        """Return the fields of the prediction, except the image."""
        ranking = [{"class": name, "probability": probability} for name, probability in prediction.ranking]
        return {**ranking[0], **({"top": ranking} if self.top > 1 else {})}


@dataclass(frozen=True)
class SeveralLabels:
    """One row for each image: its labels, and the probability of each of ``classes``."""

    classes: tuple[str, ...]

    @property
    def headers(self) -> list[str]:
        """The columns between "image" and "error"."""
        return ["labels", *self.classes]

    def rows(self, prediction: "Prediction") -> list[list[Any]]:
        """Return the cells of these columns."""
        probability = dict(prediction.ranking)
        return [["; ".join(prediction.labels or ()), *(f"{probability[name]:.6f}" for name in self.classes)]]

    def json(self, prediction: "Prediction") -> dict[str, Any]:
        """Return the fields of the prediction, except the image."""
        return {"labels": list(prediction.labels or ()), "probabilities": dict(prediction.ranking)}


Layout = OneLabel | SeveralLabels


def _rows(results: "Iterable[Result]", layout: Layout) -> Iterator[list[Any]]:
    """Yield the rows of each image; one that cannot be decoded has one row with the error."""
    from ..post.predict import Prediction

    for result in results:
        if isinstance(result, Prediction):
            yield from ([result.image, *row, ""] for row in layout.rows(result))
        else:
            yield [result.image, *([""] * len(layout.headers)), result.message]


def _headers(layout: Layout) -> list[str]:
    return ["image", *layout.headers, "error"]


def _write(output: Path, results: "Iterable[Result]", layout: Layout) -> None:
    from ...results.database.atomic_file import atomic_write

    # surrogateescape: a name of a file may have bytes that are not UTF-8
    with (
        atomic_write(output) as draft,
        draft.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(_headers(layout))
        writer.writerows(_rows(results, layout))


def _table(results: "Iterable[Result]", layout: Layout) -> str:
    """Return the predictions as a table; the errors are printed on stderr."""
    from .tables import table

    rows = [row[:-1] for row in _rows(results, layout) if not row[-1]]
    return table("", _headers(layout)[:-1], rows, left=("image", "class", "labels"))


def _summary(output: Path, results: "list[Result]") -> str:
    from ..post.predict import Prediction

    predictions = [result for result in results if isinstance(result, Prediction)]
    counts = Counter(
        label for one in predictions for label in ([one.ranking[0][0]] if one.labels is None else one.labels)
    )
    of_classes = ", ".join(f"{name} {n}" for name, n in counts.most_common())
    return f"wrote {output}: {len(predictions)} images; {of_classes}"


def _as_json(result: "Result", layout: Layout) -> dict[str, Any]:
    from ..post.predict import Prediction

    fields = layout.json(result) if isinstance(result, Prediction) else {"error": _text(result.message)}
    return {"image": _text(result.image), **fields}


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # a name may have bytes that are not UTF-8
