"""Texts as vectors: TF-IDF of articles, of class names, or a sentence encoder's embedding.

An encoder is fitted on the texts of the seen classes alone: the words of a class that is added later are looked up
among those. Shapes: K texts, p words or dimensions.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.zero_shot_recipe import SENTENCE
from .errors import DataError

WORD = re.compile(r"\w+")


class TextEncoder:
    """From a class's name and text to a vector: TF-IDF with a fixed vocabulary, each vector of length 1.

    Term frequencies are 1 + ln(tf), document frequencies smoothed (scikit-learn's; Ba et al. 2015 use log-normalised
    ones). ``words`` has the word of each of the p entries.
    """

    def __init__(self, kind: str, words: Sequence[str], idf: Sequence[float]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.kind, self.words = kind, tuple(words)
        self._idf = tuple(idf)
        self._vectorizer = TfidfVectorizer(
            vocabulary=self.words, sublinear_tf=True, analyzer=look_up(ANALYZERS, kind, "kind of text")
        )
        self._vectorizer.idf_ = np.array(idf)

    @property
    def width(self) -> int:
        """Entries of a vector, p."""
        return len(self.words)

    def __call__(self, classes: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Vectors, float32 (K, p); all zeros where a text has no word that the encoder knows."""
        told = classes if self.kind == "names" else texts
        return torch.from_numpy(self._vectorizer.transform(told).toarray()).float()

    def state(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {"kind": self.kind, "words": list(self.words), "idf": list(self._idf)}


class SentenceEncoder:
    """The embedding of a text by a sentence-transformers model: a folder, or a name that its library resolves."""

    words: tuple[str, ...] | None = None

    def __init__(self, kind: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError:
            raise ValueError(
                "a sentence encoder needs sentence-transformers, but it is not installed; "
                "pip install 'archsieve[sentence]'"
            ) from None
        self.kind = kind
        self._model = SentenceTransformer(kind.removeprefix(SENTENCE), device="cpu")

    @property
    def width(self) -> int:
        """Entries of a vector, p."""
        return int(self._model.get_sentence_embedding_dimension() or 0)

    def __call__(self, classes: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Vectors of length 1, float32 (K, p)."""
        found = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return torch.from_numpy(np.asarray(found, dtype=np.float32))

    def state(self) -> dict[str, Any]:
        """The model's name; its weights stay where they are."""
        return {"kind": self.kind}


Encoder = TextEncoder | SentenceEncoder


def fit_text(kind: str, classes: Sequence[str], texts: Sequence[str]) -> Encoder:
    """The encoder ``kind`` fitted on the classes that are trained on: "tfidf", "sentence:all-MiniLM-L6-v2", ...

    The kinds of TF-IDF end in -stop where English stop words are left out and have -stem where words are reduced by
    Porter's stemmer; "names" reads class names and no text.
    """
    if kind.startswith(SENTENCE):
        return SentenceEncoder(kind)
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=look_up(ANALYZERS, kind, "kind of text"))
    told = classes if kind == "names" else texts
    if not any(ANALYZERS[kind](text) for text in told):
        raise DataError(f"texts need words to be told apart by, but {kind!r} leaves none; keep the stop words")
    vectorizer.fit(told)
    return TextEncoder(kind, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_.tolist())


def encoder_of(state: dict[str, Any]) -> Encoder:
    """The encoder that ``state`` was taken of."""
    if state["kind"].startswith(SENTENCE):
        return SentenceEncoder(state["kind"])
    return TextEncoder(state["kind"], state["words"], state["idf"])


def words_of(text: str) -> list[str]:
    """The words of ``text`` in small letters; a single letter is one, and an underscore stands between two."""
    return WORD.findall(text.lower().replace("_", " "))


def _without_stops(text: str) -> list[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [word for word in words_of(text) if word not in ENGLISH_STOP_WORDS]


def _stems(text: str) -> list[str]:
    return [_stem(word) for word in words_of(text)]


def _stems_without_stops(text: str) -> list[str]:
    return [_stem(word) for word in _without_stops(text)]


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    import snowballstemmer

    return str(snowballstemmer.stemmer("porter").stemWord(word))


ANALYZERS: dict[str, Callable[[str], list[str]]] = {
    "tfidf": words_of,
    "tfidf-stop": _without_stops,
    "tfidf-stem": _stems,
    "tfidf-stem-stop": _stems_without_stops,
    "names": words_of,
}
