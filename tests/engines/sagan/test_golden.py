"""The networks and losses reproduce numbers computed with the published networks (closed-form weights)."""

from __future__ import annotations

import pytest
import torch

from engines.sagan.losses import critic_loss, generator_losses, gradient_penalty
from engines.sagan.network import Critic, Generator
from engines.sagan.patches import position_code, restore_grid, split
from tests.engines.sagan import golden

NAMES = ["sagan_lin", "sagan_chirp"]
TOLERANCE = {"sagan_lin": 3e-2, "sagan_chirp": 1e-3}  # float32, as the golden file states


def networks(name: str, dtype: torch.dtype = torch.float64) -> tuple[Generator, Critic]:
    generator, critic = Generator(8, position="reference").to(dtype), Critic(8).to(dtype)
    golden.fill(generator, name)
    golden.fill(critic, name)
    return generator, critic


def restored(generator: Generator, x: torch.Tensor) -> torch.Tensor:
    return restore_grid(lambda p, code: torch.tanh(generator(p, code)[0] + p), x, 2, None)


@pytest.mark.parametrize("name", NAMES)
def test_sizes(name: str) -> None:
    generator, critic = networks(name)
    expected = golden.VALUES[name]
    assert sum(p.numel() for p in generator.parameters()) == expected["G parameters"]
    assert len(list(generator.parameters())) == expected["G tensors"]
    assert sum(p.numel() for p in critic.parameters()) == expected["D parameters"]


def test_published_size() -> None:
    assert sum(p.numel() for p in Generator(64, position="reference").parameters()) == 44_758_979
    assert sum(p.numel() for p in Critic(64).parameters()) == 44_719_040


@pytest.mark.parametrize("name", NAMES)
def test_restored_picture_and_scores(name: str) -> None:
    generator, critic = networks(name)
    x = golden.pictures()
    expected = golden.VALUES[name]
    with torch.no_grad():
        y = restored(generator, x)
        scores = ((x - y).abs() / 2).mean((1, 2, 3))
        judged = critic(x), critic(y)
    near = {"rel": 1e-8, "abs": 1e-11}
    assert y.mean().item() == pytest.approx(expected["xhat.mean"], **near)
    assert y.std().item() == pytest.approx(expected["xhat.std"], **near)
    assert scores.tolist() == pytest.approx(expected["scores"], **near)
    for b, r, c in [(0, 0, 0), (0, 31, 31), (0, 32, 32), (1, 63, 63), (1, 10, 50)]:
        assert y[b, 0, r, c].item() == pytest.approx(expected[f"xhat[{b}, 0, {r}, {c}]"], **near)
    for mine, key in zip(judged, ["D(x) map", "D(xhat) map"], strict=True):
        assert mine.flatten().tolist() == pytest.approx(torch.tensor(expected[key]).flatten().tolist(), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_inner_maps(name: str) -> None:
    generator, _ = networks(name)
    expected = golden.VALUES[name]
    seen: dict[str, torch.Tensor] = {}
    for key, module in [("pos1 output s1", generator.pos1), ("bottleneck e", generator.bottleneck)]:
        module.register_forward_hook(lambda _m, _i, out, key=key: seen.__setitem__(key, out))
    for key, module in [("o3", generator.dec3), ("fuse", generator.fuse)]:
        module.register_forward_hook(lambda _m, _i, out, key=key: seen.__setitem__(key, out))
    rows = torch.tensor([0.0, 0, 1, 1], dtype=torch.float64)
    code = position_code(rows, torch.tensor([0.0, 1, 0, 1], dtype=torch.float64), None).repeat(2, 1)
    with torch.no_grad():
        _, gates = generator(split(golden.pictures(), 2), code)
    seen |= {f"gate{i} psi": psi for i, psi in enumerate(gates, 1)}
    for key, value in seen.items():
        assert value.mean().item() == pytest.approx(expected[f"{key}.mean"], rel=1e-8)
        assert value.std().item() == pytest.approx(expected[f"{key}.std"], rel=1e-8)
        assert value.norm().item() == pytest.approx(expected[f"{key}.norm"], rel=1e-8)
    for i, psi in enumerate(gates, 1):
        assert psi[7, 0, 1, 2].item() == pytest.approx(expected[f"gate{i} psi[7, 0, 1, 2]"], rel=1e-8)


def losses_and_gradients(name: str, dtype: torch.dtype) -> dict[str, float]:
    generator, critic = networks(name, dtype)
    x = golden.pictures().to(dtype)
    normal, pseudo = x.flip(2), 0.5 * (x + x.flip(3))
    fake, kept, repaired = (restored(generator, picture) for picture in (x, normal, pseudo))
    terms = generator_losses(critic, fake, normal, kept, repaired)
    total = terms["adversarial"] + terms["identity"] + terms["restoration"]
    total.backward()
    grads = {
        "stem.conv.weight": generator.stem[0].weight,
        "out.conv.weight": generator.out.weight,
        "gate2.conv_psi.weight": generator.gate2.psi.weight,
    }
    found = {f"grad_norm L_G [{key}]": p.grad.norm().item() for key, p in grads.items() if p.grad is not None}
    found |= {"L_G adversarial": terms["adversarial"].item(), "L_id": terms["identity"].item()}
    found |= {"L_mse": terms["restoration"].item(), "L_G": total.item()}
    critic.zero_grad()
    epsilon = torch.full((2, 1, 1, 1), 0.25, dtype=dtype)
    found["gp term mean((norm-1)^2)"] = gradient_penalty(critic, x, fake.detach(), epsilon).item()
    loss = critic_loss(critic, normal, fake.detach(), epsilon, 10.0)
    loss.backward()
    first, last = critic.main[0].weight.grad, critic.last.weight.grad
    assert first is not None
    assert last is not None
    found |= {"L_D": loss.item(), "grad_norm L_D [first conv weight]": first.norm().item()}
    return found | {"grad_norm L_D [last 3x3 conv]": last.norm().item()}


@pytest.mark.parametrize("name", NAMES)
def test_losses_and_their_gradients(name: str) -> None:
    for key, value in losses_and_gradients(name, torch.float64).items():
        # The critic's loss has 1e-12 under its square root, which the reference has not.
        assert value == pytest.approx(golden.VALUES[name][key], rel=1e-7 if "L_D" in key else 1e-8), key


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_close(name: str) -> None:
    for key, value in losses_and_gradients(name, torch.float32).items():
        assert value == pytest.approx(golden.VALUES[name][key], rel=TOLERANCE[name]), key
