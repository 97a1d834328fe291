"""Random-resized crops: which part of an image a network is trained on in one epoch.

Source: Szegedy et al. 2015, "Going deeper with convolutions". The area is 8 to 100 % of that of the image and the ratio
of the sides 3/4 to 4/3. A side that would be longer than that of the image is cut to it, instead of drawing again, so
that four numbers decide a crop.
"""

import math

import numpy as np

AREA = (0.08, 1.0)  # of the image
LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))  # of width and height


def crop_boxes(draws: np.ndarray, width: float, height: float) -> np.ndarray:
    """Return left, top, right and bottom of crops in pixels, float64 (B, 4).

    ``draws`` (B, 4) are uniform in [0, 1): area, ratio, and the place from left to right and from top to bottom.
    """
    area, ratio, across, down = draws.astype(np.float64).T
    area = width * height * (AREA[0] + (AREA[1] - AREA[0]) * area)
    ratio = np.exp(LOG_RATIO[0] + (LOG_RATIO[1] - LOG_RATIO[0]) * ratio)
    crop_width, crop_height = np.minimum(width, np.sqrt(area * ratio)), np.minimum(height, np.sqrt(area / ratio))
    left, top = across * (width - crop_width), down * (height - crop_height)
    return np.stack([left, top, left + crop_width, top + crop_height], axis=1)
