"""Bad input on the command line: one error, the right exit code, nothing written and no Ray started."""

import pytest

SEARCH = 'name = "tiny"\n[data]\nlimit = 200\n'
SET = ("search", "tiny.toml", "-s")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a search file and files that are none; Ray must not start."""
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
    ("arguments", "code", "said"),
    [
        (("search", "binary.toml"), 2, "binary.toml is not UTF-8 text: byte 128"),
        (("search", "zero.toml"), 2, "zero.toml is no TOML"),
        (("search", "."), 2, ". is a folder; name the search file in it"),
        ((*SET, "data.limit=5"), 2, "class '0' has 0; add images, raise `limit`"),
        ((*SET, "data.name=cifar10", "-s", "data.path=none"), 2, "data set CIFAR10 must be in none"),
        ((*SET, 'search.warm_start=["nope"]'), 5, "archsieve.db"),
        ((*SET, "search.folds=1000"), 2, "fold"),
        (("search", "tiny.toml", "--name", ""), 2, "1 to 100 letters"),
        (("search", "tiny.toml", "--name", "a b"), 2, "but got 'a b'"),
        (("search", "tiny.toml", "--name", "x" * 300), 2, "1 to 100 letters"),
        (("search", "tiny.toml", "--name", "a/b"), 6, "'a/b'"),
        (("search", "tiny.toml", "--db", "mysql://u:pw@h/d"), 5, "mysql://u:***@h/d"),
        (("search", "tiny.toml", "--db", "."), 5, "a results database is a file, but . is a folder"),
        (("search", "tiny.toml", "--runs", "tiny.toml"), 4, "tiny.toml/tiny: Not a directory"),
        (("search", "tiny.toml", "--top", "0"), 2, "0 is not in the range x>=1"),
        (("search",), 2, "Missing argument"),
        (("search", "tiny.toml", "more"), 2, "unexpected extra argument"),
        (("search", "tiny.toml", "-s"), 2, "requires an argument"),
        (("search", "tiny.toml", "--nam", "x"), 2, "Possible options: --name"),
        (("serch", "tiny.toml"), 2, "Did you mean 'search'?"),
        (("results", "bst"), 2, "Did you mean 'best'?"),
        (("results", "best", "--max-params", "5 M"), 2, "--max-params must be a whole number of at least 0"),
        (("profile",), 2, "Missing argument"),
        (("profile", "."), 2, "there is no architecture file ."),
        (("profile", "binary.toml"), 2, "binary.toml is no architecture file: byte 128 is not UTF-8 text"),
        (("profile", "deep.json"), 2, "deep.json nests too deeply"),
        (("profile", "empty.json"), 2, "empty.json is no JSON"),
        (("profile", "wrong.json"), 2, "needs input_shape, blocks and classes, but input_shape, blocks, classes is"),
        (("profile", "block.json"), 2, "unknown block 'conw'; did you mean 'conv'"),
        (("profile", "resnet50", "--input", "0x1x1"), 2, "all at least 1"),
        (("profile", "resnet50", "--input", "3x-1x4"), 2, "all at least 1"),
        (("profile", "resnet50", "--classes", "0"), 2, "classes must be a whole number of at least 2"),
        (("profile", "resnet20-cifar", "--device", "tpu"), 2, "--device is cpu, cuda or cuda:1, but got 'tpu'"),
        (("profile", "resnet20-cifar", "--device", "cuda:999"), 4, "--device cuda:999: "),
        (("profile", "resnet50", "--remove", "99"), 2, "has no such layer 99"),
        (("space", "tiny.toml", "--sample", "-1"), 2, "-1 is not in the range x>=0"),
        (("init", "imagefolder"), 2, "needs a path"),
        (("init", "imagefolder", "--path", "none", "--image-size", "8"), 2, "none does not; check the path"),
        (("init", "cifar10", "-o", "none/x.toml"), 2, "there is no folder none for x.toml; make it first"),
        (("init", "--image-size", "0"), 2, "0 is not in the range x>=1"),
    ],
)
def test_each_is_one_error_and_nothing_is_written(folder, line, arguments, code, said):
    before = sorted(folder.rglob("*"))
    got, out, err = line(*arguments)
    assert said in err
    assert (got, out) == (code, "")
    assert err.count("archsieve: ") + err.count("Error: ") == 1
    assert sorted(folder.rglob("*")) == before


def test_the_last_of_two_overrides_holds_and_a_note_says_so(folder, line):
    _, _, err = line(*SET, "recipe.epochs=3", "-s", "recipe.epochs=0")
    assert "note: recipe.epochs is set 2 times, to 3, 0; the last holds" in err
    assert "archsieve: -s recipe.epochs=0: recipe.epochs must be" in err


def test_what_the_system_refuses_names_the_file_and_why(folder, line, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "runs")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    code, _, err = line("search", "tiny.toml")
    assert code in (4, 5)
    assert "Permission denied" in err
