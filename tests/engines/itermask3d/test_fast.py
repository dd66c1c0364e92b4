"""Every rewrite of the network equals the plain form."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from engines.itermask3d.fast import FORMS, FastUNet3d, Form, brain_box, phase_weight, transposed_weight
from engines.itermask3d.graphed import Recorded, quicker
from engines.itermask3d.network import UNet3d, UpUnit


@pytest.fixture(scope="module")
def network() -> UNet3d:
    torch.manual_seed(0)
    unet = UNet3d(4)
    for module in unet.modules():  # statistics and slopes as after training
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        if isinstance(module, torch.nn.PReLU):
            torch.nn.init.uniform_(module.weight, 0.05, 0.5)
    return unet.double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def shown() -> torch.Tensor:
    return torch.randn(1, 2, 48, 64, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_equals_the_plain_network(network: UNet3d, shown: torch.Tensor, form: Form) -> None:
    assert torch.allclose(FastUNet3d(network, form)(shown), network(shown), atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("corner", [(16, 24, 13), (0, 40, 31)])
def test_the_box_of_the_brain_is_right_up_to_its_border(
    network: UNet3d, shown: torch.Tensor, form: Form, corner: tuple[int, int, int]
) -> None:
    brain = torch.zeros(48, 64, 48, dtype=torch.bool)
    i, j, k = corner
    brain[i : i + 9, j : j + 14, k : k + 17] = True
    box = brain_box(brain)
    assert box == (slice(i, i + 9), slice(j, j + 14), slice(k, k + 17))
    part = FastUNet3d(network, form)(shown, box)
    assert torch.allclose(part[..., brain], network(shown)[..., brain], atol=1e-12)
    assert (part == 0).any()


def test_doubling_kernels_equal_doubling_and_convolving() -> None:
    torch.manual_seed(0)
    coarse, weight = torch.randn(1, 3, 5, 4, 6).double(), torch.randn(2, 3, 3, 3, 3).double()
    plain = functional.conv3d(functional.interpolate(coarse, scale_factor=2.0), weight, padding=1)
    assert torch.allclose(functional.conv_transpose3d(coarse, transposed_weight(weight), None, 2, 1), plain)
    assert phase_weight(weight).shape == (16, 3, 2, 2, 2)


def test_doubling_unit_learns_as_doubling_and_convolving() -> None:
    torch.manual_seed(0)
    unit = UpUnit(3, 2, 0.0).double()
    coarse = torch.randn(2, 3, 5, 4, 6).double()
    plain = unit.second(unit.first(functional.interpolate(coarse, scale_factor=2.0)))
    wanted = torch.autograd.grad(plain.square().sum(), list(unit.parameters()))
    quick = unit(coarse)
    assert torch.allclose(quick, plain, atol=1e-12)
    for got, want in zip(torch.autograd.grad(quick.square().sum(), list(unit.parameters())), wanted, strict=True):
        assert torch.allclose(got, want, atol=1e-10)


def test_half_precision_keeps_the_last_layer_whole(network: UNet3d, shown: torch.Tensor) -> None:
    single = UNet3d(4).eval()
    single.load_state_dict(network.state_dict())
    fast = FastUNet3d(single, "plain")
    with torch.autocast("cpu", torch.bfloat16):
        half = fast(shown.float())
    full = fast(shown.float())
    assert half.dtype == torch.float32
    assert (half - full).std() < 0.03 * full.std()


def test_without_a_gpu_nothing_is_recorded(network: UNet3d, shown: torch.Tensor) -> None:
    assert quicker(network, shown) is network


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_cuda_graph_equals_the_plain_pass(network: UNet3d, shown: torch.Tensor, precision: torch.dtype) -> None:
    single = UNet3d(4).eval()
    single.load_state_dict(network.state_dict())
    fast = FastUNet3d(single, "transposed").cuda()
    brain = torch.zeros(48, 64, 48, dtype=torch.bool)
    brain[8:40, 10:50, 9:41] = True

    def fill(part: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == torch.bfloat16):
            return fast(part, brain_box(brain))

    first = shown.float().cuda()
    recorded = Recorded(fill, first)
    others = [first * factor for factor in (1.0, 0.5, -1.0)]
    kept = [recorded(other) for other in others]  # a later pass leaves earlier results alone
    for other, filled in zip(others, kept, strict=True):
        assert torch.allclose(filled, fill(other), atol=1e-4 * float(filled.std()))
    assert isinstance(quicker(fill, first), (Recorded, type(fill)))
