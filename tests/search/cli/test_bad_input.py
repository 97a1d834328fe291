"""Bad input on the command line: one error, the right exit code, nothing is written and Ray is not started."""

import re

import pytest

SEARCH = 'name = "tiny"\n[data]\nlimit = 200\n'
SET = ("search", "tiny.toml", "-s")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a search file and with files that are not valid; Ray must not start."""
    import ray

    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    (tmp_path / "tiny.toml").write_text(SEARCH)
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    (tmp_path / "zero.toml").write_bytes(bytes(3))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "wrong.json").write_text('{"a": 1}')
    (tmp_path / "block.json").write_text('{"input_shape": [3, 8, 8], "blocks": [{"kind": "conw"}], "classes": 2}')
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "pattern"),
    [
        (("search", "binary.toml"), 2, "binary.toml .*byte 128"),
        (("search", "zero.toml"), 2, "zero.toml .*TOML"),
        (("search", "."), 2, r"\. is a folder"),
        ((*SET, "data.limit=5"), 2, "class '0' .*0.*`limit`"),
        ((*SET, "data.name=cifar10", "-s", "data.path=none"), 2, "none.*torchvision"),
        ((*SET, 'search.warm_start=["nope"]'), 5, "archsieve.db"),
        ((*SET, "search.folds=1000"), 2, "fold"),
        (("search", "tiny.toml", "--name", ""), 2, "run name .*1 to 100.*''"),
        (("search", "tiny.toml", "--name", "a b"), 2, "run name .*'a b'"),
        (("search", "tiny.toml", "--name", "x" * 300), 2, "run name .*1 to 100"),
        (("search", "tiny.toml", "--name", "a/b"), 6, "'a/b'"),
        (("search", "tiny.toml", "--db", "mysql://u:pw@h/d"), 5, r"mysql://u:\*\*\*@h/d.*postgresql://"),
        (("search", "tiny.toml", "--db", "."), 5, r"\. is a folder"),
        (("search", "tiny.toml", "--runs", "tiny.toml"), 4, "tiny.toml/tiny: Not a directory"),
        (("search", "tiny.toml", "--top", "0"), 2, "0 is not in the range x>=1"),
        (("search",), 2, "Missing argument"),
        (("search", "tiny.toml", "more"), 2, "unexpected extra argument"),
        (("search", "tiny.toml", "-s"), 2, "requires an argument"),
        (("search", "tiny.toml", "--nam", "x"), 2, "Possible options: --name"),
        (("serch", "tiny.toml"), 2, "Did you mean 'search'?"),
        (("results", "bst"), 2, "Did you mean 'best'?"),
        (("results", "best", "--max-params", "5 M"), 2, "--max-params .*'5 M'"),
        (("profile",), 2, "Missing argument"),
        (("profile", "."), 2, r"no architecture file \. "),
        (("profile", "binary.toml"), 2, "byte 128 of binary.toml"),
        (("profile", "deep.json"), 2, "deep.json nests"),
        (("profile", "empty.json"), 2, "JSON.* empty.json"),
        (("profile", "wrong.json"), 2, "input_shape, blocks, classes "),
        (("profile", "block.json"), 2, "'conw'.*'conv'"),
        (("profile", "resnet50", "--input", "0x1x1"), 2, "at least 1"),
        (("profile", "resnet50", "--input", "3x-1x4"), 2, "at least 1"),
        (("profile", "resnet50", "--classes", "0"), 2, "classes .*at least 2"),
        (("profile", "resnet20-cifar", "--device", "tpu"), 2, "--device .*cpu, cuda.*'tpu'"),
        (("profile", "resnet20-cifar", "--device", "cuda:999"), 4, "--device cuda:999: "),
        (("profile", "resnet50", "--remove", "99"), 2, "layer 99"),
        (("space", "tiny.toml", "--sample", "-1"), 2, "-1 is not in the range x>=0"),
        (("space", "tiny.toml", "--image-size", "8"), 2, "tiny.toml is a search file; set space.image_size"),
        (("space", "timm:*", "--image-size", "64", "--image-size", "96"), 2, "one image size.*64, 96; .*--sample"),
        (("space", "mixed", "--pretrained"), 2, "--pretrained .*'mixed'"),
        (("init", "imagefolder"), 2, "path"),
        (("init", "imagefolder", "--path", "none", "--image-size", "8"), 2, "none .*path"),
        (("init", "cifar10", "-o", "none/x.toml"), 2, "folder none .*x.toml"),
        (("init", "--image-size", "0"), 2, "0 is not in the range x>=1"),
    ],
)
def test_each_is_one_error_and_nothing_is_written(folder, line, arguments, code, pattern):
    before = sorted(folder.rglob("*"))
    exit_code, out, err = line(*arguments)
    assert re.search(pattern, err), err
    assert (exit_code, out) == (code, "")
    assert err.count("archsieve: ") + err.count("Error: ") == 1
    assert sorted(folder.rglob("*")) == before


def test_the_last_of_two_overrides_is_used_and_noted(folder, line):
    _, _, err = line(*SET, "recipe.epochs=3", "-s", "recipe.epochs=0")
    assert re.search(r"^note: recipe\.epochs .*2 times.* 3, 0", err, re.MULTILINE)
    assert "archsieve: -s recipe.epochs=0: recipe.epochs " in err


def test_an_error_of_the_operating_system_names_file_and_reason(folder, line, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "runs")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    code, _, err = line("search", "tiny.toml")
    assert code in (4, 5)
    assert "Permission denied" in err
