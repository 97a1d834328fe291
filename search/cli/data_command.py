"""The commands that look at data: data, and init, which writes a search file for a data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...models.process.garbage import resume_collection
from .options import Column, Json, LabelSeparator, Nested, Settings, check_settings
from .output import show, show_json, show_message

if TYPE_CHECKING:
    from ...models.data.dataset import Request
    from ...models.data.inspection import Inspection
    from ...models.image_files.index import Index

DEFAULT_IMAGE_SIZE = 64  # pixels a side
MAX_SHOWN_CLASSES = 20
SHOWN_IMBALANCE = 2.0


def data(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="Class folders, a manifest, tar shards, Parquet files, arrays, or a search file with your own images.",
        ),
    ],
    image_size: Annotated[
        int | None, typer.Option(min=1, help="The side of images in pixels. Default: that of the search file, or 64.")
    ] = None,
    column: Column = None,
    label_separator: LabelSeparator = None,
    nested: Nested = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write a contact sheet to this image file.")
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Show what is in a data set, and what is wrong with it.

    It shows the classes with their numbers of images, the sets of labels where images have several, the published
    splits, sizes, channels, copies of images, equal images with different labels, images of a single colour, files that
    cannot be decoded, and where a search would store the images.

    Example: archsieve data photos -o sheet.png
    """
    from ...models.data.image_folder import read_requested
    from ...models.data.inspection import contact_sheet

    resume_collection()
    options = _options(target, image_size, _columns(column or ()), nested, label_separator, settings)
    assert options.path is not None  # _options sets it
    index = read_requested(options.path, options).with_digests()
    inspection = _inspect(index, options)
    if output is not None:
        contact_sheet(index, options.decoding, output)
    if as_json:
        show_json({**inspection.to_json(), "sheet": None if output is None else str(output)})
    else:
        show(*_lines(inspection), *([] if output is None else [f"sheet:      {output}"]))


def _inspect(index: "Index", options: "Request") -> "Inspection":
    from rich.console import Console
    from rich.progress import Progress

    from ...models.data.image_folder import stored_index
    from ...models.data.inspection import inspect_images

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("images", total=None)
        return inspect_images(
            index,
            options.decoding,
            storage=options.storage,
            stored=stored_index(index, options),
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )


def _columns(columns: "tuple[str, ...] | list[str]") -> "dict[str, str | list[str]]":
    """Return the columns by role; several of one role are a list."""
    names = dict[str, list[str]]()
    for entry in columns:
        if "=" not in entry:
            raise ValueError(f"--column must be ROLE=NAME, but got {entry!r}; write it like --column label=species")
        role, name = entry.split("=", 1)
        names.setdefault(role, []).append(name)
    return {role: several[0] if len(several) == 1 else several for role, several in names.items()}


def _options(
    target: str,
    image_size: int | None,
    columns: "dict[str, str | list[str]]",
    nested: bool,
    label_separator: str | None,
    settings: list[str] | None,
) -> "Request":
    """Return the request for the images of a path or of a search file; options replace keys of the file."""
    from ...models.data.dataset import Request
    from ...models.image_files.locations import location
    from ...models.storage.choice import StorageOptions

    if not target.endswith(".toml"):
        check_settings(settings, target)
        size = image_size or DEFAULT_IMAGE_SIZE
        return Request(location(target), size, columns=columns or None, nested=nested, label_separator=label_separator)
    section = _data_section(target, settings)
    return Request(
        location(section.path),
        image_size or section.image_size or DEFAULT_IMAGE_SIZE,
        resize=section.resize,
        interpolation=section.interpolation,
        crop_pct=section.crop_pct,
        background=tuple(section.background),
        value_range=section.value_range,
        columns={**(section.columns or {}), **columns} or None,
        nested=nested or section.nested,
        label_separator=label_separator or section.label_separator,
        decoding_rules=section.decoding_rules,
        limit=section.limit,
        seed=section.seed,
        storage=StorageOptions(section.storage, section.cache, write=False),
    )


def _data_section(file: str, settings: list[str] | None) -> Any:
    from ...models.data.shapes import OWN_IMAGES
    from ..experiment.search_file import load_experiment

    section = load_experiment(file, settings or ()).file.data
    if section.name not in OWN_IMAGES or section.path is None:
        raise ValueError(
            f"archsieve data shows your own images, but {file} uses the data set {section.name!r}; "
            'use a file with data.name = "images" and data.path'
        )
    return section


