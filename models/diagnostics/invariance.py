"""Check of invariance: accuracy on shifted, rotated, scaled and darker images.

Convolution and pooling give some invariance to shifts, normalisation gives some to brightness. None of them gives
invariance to rotation or scale (lecture).
"""

from collections.abc import Callable

from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from ..data.dataset import Batch, in_unit_range
from .context import DiagnosticContext, Finding

N_IMAGES = 512


def _affine(images: Tensor, angle: float = 0.0, shift: int = 0, scale: float = 1.0) -> Tensor:
    bilinear = transforms.InterpolationMode.BILINEAR
    moved: Tensor = transforms.affine(
        images, angle=angle, translate=[shift, 0], scale=scale, shear=[0.0, 0.0], interpolation=bilinear
    )
    return moved


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "shift 1 px": lambda images: _affine(images, shift=1),
    "shift 2 px": lambda images: _affine(images, shift=2),
    "shift -2 px": lambda images: _affine(images, shift=-2),
    "turn 10 deg": lambda images: _affine(images, angle=10),
    "turn 30 deg": lambda images: _affine(images, angle=30),
    "scale 0.8": lambda images: _affine(images, scale=0.8),
    "scale 1.2": lambda images: _affine(images, scale=1.2),
    "brightness x 0.7": lambda images: images * 0.7,
}


def invariance(context: DiagnosticContext) -> Finding:
    """Measure the accuracy on validation images under each change; a large drop suggests an augmentation.

    The rating is always "good", because which changes occur in new images depends on the application.
    """
    split = Batch(in_unit_range(context.data.val.images[:N_IMAGES]), context.data.val.labels[:N_IMAGES])
    plain = context.accuracy(context.trained_network, split)
    changed = {
        name: context.accuracy(context.trained_network, Batch(change(split.images).clamp(0, 1), split.labels))
        for name, change in CHANGES.items()
    }
    listed = ", ".join(f"{name} {accuracy:.0%}" for name, accuracy in changed.items())
    worst = min(changed, key=changed.__getitem__)
    advice = f"if new images can differ like this ({worst}), augment the training images in the same way"
    return Finding("invariance", "good", f"accuracy {plain:.0%}; {listed}", advice, {"plain": plain, **changed})
