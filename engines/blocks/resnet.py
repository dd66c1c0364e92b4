"""ResNet-18, ResNet-50 and WideResNet-50-2 (He et al. 2016, Zagoruyko and Komodakis 2016) as feature pyramids.

The names of their tensors are torchvision's, so that its published ImageNet weights load as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Plan:
    """blocks: of each layer. expansion: output channels over planes. width: inner channels over planes."""

    blocks: tuple[int, int, int, int]
    expansion: int
    width: int


PLANS = {
    "resnet18": Plan((2, 2, 2, 2), 1, 1),
    "resnet50": Plan((3, 4, 6, 3), 4, 1),
    "wide_resnet50_2": Plan((3, 4, 6, 3), 4, 2),
}


def _conv(cin: int, cout: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """Two 3x3 convolutions (expansion 1) or 1x1, 3x3, 1x1 (expansion 4), with a shortcut."""

    def __init__(self, cin: int, planes: int, stride: int, plan: Plan) -> None:
        super().__init__()
        inner, cout = planes * plan.width, planes * plan.expansion
        self._deep = plan.expansion > 1
        self.conv1 = _conv(cin, inner, 1) if self._deep else _conv(cin, inner, 3, stride)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = _conv(inner, inner, 3, stride) if self._deep else _conv(inner, cout, 3)
        self.bn2 = nn.BatchNorm2d(inner if self._deep else cout)
        if self._deep:
            self.conv3 = _conv(inner, cout, 1)
            self.bn3 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride > 1 or cin != cout:
            self.downsample = nn.Sequential(_conv(cin, cout, 1, stride), nn.BatchNorm2d(cout))

    def forward(self, x: Tensor) -> Tensor:
        """(n, cin, h, w) -> (n, planes * expansion, h / stride, w / stride)."""
        h = functional.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        if self._deep:
            h = self.bn3(self.conv3(functional.relu(h)))
        return functional.relu(h + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """layer1 .. layer4 of a ResNet; levels: how many of them (strides 4, 8, 16, 32) are needed."""

    def __init__(self, name: str, levels: int = 4) -> None:
        super().__init__()
        plan = PLANS[name]
        self.channels = tuple(planes * plan.expansion for planes in (64, 128, 256, 512))
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        cin = 64
        for level in range(levels):
            planes, stride = 64 << level, 1 if level == 0 else 2
            first = Block(cin, planes, stride, plan)
            cin = planes * plan.expansion
            rest = [Block(cin, planes, 1, plan) for _ in range(plan.blocks[level] - 1)]
            self.add_module(f"layer{level + 1}", nn.Sequential(first, *rest))
        self._levels = levels

    def forward(self, x: Tensor) -> list[Tensor]:
        """x: (n, 3, h, w), ImageNet mean and deviation -> one map a level, (n, channels[level], h / stride, ...)."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for level in range(self._levels):
            x = self.get_submodule(f"layer{level + 1}")(x)
            maps.append(x)
        return maps
