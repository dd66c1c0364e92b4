"""Network, high-frequency image, threshold and loop reproduce numbers computed with the published form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from engines.itermask3d.masking import high_frequency_image
from engines.itermask3d.network import UNet3d
from engines.itermask3d.settings import Settings
from engines.itermask3d.shrinking import Scene, Shrunk, errors, percentile, shrink, threshold_curves
from engines.itermask3d.threshold import GATE, choose_threshold, is_settled
from tests.engines.itermask3d import golden

near = partial(pytest.approx, rel=1e-8, abs=1e-12)
LOOPS = ["loop_0_toy", "loop_1_toy", "loop_2_toy"]


@pytest.fixture(scope="module")
def network() -> UNet3d:
    unet = UNet3d(dropout=0.2).double().eval().requires_grad_(False)
    golden.fill(unet)
    return unet


@pytest.mark.parametrize("name", ["hf_32x32x32_r15", "hf_32x32x32_r6", "hf_48x48x48_r15"])
def test_high_frequency_image(name: str) -> None:
    settings, expected = golden.VALUES[name]["settings"], golden.VALUES[name]["outputs"]
    x = golden.volume(settings["shape"][0])
    image = high_frequency_image(x, settings["radius (bins)"])
    assert x.std().item() == near(expected["x.std"])
    assert image.mean().item() == near(expected["hf.mean"])
    assert image.std().item() == near(expected["hf.std"])
    assert image.max().item() == near(expected["hf.max"])
    assert (x * image).sum().item() == near(expected["sum(x*hf)"])
    for key in [key for key in expected if key.startswith("hf[")]:
        i, j, k = map(int, key[3:-1].split(","))
        assert image[0, 0, i, j, k].item() == near(expected[key])
    single = high_frequency_image(x.float(), settings["radius (bins)"])
    assert (single - image).abs().max() < 1e-4


def test_bins_on_the_sphere_keep_their_amplitude() -> None:
    # 9, 12 and 15 bins: exactly on the sphere, where frequencies in floating point fall on either side.
    i, j, _ = (torch.from_numpy(axis) for axis in golden.axes(96, 96, 96))
    wave = torch.cos(2 * torch.pi * (9 * i + 12 * j) / 96)
    # Bins of amplitude one where the wave has none add up to a fiftieth.
    assert (high_frequency_image(wave[None, None], 15)[0, 0] - wave).abs().max() < 0.05
    assert high_frequency_image(wave[None, None], 16).abs().max() < 0.05


def test_network(network: UNet3d) -> None:
    expected = golden.VALUES["unet"]["outputs"]
    assert sum(p.numel() for p in network.parameters()) == expected["parameters"] == 8_902_626
    seen = {}
    places = {"down1": network.down[0], "down4": network.down[3], "down5": network.down[4]}
    places |= {"up1": network.up[0], "up3": network.up[2]}
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, key=key: seen.__setitem__(key, out))
        for key, module in places.items()
    ]
    seen["y"] = network(golden.network_input())
    for hook in hooks:
        hook.remove()
    for key, value in seen.items():
        assert value.mean().item() == near(expected[f"{key}.mean"])
        assert value.std().item() == near(expected[f"{key}.std"])
        assert value.norm().item() == near(expected[f"{key}.norm"])
    for key in [key for key in expected if key.endswith("]")]:
        name, _, place = key[:-1].partition("[")
        assert seen[name][tuple(map(int, place.split(",")))].item() == near(expected[key])


def test_network_in_single_precision(network: UNet3d) -> None:
    single = UNet3d().eval()
    single.load_state_dict(network.state_dict())
    with torch.no_grad():
        y, reference = single(golden.network_input().float()), network(golden.network_input())
    assert (y - reference).abs().max() < 1e-3 * reference.std()


CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tan_like": lambda t: 0.3 * np.tan(0.0148 * t) * (1 + 0.02 * np.sin(0.9 * t)),
    "steep_tail": lambda t: 0.02 * t**0.5 + 1e-3 * np.exp(0.11 * t),
    "crosses_10": lambda t: 0.4 * np.tan(0.0152 * t) + 0.002 * t,
    "flat": lambda t: 0.004 * np.tan(0.012 * t),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("y_limit", [10, 2])
@pytest.mark.parametrize("gamma", [0.01, 0.05])
def test_threshold(name: str, y_limit: float, gamma: float) -> None:
    key = f"{name} | y_limit {y_limit} | gamma {gamma} | "
    expected = {
        word.removeprefix(key): value
        for word, value in golden.VALUES["select"]["outputs"].items()
        if word.startswith(key)
    }
    found = choose_threshold(CURVES[name](np.arange(1.0, 101)), gamma, y_limit)
    assert (found.a, found.b) == pytest.approx((expected["a"], expected["b"]), rel=1e-4)
    assert found.fitted == (expected["R2"] >= GATE)
    if found.fitted:
        assert found.r2 == pytest.approx(expected["R2"], abs=1e-5)
    assert found.step == expected["k*"]
    assert found.threshold == pytest.approx(expected["tau*"], rel=1e-10)


def box_mean(shown: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool3d(shown[:, :1], 3, 1, 1) + 0.5 * shown[:, 1:]


def run(name: str, fill: Callable[[torch.Tensor], torch.Tensor]) -> tuple[np.ndarray, torch.Tensor, Shrunk]:
    chosen = golden.VALUES[name]["settings"]
    volumes, brains = golden.scene()
    scene = Scene(volumes, high_frequency_image(volumes, chosen[golden.RADIUS]), brains, brains)
    curves, seen = threshold_curves(fill, scene, golden.noise, keep=True)
    decision = choose_threshold(curves[0], chosen["gamma"], chosen["y_limit"])
    whole = chosen["phase B start"] == "brain_mask"
    starts = brains if whole else seen[decision.step - 1] > decision.threshold
    [shrunk] = shrink(fill, scene, [decision.threshold], starts, golden.noise, Settings())
    expected = golden.VALUES[name]["outputs"]
    assert decision.step == expected["k*"]
    assert decision.threshold == near(expected["tau*"])
    assert decision.fitted == expected["derivative source"].startswith("tan")
    if decision.fitted:
        assert (decision.a, decision.b) == pytest.approx((expected["fit a"], expected["fit b"]), rel=1e-4)
        assert decision.r2 == pytest.approx(expected["R2 over t=1..80"], abs=1e-5)
    return curves[0], brains, shrunk


@pytest.mark.parametrize("name", LOOPS)
def test_loop(name: str) -> None:
    expected = golden.VALUES[name]["outputs"]
    curve, brains, shrunk = run(name, box_mean)
    assert int(brains.sum()) == expected["|B|"]
    known = next(value for key, value in expected.items() if key.startswith("tau(1,2"))
    assert curve[[0, 1, 4, 9, 19, 29, 39, 49, 59, 69, 79, 89, 94, 98, 99]].tolist() == near(known)
    assert curve.mean() == near(expected["mean tau"])
    assert [int(mask.sum()) for mask in shrunk.masks] == expected["phase B mask sizes (start, after each update)"]
    assert 100 + shrunk.passes == expected["forwards total"]
    final = shrunk.masks[-1].nonzero().double()
    assert final.mean(0).tolist() == near(expected["final mask centre of mass"])
    assert shrunk.error.mean().item() == near(expected["final error map mean over volume"])
    assert shrunk.error.max().item() == near(expected["final error map max"])
    assert shrunk.filled.mean().item() == near(expected["y.mean"])
    assert shrunk.filled[16, 16, 16].item() == near(expected["y[16,16,16]"])


def test_loop_with_the_network(network: UNet3d) -> None:
    # Ten of the hundred steps, then phase B with the known threshold: the whole loop takes minutes in double precision.
    expected, chosen = golden.VALUES["loop_3_unet"]["outputs"], golden.VALUES["loop_3_unet"]["settings"]
    volumes, brains = golden.scene()
    scene = Scene(volumes, high_frequency_image(volumes, chosen[golden.RADIUS]), brains, brains)
    curves, _ = threshold_curves(network, scene, golden.noise, steps=range(1, 6))
    known = next(value for key, value in expected.items() if key.startswith("tau(1,2"))
    assert curves[0, [0, 1, 4]].tolist() == near(known[:3])
    [shrunk] = shrink(network, scene, [expected["tau*"]], brains, golden.noise, Settings())
    assert [int(mask.sum()) for mask in shrunk.masks] == expected["phase B mask sizes (start, after each update)"]
    assert shrunk.error.max().item() == near(expected["final error map max"])
    assert shrunk.filled[16, 16, 16].item() == near(expected["y[16,16,16]"])


def test_forced_mask_sizes() -> None:
    volumes, brains = golden.scene()
    scene = Scene(volumes, high_frequency_image(volumes, 15), brains, brains)
    error, _ = errors(box_mean, scene, brains, golden.noise(0))
    sizes = [int((error > percentile(error[0], brains[0], step)).sum()) for step in (1, 10, 50, 90, 99, 100)]
    assert sizes == [*golden.VALUES["loop_0_toy"]["outputs"]["phase A mask sizes at passes 0,1,10,50,90,99"][1:], 0]


def test_a_batch_gives_each_volume_its_own_threshold_and_end() -> None:
    volumes, brains = golden.scene()
    both = torch.cat([volumes, volumes.flip(2) * 0.7 - 0.9])
    inside = torch.cat([brains, brains.flip(2) & (torch.arange(32) > 8)])
    both = torch.where(inside, both, -3.0)
    scene = Scene(both, high_frequency_image(both, 15), inside, inside)
    settings = replace(Settings(), gamma=0.03)

    def thresholds(part: Scene) -> tuple[np.ndarray, list[Shrunk]]:
        curves, _ = threshold_curves(box_mean, part, golden.noise, steps=range(10, 101, 10))
        chosen = [choose_threshold(curve, settings.gamma, settings.y_limit).threshold for curve in curves]
        return curves, shrink(box_mean, part, chosen, part.brains, golden.noise, settings)

    curves, together = thresholds(scene)
    passes = set()
    for n in range(2):
        alone_curve, [alone] = thresholds(scene.of([n]))
        assert np.array_equal(alone_curve[0], curves[n])
        assert torch.equal(alone.error, together[n].error)
        assert len(alone.masks) == len(together[n].masks)
        passes.add(alone.passes)
    assert len(passes) == 2


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("y_limit", [10, 2, 0.3])
@pytest.mark.parametrize("gamma", [0.002, 0.01, 0.05])
def test_an_early_end_decides_as_the_whole_curve_does(name: str, y_limit: float, gamma: float) -> None:
    curve = CURVES[name](np.arange(1.0, 101))
    whole = choose_threshold(curve, gamma, y_limit)
    ends = []
    for known in range(1, 101):
        seen = np.where(np.arange(100) < known, curve, np.nan)
        if is_settled(seen, gamma, y_limit):
            ends.append(known)
            early = choose_threshold(seen, gamma, y_limit)
            assert (early.step, early.threshold, early.fitted) == (whole.step, whole.threshold, whole.fitted)
    assert ends == list(range(ends[0], 101))
    assert ends[0] < 100 or not (curve[:99] > y_limit).any() or whole.step > 97


def test_phase_a_ends_early_only_where_nothing_changes() -> None:
    volumes, brains = golden.scene()
    scene = Scene(volumes, high_frequency_image(volumes, 15), brains, brains)
    steps = range(10, 101, 10)
    whole, _ = threshold_curves(box_mean, scene, golden.noise, steps=steps)
    y_limit, gamma = float(whole[0, 60]), 0.03
    early, _ = threshold_curves(
        box_mean, scene, golden.noise, steps=steps, enough=lambda curve: is_settled(curve, gamma, y_limit)
    )
    known = int(np.isfinite(early).sum())
    assert 80 <= known < 100
    assert np.array_equal(early[0, :known], whole[0, :known])
    ways = [choose_threshold(curve[0], gamma, y_limit) for curve in (early, whole)]
    assert (ways[0].step, ways[0].threshold) == (ways[1].step, ways[1].threshold)
