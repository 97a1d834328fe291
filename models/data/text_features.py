"""Texts as vectors: TF-IDF of articles, TF-IDF of class names, or the embedding of a sentence encoder.

An encoder is fitted only on the texts of the seen classes. A class that is added later uses the same vocabulary.
Shapes: K texts, p words or dimensions.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.zero_shot_recipe import SENTENCE, VECTORS
from ..image_files.errors import DataError
from ..readers.class_texts import PAGE

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
        return average_pages(
            documents, lambda pages: torch.from_numpy(self._vectorizer.transform(pages).toarray()).float()
        )

    def state(self) -> dict[str, Any]:
        """Return the encoder in plain types, for :func:`encoder_from_state`."""
        return {"kind": self.kind, "words": list(self.words), "idf": list(self._idf)}


class VectorEncoder:
    """Texts that are vectors: the ``width`` numbers of a class, such as attributes, scaled to length 1."""

    words: tuple[str, ...] | None = None

    def __init__(self, width: int) -> None:
        self.kind, self.width = VECTORS, width

    def __call__(self, classes: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Return vectors of length 1, float32 (K, p). Raises :class:`DataError` for a text that is no such vector."""
        rows = torch.stack([_numbers(name, text, self.width) for name, text in zip(classes, texts, strict=True)])
        return torch.nn.functional.normalize(rows, dim=1)

    def state(self) -> dict[str, Any]:
        """Return the encoder in plain types, for :func:`encoder_from_state`."""
        return {"kind": self.kind, "width": self.width}


def _numbers(name: str, text: str, width: int | None) -> Tensor:
    try:
        numbers = torch.tensor([float(part) for part in text.split()])
    except ValueError:
        raise DataError(
            f"the kind of text 'vectors' needs numbers, but the text of {name!r} begins with {text[:30]!r}; use "
            "another kind such as tfidf, or give vectors in an .npz file"
        ) from None
    if width is not None and len(numbers) != width:
        raise DataError(
            f"all classes need vectors of {width} numbers, but that of {name!r} has {len(numbers)}; complete it"
        )
    return numbers


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

        def encoded(pages: list[str]) -> Tensor:
            vectors = self._model.encode(pages, normalize_embeddings=True, show_progress_bar=False)
            return torch.from_numpy(np.asarray(vectors, dtype=np.float32))

        return average_pages(texts, encoded)

    def state(self) -> dict[str, Any]:
        """Return the name of the model, without its weights."""
        return {"kind": self.kind}


Encoder = TextEncoder | VectorEncoder | SentenceEncoder


def fit_text(kind: str, classes: Sequence[str], texts: Sequence[str]) -> Encoder:
    """Fit the encoder ``kind`` on the training classes; kinds are "tfidf", "sentence:all-MiniLM-L6-v2", ...

    A kind of TF-IDF with -stop leaves out English stop words, one with -stem reduces words by Porter's stemmer, and
    "names" reads the class names instead of the texts. Raises ``ValueError`` for an unknown kind and
    :class:`DataError` if no word remains.
    """
    if kind.startswith(SENTENCE):
        return SentenceEncoder(kind)
    if kind == VECTORS:
        return VectorEncoder(len(_numbers(classes[0], texts[0], None)))
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=look_up(ANALYZERS, kind, "kind of text"))
    documents = classes if kind == "names" else [page for text in texts for page in text.split(PAGE)]
    if not any(ANALYZERS[kind](text) for text in documents):
        raise DataError(
            f"texts must contain words, but the kind of text {kind!r} removes all of them; use a kind that keeps stop "
            "words"
        )
    vectorizer.fit(documents)
    return TextEncoder(kind, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_.tolist())


def average_pages(texts: Sequence[str], encode: Callable[[list[str]], Tensor]) -> Tensor:
    """Return the vectors (K, p) by ``encode``; of a class with several texts their mean, scaled to length 1."""
    pages = [text.split(PAGE) for text in texts]
    vectors = encode([page for of_class in pages for page in of_class])
    if len(vectors) == len(pages):
        return vectors
    means = torch.stack([part.mean(0) for part in torch.split(vectors, list(map(len, pages)))])
    several = torch.tensor([len(of_class) > 1 for of_class in pages])
    return torch.where(several[:, None], torch.nn.functional.normalize(means, dim=1), means)


def words_in_text(kind: str, text: str, entries: Iterable[str]) -> list[str]:
    """Return the words of ``text``, in lower case, that the kind of text turns into one of ``entries``."""
    analyze, wanted = look_up(ANALYZERS, kind, "kind of text"), set(entries)
    return sorted({word for word in tokenize(text) if wanted.intersection(analyze(word))})


def encoder_from_state(state: dict[str, Any]) -> Encoder:
    """Restore an encoder from its ``state()``."""
    if state["kind"].startswith(SENTENCE):
        return SentenceEncoder(state["kind"])
    if state["kind"] == VECTORS:
        return VectorEncoder(state["width"])
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
