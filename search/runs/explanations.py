"""Explanations of a finished zero-shot model as JSON: the words that matter, and the nearest test images."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.data.zero_shot import ZeroShotData
    from ...models.zero_shot.saved_model import ZeroShotModel


def explanations(
    model: "ZeroShotModel", data: "ZeroShotData", classes: "Tensor", embedded: "Tensor | None" = None
) -> list[dict[str, Any]]:
    """Return one entry per class of ``classes``.

    An entry has the class name, its text, its PR-AUC, the words with their effect, and the nearest images of this class
    ("right") and of other classes ("wrong").

    Args:
        model: the finished model.
        data: its data; only the test images of unseen classes are used.
        classes: indices of unseen classes (K,).
        embedded: the embeddings of the test images of unseen classes, if they are known.
    """
    from ...models.data.text_features import words_in_text
    from ...models.readers.class_texts import PAGE
    from ...models.zero_shot.explain import data_uri, explain

    images, labels = data.test_unseen.images, data.test_unseen.labels

    def image_entries(indices: tuple[int, ...]) -> list[dict[str, str]]:
        if data.has_vectors:  # there is nothing to show
            return []
        return [{"class": data.classes[int(labels[index])], "image": data_uri(images[index])} for index in indices]

    return [
        {
            "class": one.name,
            "text": one.text.replace(PAGE, "\n"),
            "pr_auc": one.pr_auc,
            "words": [{"word": word.word, "drop": word.drop} for word in one.words],
            # as they stand in the text: an entry may be the stem of several words
            "marked": words_in_text(model.encoder.kind, one.text, [word.word for word in one.words])
            if one.words
            else [],
            "right": image_entries(one.right),
            "wrong": image_entries(one.wrong),
        }
        for one in explain(model, data, classes, embedded=embedded)
    ]


def evenly_ranked_classes(model: "ZeroShotModel", data: "ZeroShotData", embedded: "Tensor", count: int) -> "Tensor":
    """Return up to ``count`` unseen classes (K,), from the best PR-AUC to the worst in even steps of rank.

    ``embedded`` are the embeddings of the test images of unseen classes.
    """
    from ...models.zero_shot.explain import class_areas

    order = class_areas(model, data, embedded).argsort(descending=True, stable=True)
    n = min(count, len(order))
    # Even steps of rank show failures as well as successes; the n best classes would show successes only.
    ranks = sorted({round(index * (len(order) - 1) / max(n - 1, 1)) for index in range(n)})
    return data.unseen[order[ranks]]
