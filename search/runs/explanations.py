"""Explanations of a finished zero-shot model as JSON: words that matter, and the nearest test images as pictures."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.data.zero_shot import ZeroShotData
    from ...models.zero_shot.saved_model import ZeroShotModel


def explanations(model: "ZeroShotModel", data: "ZeroShotData", classes: "Tensor") -> list[dict[str, Any]]:
    """One entry for each of the unseen ``classes``: name, text, PR-AUC, words, nearest images right and wrong."""
    from ...models.zero_shot.explain import data_uri, explain

    images, labels = data.test_unseen.images, data.test_unseen.labels

    def shown(places: tuple[int, ...]) -> list[dict[str, str]]:
        return [{"class": data.classes[int(labels[place])], "image": data_uri(images[place])} for place in places]

    return [
        {
            "class": one.name,
            "text": one.text,
            "pr_auc": one.pr_auc,
            "words": [{"word": word.word, "drop": word.drop} for word in one.words],
            "right": shown(one.right),
            "wrong": shown(one.wrong),
        }
        for one in explain(model, data, classes)
    ]


def spread_classes(model: "ZeroShotModel", data: "ZeroShotData", count: int) -> "Tensor":
    """``count`` unseen classes from the best recognised to the worst, in even steps of their rank by PR-AUC."""
    from ...models.zero_shot.explain import class_areas

    order = class_areas(model, data).argsort(descending=True, stable=True)
    most = min(count, len(order))
    places = sorted({round(place * (len(order) - 1) / max(most - 1, 1)) for place in range(most)})
    return data.unseen[order[places]]
