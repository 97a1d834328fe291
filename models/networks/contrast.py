"""Local contrast normalisation as a module."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIGMA = 2.0  # of the Gaussian window, in pixels: that of pylearn2
FLOOR = 1e-4  # of the divisor, so that a flat image stays zero


class LocalContrastModule(nn.Module):
    """y = v / max(mean(s), s) with v = x - sum(w x), s = sqrt(sum(w v^2)) (Jarrett et al. 2009).

    The sums go over a Gaussian window and all maps, w adding up to 1: (N, C, H, W) -> (N, C, H, W). mean(s) is over an
    image. LCN(a x + b) = LCN(x) for a > 0, at the borders too, for border pixels are repeated and not padded by zeros.
    """

    window: Tensor

    def __init__(self, kernel: int = 9) -> None:
        super().__init__()
        place = torch.arange(kernel, dtype=torch.float64) - kernel // 2
        taps = torch.exp(-0.5 * (place / SIGMA) ** 2)
        self.register_buffer("window", (taps / taps.sum()).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        v = x - self._local_mean(x)
        s = (self._local_mean(v.square()) + 1e-12).sqrt()  # the root of 0 has no gradient
        return v / torch.maximum(s, s.mean((2, 3), keepdim=True)).clamp(min=FLOOR)

    def _local_mean(self, x: Tensor) -> Tensor:
        reach = len(self.window) // 2
        mean = F.pad(x.mean(1, keepdim=True), (reach,) * 4, mode="replicate")
        window = self.window.to(x.dtype)
        return F.conv2d(F.conv2d(mean, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1))

    def extra_repr(self) -> str:
        return f"kernel={len(self.window)}"
