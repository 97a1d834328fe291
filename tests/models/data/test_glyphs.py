"""Glyphs, and the split of classes into seen and unseen ones."""

import pytest
import torch

from archsieve.models.data.dataset import Request, Split
from archsieve.models.data.glyphs import FACES, MIN_FACES, held_out_faces, load_glyphs
from archsieve.models.data.zero_shot import ZeroShotData, ZeroShotSource, draw_unseen, validation_folds
from archsieve.models.image_files.errors import DataError


@pytest.fixture(scope="module")
def source() -> ZeroShotSource:
    return load_glyphs(Request(image_size=16, limit=720))


@pytest.fixture(scope="module")
def data(source) -> ZeroShotData:
    return ZeroShotData.of("glyphs", source, draw_unseen(source.classes))


def test_every_class_has_ink_in_ten_faces(source):
    assert source.samples.images.flatten(1).any(1).all()
    assert torch.bincount(source.samples.labels).min() >= MIN_FACES
    assert source.texts == source.classes


def test_one_face_of_each_family_is_held_out():
    families = {FACES[index].split("-")[0] for index in held_out_faces(0)}
    assert families == {"DejaVuSans", "DejaVuSansMono", "DejaVuSerif"}
    assert held_out_faces(0) == held_out_faces(0)
    assert len({tuple(held_out_faces(seed)) for seed in range(8)}) > 1


def test_training_images_have_no_test_face_and_no_unseen_class(source, data):
    test_faces = set(held_out_faces(0))
    assert test_faces.isdisjoint(data.groups.tolist())
    assert set(data.train.labels.tolist()) == set(data.seen.tolist())
    assert set(data.test_unseen.labels.tolist()) == set(data.unseen.tolist())
    n_used = len(data.train) + len(data.test_seen) + len(data.test_unseen)
    assert n_used < len(source.samples)  # unseen characters in the training faces are in no part


def test_the_same_seed_gives_the_same_data(source, data):
    again = load_glyphs(Request(image_size=16, limit=720))
    assert ZeroShotData.of("glyphs", again, draw_unseen(again.classes)).content_hash == data.content_hash
    other = ZeroShotData.of("glyphs", source, draw_unseen(source.classes, seed=1))
    assert other.content_hash != data.content_hash


def test_each_training_class_is_unseen_in_exactly_one_fold(data):
    folds = validation_folds(data, 4, seed=0)
    unseen = [fold.classes[k] for fold in folds for k in fold.unseen.tolist()]
    assert sorted(unseen) == sorted(data.classes[k] for k in data.seen.tolist())
    test_classes = {data.classes[k] for k in data.unseen.tolist()}
    for fold in folds:
        assert test_classes.isdisjoint(fold.classes)
        assert set(fold.train.labels.tolist()).isdisjoint(fold.unseen.tolist())
        assert set(fold.groups.tolist()) < set(data.groups.tolist())


def test_fewer_classes_than_folds_are_refused(data):
    n_classes = len(data.seen)
    with pytest.raises(DataError, match=rf"{n_classes} classes for {n_classes + 1} folds"):
        validation_folds(data, n_classes + 1, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seen": ["a"], "unseen": ["a", "b"]}, "'a' .*both"),
        ({"seen": ["a"], "unseen": ["b"]}, "'c' .*neither"),
        ({"unseen": ["d"]}, "'d' .*none"),
        ({"unseen": ["a", "b", "c"]}, "3 of 3"),
        ({"fraction": 1.0}, "unseen_fraction.*1.0"),
    ],
)
def test_a_wrong_split_of_classes_is_refused(options, message):
    with pytest.raises(DataError, match=message):
        draw_unseen(("a", "b", "c"), **options)


def test_one_class_cannot_be_split():
    with pytest.raises(DataError, match="there is 1 class"):
        draw_unseen(("a",))


def test_listed_classes_are_seen_or_unseen():
    assert draw_unseen(("a", "b", "c"), unseen=["c"]).tolist() == [2]
    assert draw_unseen(("a", "b", "c"), seen=["c"]).tolist() == [0, 1]


def test_a_text_without_words_and_a_class_without_images_are_refused():
    samples = Split(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
    mask = torch.tensor([True, False])
    with pytest.raises(DataError, match="'b' is ' '"):
        ZeroShotSource(("a", "b"), ("one", " "), samples, mask, mask)
    with pytest.raises(DataError, match=r"1 have none.*'c'"):
        ZeroShotSource(("a", "b", "c"), ("one", "two", "three"), samples, mask, mask)


@pytest.mark.slow
def test_all_glyphs_are_loaded():
    source = load_glyphs(Request())
    assert len(source.classes) > 2300
    assert source.samples.images.shape[1:] == (1, 32, 32)
