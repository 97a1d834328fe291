"""Shapes: what a layer may take, and how many places a sliding window has."""

from .base import Block, Shape, ShapeError


def picture(layer: Block, shape: Shape) -> tuple[int, int, int]:
    """``shape`` as (C, H, W), or an error that names the layer."""
    if len(shape) != 3:
        raise ShapeError(
            f"{layer.kind} needs a picture (C, H, W), but its input is the vector {shape}; place it earlier"
        )
    return shape[0], shape[1], shape[2]


def slide(layer: Block, size: int, kernel: int, stride: int, padding: int, *, ceil: bool = False) -> int:
    """Positions of a window of ``kernel`` pixels along ``size`` pixels, as torch counts them."""
    if size + 2 * padding < kernel:
        raise ShapeError(
            f"the window must fit into its input, but {layer.kind} has kernel {kernel} on {size} pixels with padding "
            f"{padding}; use a smaller kernel, more padding, or fewer strides before it"
        )
    span = size + 2 * padding - kernel
    if not ceil:
        return span // stride + 1
    steps = -(-span // stride) + 1
    # torch drops a last window that would start in the padding on the right
    return steps - 1 if (steps - 1) * stride >= size + padding else steps
