"""Texts as vectors: TF-IDF of articles, TF-IDF of class names, or the embedding of a sentence encoder.

An encoder is fitted only on the texts of the seen classes. A class that is added later uses the same vocabulary.
Shapes: K texts, p words or dimensions.
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
from ..image_files.errors import DataError

WORD = re.compile(r"\w+")


class TextEncoder:
    """TF-IDF with a fixed vocabulary: turns names and texts of classes into vectors of length 1.

    Term frequencies are 1 + ln(tf); document frequencies are smoothed as in scikit-learn (Ba et al. 2015 use
    log-normalised ones). ``words`` has the word of each of the p entries.
    """

    def __init__(self, kind: str, words: Sequence[str], idf: Sequence[float]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.kind, self.words = kind, tuple(words)
        self._idf = tuple(idf)
        self._vectorizer = TfidfVectorizer(
            vocabulary=self.words, sublinear_tf=True, analyzer=look_up(ANALYZERS, kind, "kind of text")
        )
        self._vectorizer.idf_ = np.array(idf)  # with vocabulary and idf set, transform needs no fit

    @property
    def width(self) -> int:
        """Number of entries of a vector, p."""
        return len(self.words)

    def __call__(self, classes: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Return vectors, float32 (K, p); a text without a word of the vocabulary gives zeros."""
        documents = classes if self.kind == "names" else texts
        return torch.from_numpy(self._vectorizer.transform(documents).toarray()).float()

    def state(self) -> dict[str, Any]:
        """Return the encoder in plain types, for :func:`encoder_from_state`."""
        return {"kind": self.kind, "words": list(self.words), "idf": list(self._idf)}


class SentenceEncoder:
    """The text embedding of a sentence-transformers model.

    ``kind`` is ``sentence:`` and a folder, or ``sentence:`` and a name that the library resolves. Raises ``ValueError``
    if sentence-transformers is not installed.
    """

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
        """Number of entries of a vector, p."""
        return int(self._model.get_sentence_embedding_dimension() or 0)

    def __call__(self, classes: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Return vectors of length 1, float32 (K, p)."""
        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return torch.from_numpy(np.asarray(vectors, dtype=np.float32))

    def state(self) -> dict[str, Any]:
        """Return the name of the model, without its weights."""
        return {"kind": self.kind}


Encoder = TextEncoder | SentenceEncoder


def fit_text(kind: str, classes: Sequence[str], texts: Sequence[str]) -> Encoder:
    """Fit the encoder ``kind`` on the training classes; kinds are "tfidf", "sentence:all-MiniLM-L6-v2", ...

    A kind of TF-IDF with -stop leaves out English stop words, one with -stem reduces words by Porter's stemmer, and
    "names" reads the class names instead of the texts. Raises ``ValueError`` for an unknown kind and
    :class:`DataError` if no word remains.
    """
    if kind.startswith(SENTENCE):
        return SentenceEncoder(kind)
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=look_up(ANALYZERS, kind, "kind of text"))
    documents = classes if kind == "names" else texts
    if not any(ANALYZERS[kind](text) for text in documents):
        raise DataError(
            f"texts must contain words, but the kind of text {kind!r} removes all of them; use a kind that keeps stop "
            "words"
        )
    vectorizer.fit(documents)
    return TextEncoder(kind, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_.tolist())


def encoder_from_state(state: dict[str, Any]) -> Encoder:
    """Restore an encoder from its ``state()``."""
    if state["kind"].startswith(SENTENCE):
        return SentenceEncoder(state["kind"])
    return TextEncoder(state["kind"], state["words"], state["idf"])


def tokenize(text: str) -> list[str]:
    """Return the words of ``text`` in lower case. A single letter is a word; underscores separate words.

    scikit-learn's default tokenizer drops single letters, which distinguish the names of glyphs.
    """
    return WORD.findall(text.lower().replace("_", " "))


def _without_stops(text: str) -> list[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [word for word in tokenize(text) if word not in ENGLISH_STOP_WORDS]


def _stems(text: str) -> list[str]:
    return [_stem(word) for word in tokenize(text)]


def _stems_without_stops(text: str) -> list[str]:
    return [_stem(word) for word in _without_stops(text)]


@lru_cache(maxsize=100_000)  # a word occurs in many texts, and stemming is slow
def _stem(word: str) -> str:
    import snowballstemmer

    return str(snowballstemmer.stemmer("porter").stemWord(word))


ANALYZERS: dict[str, Callable[[str], list[str]]] = {
    "tfidf": tokenize,
    "tfidf-stop": _without_stops,
    "tfidf-stem": _stems,
    "tfidf-stem-stop": _stems_without_stops,
    "names": tokenize,
}
