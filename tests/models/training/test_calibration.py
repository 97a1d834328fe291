"""Temperature scaling finds the temperature by which scores are too sharp, and changes no prediction."""

import pytest
import torch
import torch.nn.functional as F

from archsieve.models.training.calibration import HIGHEST, fit_temperature


def calibrated(n: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores (n, 5) whose softmax is the true distribution of the labels (n,)."""
    generator = torch.Generator().manual_seed(0)
    scores = 2 * torch.randn(n, 5, generator=generator)
    return scores, torch.multinomial(scores.softmax(1), 1, generator=generator).squeeze(1)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_sharpness_of_the_scores(sharpness: float) -> None:
    scores, labels = calibrated()
    found = fit_temperature(sharpness * scores, labels)
    assert found.temperature == pytest.approx(sharpness, rel=0.05)
    assert found.loss_before == pytest.approx(float(F.cross_entropy(sharpness * scores, labels)), rel=1e-5)
    assert found.loss_after == pytest.approx(
        float(F.cross_entropy(sharpness * scores / found.temperature, labels)), rel=1e-5
    )
    assert found.loss_after <= found.loss_before
    assert found.n == 4000


def test_without_a_wrong_image_the_temperature_is_1() -> None:
    scores, _ = calibrated(50)
    found = fit_temperature(scores, scores.argmax(1))
    assert (found.temperature, found.loss_after) == (1.0, found.loss_before)


def test_scores_without_information_get_the_highest_temperature() -> None:
    scores, labels = calibrated(500)
    assert fit_temperature(100 * scores, labels.flip(0)).temperature == pytest.approx(HIGHEST, rel=1e-3)
    assert fit_temperature(torch.full((3, 2), torch.inf), torch.tensor([0, 1, 0])).temperature == 1.0
