"""Paths in a search file are relative to the file; those of the command line and Python to the current folder."""

from pathlib import Path

import pytest

from archsieve.search.experiment.dry_run import notes
from archsieve.search.experiment.search_file import SearchFileError, load_experiment

from ...models.readers.conftest import as_csv, as_folder, images

FILE = '[data]\nname = "images"\npath = "{path}"\nimage_size = 16\n'


def write(folder: Path, path: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "search.toml").write_text(FILE.format(path=path))
    return folder / "search.toml"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which has a data set of two classes under the same name as the three of the search file."""
    for place, n_classes in (("project", 3), ("cwd", 2)):
        as_folder(images(n_classes=n_classes), tmp_path / place)
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path / "cwd"


def test_a_path_is_relative_to_the_file(elsewhere: Path) -> None:
    found = load_experiment(write(elsewhere.parent / "project", "folder"))
    assert found.classes == 3
    assert found.file.data.path == str(elsewhere.parent / "project" / "folder")
    assert found.path_notes == ()


def test_a_path_that_exists_only_in_the_current_folder_is_used_with_a_note(elsewhere: Path) -> None:
    found = load_experiment(write(elsewhere.parent / "empty", "folder"))
    assert found.file.data.path == str(elsewhere / "folder")
    assert str(elsewhere / "folder") in notes(found)[0]


def test_an_override_is_relative_to_the_current_folder(elsewhere: Path) -> None:
    file = write(elsewhere.parent / "project", "folder")
    assert load_experiment(file, ["data.path=folder"]).classes == 2
    as_csv(images(n_classes=4), elsewhere.parent / "project")
    # a path that exists only next to the file is found there
    assert load_experiment(file, ["data.path=manifest.csv"]).classes == 4


def test_the_home_folder(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(elsewhere.parent / "project"))
    assert load_experiment(write(elsewhere.parent / "other", "~/folder")).classes == 3


def test_a_missing_path_is_shown_in_full(elsewhere: Path) -> None:
    with pytest.raises(SearchFileError, match=str(elsewhere.parent / "project" / "gone")):
        load_experiment(write(elsewhere.parent / "project", "gone"))


def test_a_pattern_is_relative_to_the_file(elsewhere: Path) -> None:
    from ...models.readers.conftest import as_shards

    as_shards(images(n_classes=4, splits=("train", "test")), elsewhere.parent / "project")
    found = load_experiment(write(elsewhere.parent / "project", "shards/{train,test}-*.tar"))
    assert found.classes == 4


def test_the_path_of_a_teacher_is_relative_to_the_file(elsewhere: Path) -> None:
    file = write(elsewhere.parent / "project", "folder")
    text = file.read_text() + '[recipe]\nteacher = ["none", "timm:resnet18", "models/teacher.safetensors"]\n'
    file.write_text(text)
    path = str(elsewhere.parent / "project" / "models" / "teacher.safetensors")
    assert load_experiment(file).file.recipe["teacher"] == ["none", "timm:resnet18", path]
    options = text.replace('["none"', '{ weights = [1, 1, 2], options = ["none"').replace(
        'safetensors"]', 'safetensors"] }'
    )
    file.write_text(options)
    assert load_experiment(file).file.recipe["teacher"]["options"] == ["none", "timm:resnet18", path]


def test_the_folder_of_a_sampler_is_relative_to_the_file(elsewhere: Path) -> None:
    package = elsewhere.parent / "project" / "packages" / "samplers" / "plain"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from optuna.samplers import RandomSampler\nclass Plain(RandomSampler): ...\n")
    file = write(elsewhere.parent / "project", "folder")
    search = '[search]\nsearcher = "optunahub:samplers/plain"\nsampler = { registry = "packages" }\n'
    file.write_text(file.read_text() + search)
    pytest.importorskip("optunahub")
    assert load_experiment(file).file.search.sampler == {"registry": str(elsewhere.parent / "project" / "packages")}
