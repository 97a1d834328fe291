"""The check of invariances: accuracy on moved, turned, scaled and darker images.

Convolution and pooling bring some invariance to shifts, normalisation to brightness; to turns and scales they bring
none (lecture).
"""

from collections.abc import Callable

from torch import Tensor
from torchvision.transforms.v2 import functional as moves

from ..data.dataset import Split, in_unit_range
from .context import Finding, Patient

IMAGES = 512


def _affine(images: Tensor, angle: float = 0.0, shift: int = 0, scale: float = 1.0) -> Tensor:
    how = moves.InterpolationMode.BILINEAR
    moved: Tensor = moves.affine(
        images, angle=angle, translate=[shift, 0], scale=scale, shear=[0.0, 0.0], interpolation=how
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


def invariance(patient: Patient) -> Finding:
    """How accuracy on validation images falls under each change; it tells what augmentation would teach."""
    split = Split(in_unit_range(patient.data.val.images[:IMAGES]), patient.data.val.labels[:IMAGES])
    plain = patient.accuracy(patient.grown, split)
    changed = {
        name: patient.accuracy(patient.grown, Split(change(split.images).clamp(0, 1), split.labels))
        for name, change in CHANGES.items()
    }
    told = ", ".join(f"{name} {accuracy:.0%}" for name, accuracy in changed.items())
    worst = min(changed, key=changed.__getitem__)
    advice = f"if new images differ so ({worst}), augment the training images in that way"
    return Finding("invariance", "good", f"accuracy {plain:.0%}; {told}", advice, {"plain": plain, **changed})