def _lines(found: "Inspection") -> list[str]:
    """Return the inspection as text."""
    from ...models.storage.choice import size_text

    of = "" if found.examined == found.rows else f" of {found.examined:,} examined images"
    lines = [
        f"{found.rows:,} images of {len(found.classes)} classes, read as {found.reader}: {found.root}",
        f"splits:     {_counts(found.splits)}",
        f"classes:    {_counts(found.classes)}",
        *_label_lines(found),
    ]
    if found.width is not None and found.height is not None:
        lines += [
            f"width:      {found.width.min:g} to {found.width.max:g} pixels, median {found.width.median:g}",
            f"height:     {found.height.min:g} to {found.height.max:g} pixels, median {found.height.median:g}",
            f"channels:   {_counts(found.channels)}; formats: {_counts(found.formats)}",
        ]
    lines += [
        f"duplicates: {found.duplicates:,} images repeat another one{_example(found, 'duplicates')}",
        f"conflicts:  {found.conflicts:,} images equal one of another class{_example(found, 'conflicts')}",
        f"constant:   {found.constant:,} images{of} have a single colour{_example(found, 'constant')}",
        f"odd files:  {found.odd:,}{of} cannot be decoded{_example(found, 'odd')}",
        f"storage:    {found.storage.kind}, {size_text(found.storage.bytes)} at {found.image_size} pixels a side, "
        f"about {found.decode_s:.0f} s to decode: {found.storage.reason}",
    ]
    return lines + [f"note: {note}" for note in (*found.notes, *([found.overlap] if found.overlap else []))]


def _label_lines(found: "Inspection") -> list[str]:
    """Return the imbalance, and the sets of labels where images have several."""
    lines = []
    if found.imbalance >= SHOWN_IMBALANCE:
        lines.append(f"imbalance:  the most frequent class has {found.imbalance:.1f} times the images of the rarest")
    if found.label_sets is not None:
        sets = found.label_sets
        of_number = ", ".join(f"{number}: {images:,} images" for number, images in sets.per_image.items())
        more = sets.n_sets - len(sets.sets)
        frequent = "; ".join(f"{labels} {images:,}" for labels, images in sets.sets.items())
        lines += [
            f"labels:     per image {of_number}",
            f"label sets: {sets.n_sets:,}: {frequent}" + (f" and {more:,} more" if more else ""),
        ]
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:MAX_SHOWN_CLASSES]]
    more = len(counts) - MAX_SHOWN_CLASSES
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def _example(found: "Inspection", key: str) -> str:
    examples = [one if isinstance(one, str) else " = ".join(one) for one in found.examples[key]]
    return f", such as {examples[0]}" if examples else ""


def init(
    data: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="The name of a data set, or a path to your own images.")
    ] = "digits",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write. Default: NAME.toml.")
    ] = None,
    path: Annotated[str | None, typer.Option(help="The folder of a data set given by its name.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="The side of your own images in pixels. Default: chosen for --minutes.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="The planned time, which sets image size, budget and trials. Default: 10.")
    ] = None,
    texts: Annotated[
        str | None, typer.Option(help="The folder of the files CLASS.txt, for zero-shot learning.")
    ] = None,
    column: Column = None,
    label_separator: LabelSeparator = None,
    nested: Nested = False,
) -> None:
    """Write a search file that explains each key.

    For your own images (class folders, a manifest, tar shards, Parquet files or arrays), two small networks are timed
    to propose image size, budget and number of trials for a search of --minutes.

    Example: archsieve init photos --minutes 10 -o photos.toml
    """
    from ...models.data.shapes import IMAGES, is_data_name
    from ..experiment.template import search_file_text

    if path is None and (_is_folder_of_images(data) or (not is_data_name(data) and _looks_like_path(data))):
        data, path = IMAGES, data
    target = output or Path(f"{Path(path or data).stem if data == IMAGES else data}.toml")
    text = search_file_text(
        data,
        path=path,
        image_size=image_size,
        texts=texts,
        minutes=minutes,
        columns=_columns(column or ()),
        label_separator=label_separator,
        nested=nested,
        folder=target.parent.absolute(),
    )
    _write_new(target, text)
    show(f"wrote {target}; run it with: archsieve search {target}")


def _write_new(target: Path, text: str) -> None:
    """Write ``text`` to a new file. Raises ``ValueError`` for a file that exists, and a folder that does not."""
    try:
        # mode x fails for an existing file, which may have changes of the user
        with target.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise ValueError(f"{target} exists already and was not changed; use another file with -o") from None
    except FileNotFoundError:
        raise ValueError(f"the folder {target.parent} of {target.name} does not exist; create it first") from None


def _looks_like_path(text: str) -> bool:
    return Path(text).expanduser().exists() or any(mark in text for mark in "/\\.*?{~")


def _is_folder_of_images(name: str) -> bool:
    """Return whether the name of a data set means a folder of this name; a note names what is used.

    Own images without a path can only be the folder.
    """
    from ...models.data.shapes import OWN_IMAGES, is_data_name

    if not is_data_name(name) or not Path(name).is_dir():
        return False
    if name in OWN_IMAGES:
        show_message(f"note: {name} is a folder, and its images are used; give another path with --path")
        return True
    show_message(f"note: the data set {name} is used, not the folder of this name; write ./{name} for the folder")
    return False
