"""The glyphs, and how classes are split into seen and unseen ones."""

import pytest
import torch

from archsieve.models.data.dataset import Request, Split
from archsieve.models.data.errors import DataError
from archsieve.models.data.glyphs import FACES, LEAST_FACES, held_out_faces, load_glyphs
from archsieve.models.data.zero_shot import ZeroShotData, ZeroShotSource, draw_unseen, validation_folds


@pytest.fixture(scope="module")
def few() -> ZeroShotSource:
    return load_glyphs(Request(image_size=16, limit=720))


@pytest.fixture(scope="module")
def data(few) -> ZeroShotData:
    return ZeroShotData.of("glyphs", few, draw_unseen(few.classes))


def test_every_class_has_ink_in_ten_faces(few):
    assert few.pictures.images.flatten(1).any(1).all()
    assert torch.bincount(few.pictures.labels).min() >= LEAST_FACES
    assert few.texts == few.classes


def test_one_face_of_each_family_is_held_out():
    families = {FACES[place].split("-")[0] for place in held_out_faces(0)}
    assert families == {"DejaVuSans", "DejaVuSansMono", "DejaVuSerif"}
    assert held_out_faces(0) == held_out_faces(0)
    assert len({tuple(held_out_faces(seed)) for seed in range(8)}) > 1


def test_no_picture_of_a_test_face_or_of_an_unseen_class_is_trained_on(few, data):
    tested = set(held_out_faces(0))
    assert tested.isdisjoint(data.groups.tolist())
    assert set(data.train.labels.tolist()) == set(data.seen.tolist())
    assert set(data.test_unseen.labels.tolist()) == set(data.unseen.tolist())
    parts = len(data.train) + len(data.test_seen) + len(data.test_unseen)
    assert parts < len(few.pictures)  # unseen characters in faces of the training are in no part


def test_same_seed_same_bytes(few, data):
    again = load_glyphs(Request(image_size=16, limit=720))
    assert ZeroShotData.of("glyphs", again, draw_unseen(again.classes)).content_hash == data.content_hash
    other = ZeroShotData.of("glyphs", few, draw_unseen(few.classes, seed=1))
    assert other.content_hash != data.content_hash


def test_validation_classes_are_training_classes_and_in_one_fold_each(data):
    folds = validation_folds(data, 4, seed=0)
    hidden = [fold.classes[k] for fold in folds for k in fold.unseen.tolist()]
    assert sorted(hidden) == sorted(data.classes[k] for k in data.seen.tolist())
    test_classes = {data.classes[k] for k in data.unseen.tolist()}
    for fold in folds:
        assert test_classes.isdisjoint(fold.classes)
        assert set(fold.train.labels.tolist()).isdisjoint(fold.unseen.tolist())
        assert set(fold.groups.tolist()) < set(data.groups.tolist())


def test_fewer_classes_than_folds(data):
    with pytest.raises(DataError, match="every fold needs a class"):
        validation_folds(data, 1 + len(data.seen), seed=0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seen": ["a"], "unseen": ["a", "b"]}, "'a' is named as both"),
        ({"seen": ["a"], "unseen": ["b"]}, "'c' is named as neither"),
        ({"unseen": ["d"]}, "'d' has none"),
        ({"unseen": ["a", "b", "c"]}, "3 of 3 are unseen"),
        ({"fraction": 1.0}, "unseen_fraction"),
    ],
)
def test_wrong_splits(wrong, said):
    with pytest.raises(DataError, match=said):
        draw_unseen(("a", "b", "c"), **wrong)


def test_one_class():
    with pytest.raises(DataError, match="there is 1"):
        draw_unseen(("a",))


def test_named_classes_are_unseen():
    assert draw_unseen(("a", "b", "c"), unseen=["c"]).tolist() == [2]
    assert draw_unseen(("a", "b", "c"), seen=["c"]).tolist() == [0, 1]


def test_a_text_without_words_and_a_class_without_pictures():
    pictures = Split(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
    mask = torch.tensor([True, False])
    with pytest.raises(DataError, match="that of 'b' is ' '"):
        ZeroShotSource(("a", "b"), ("one", " "), pictures, mask, mask)
    with pytest.raises(DataError, match="1 with a text have none, the first is 'c'"):
        ZeroShotSource(("a", "b", "c"), ("one", "two", "three"), pictures, mask, mask)


@pytest.mark.slow
def test_all_glyphs():
    source = load_glyphs(Request())
    assert len(source.classes) > 2300
    assert source.pictures.images.shape[1:] == (1, 32, 32)
