"""Networks, features, losses and scores reproduce numbers computed with the published code (closed-form weights)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from engines.blocks.patch_features import aggregate, pool_slices
from engines.blocks.resnet import ResNet
from engines.simpleslicenet import losses, scores
from engines.simpleslicenet.contrast import ContrastDecoder, contrast_loss, contrast_map, contrast_maps, spread
from engines.simpleslicenet.flow import ConditionalFlow
from engines.simpleslicenet.position import position_code
from tests.engines.simpleslicenet import golden
from tests.engines.simpleslicenet.golden import VALUES, check

SHORTCUT = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1", "stem.conv": "conv1", "stem.bn": "bn1"}


@pytest.mark.parametrize(
    ("name", "sizes", "size"),
    [
        ("full_channels", (3, 512, 1024, 6, 6, 3, 3), 512),
        ("odd_grid", (3, 32, 64, 7, 9, 4, 5), 32),
        ("small", (7, 16, 32, 8, 8, 4, 4), 16),
    ],
)
def test_features(name: str, sizes: tuple[int, ...], size: int) -> None:
    d, c2, c3, h2, w2, h3, w3 = sizes
    n, c, r, q = golden.grid(d, c2, h2, w2)
    fine = np.abs(
        np.sin(0.31 * r + 0.17 * c + 0.5 * n) * np.cos(0.27 * q - 0.05 * c) + 0.3 * np.sin(0.7 * c * n + 0.2 * r * q)
    )
    n, c, r, q = golden.grid(d, c3, h3, w3)
    coarse = np.abs(
        np.cos(0.43 * r - 0.11 * c + 0.6 * n) * np.sin(0.37 * q + 0.09 * c + 0.4)
        + 0.3 * np.cos(0.5 * c + 0.3 * r * q - n)
    )
    expected = VALUES[f"features_{name}"]
    check("f2", torch.from_numpy(fine), expected)
    features = aggregate(torch.from_numpy(fine), torch.from_numpy(coarse), size)
    pooled = pool_slices(features, 3, 3)
    check("F", features, expected, 1e-11)
    check("V", pooled, expected, 1e-11)
    assert list(pooled.shape) == expected["V.shape [d,C,h,w]"]


def test_position_code() -> None:
    rows, cols = torch.meshgrid(torch.arange(5.0).double(), torch.arange(7.0).double(), indexing="ij")
    code = position_code(rows.flatten(), cols.flatten()).T.reshape(128, 5, 7)
    check("P", code, VALUES["position_code"], 1e-11)


def dct(size: int, block: int) -> torch.Tensor:
    k, n = golden.grid(size, size)
    matrix = np.sqrt(2 / size) * np.cos(np.pi * (n + 0.5) * k / size)
    matrix[0] /= np.sqrt(2)
    return torch.from_numpy(np.roll(matrix, block, 0))


@pytest.mark.parametrize(("name", "size", "shape"), [("dim16", 16, (5, 7, 3)), ("dim512", 512, (3, 4, 1))])
def test_flow(name: str, size: int, shape: tuple[int, int, int]) -> None:
    expected = VALUES[f"flow_{name}"]
    flow = ConditionalFlow(size, 128, 2).double()
    assert sum(p.numel() for p in flow.parameters()) == expected["trainable parameters"]
    for b, block in enumerate(flow.blocks):
        first, _, second = block.subnet
        for part, tensor in enumerate(
            [first.weight, first.bias, second.weight, second.bias, block.scale, block.offset]
        ):
            t = 6 * b + part
            s = golden.wave(t, tuple(tensor.shape))
            gain = np.sqrt(2 * tensor.shape[0] / tensor.numel())
            opening = 2 * np.log(np.exp(5) - 1)
            tensor.data = [gain * s, 0.1 * s, 4 * gain * s, s, opening * (1 + 0.1 * s), 0.2 * s][part]
        block.turn.copy_(dct(size, b))
    rows, cols, slabs = shape
    d, c, r, q = golden.grid(slabs, size, rows, cols)
    v = torch.from_numpy(
        0.6 * np.sin(0.4 * c + 0.3 * r - 0.2 * q + 0.5 * d) + 0.4 * np.cos(0.9 * c * (r + 1) - 0.7 * q * d)
    )
    check("v", v, expected)
    v.requires_grad_(True)
    place = [torch.from_numpy(axis).flatten() for axis in golden.grid(rows, cols, slabs)[:2]]
    condition = position_code(*place)
    features = v.permute(2, 3, 0, 1).reshape(-1, size)
    z, logdet = flow(features, condition)
    likely = flow.log_likelihood(features, condition)
    check("z [row,col,d,c]", z.reshape(*shape, size), expected, 1e-9)
    check("logdet [row,col,d]", logdet.reshape(shape), expected, 1e-9)
    check("l per dim [row,col,d]", likely.reshape(shape), expected, 1e-9)
    loss = losses.likelihood_loss(likely)
    assert loss.item() == pytest.approx(expected["mean(-logsigmoid(l))"], rel=1e-9)
    loss.backward()
    mine = {
        "v": v,
        "block0.W1": flow.blocks[0].subnet[0].weight,
        "block1.G": flow.blocks[1].scale,
        "block0.offset": flow.blocks[0].offset,
    }
    for key, tensor in mine.items():
        assert tensor.grad.norm().item() == pytest.approx(expected[f"grad_norm[{key}]"], rel=1e-9)


def likelihoods() -> tuple[torch.Tensor, torch.Tensor]:
    i = np.arange(200)
    normal = -1.5 + 0.6 * np.sin(0.37 * i) - 2.2 * (i % 17 == 0) - 12.0 * (i % 53 == 5)
    synthetic = -2.6 + 1.4 * np.sin(0.53 * i + 0.4) - 9.0 * (i % 41 == 7)
    return torch.from_numpy(normal).requires_grad_(True), torch.from_numpy(synthetic).requires_grad_(True)


@pytest.mark.parametrize("kind", ["focal", "plain"])
def test_semi_push_pull(kind: str) -> None:
    expected = {key.removeprefix(f"spp.{kind}."): value for key, value in VALUES["losses"].items()}
    normal, synthetic = likelihoods()
    focal = kind == "focal"
    likely = losses.likelihood_loss(normal, losses.focal_normal(normal) if focal else None)
    pull, push = losses.semi_push_pull(normal, synthetic, focal=focal)
    contrastive = torch.autograd.grad(pull, normal, retain_graph=True)[0]
    (likely + pull + push).backward()
    assert normal.grad is not None
    assert synthetic.grad is not None
    found = {
        "L_ml": likely, "L_n": pull, "L_a": push, "total": likely + pull + push,
        "b_n": losses.boundary(normal, 0.05), "b_a": losses.boundary(normal, 0.05) - 0.1,
        "grad_norm": torch.cat([normal.grad, synthetic.grad]).norm(), "grad[0]": normal.grad[0],
        "grad of syn[3]": synthetic.grad[3],
        "n normals with nonzero contrastive gradient": (contrastive != 0).sum(),
    }  # fmt: skip
    for key, value in found.items():
        assert value.item() == pytest.approx(expected[key], rel=1e-10), key


def test_focal_weights() -> None:
    normal, synthetic = likelihoods()
    normal, abnormal = losses.focal_normal(normal), losses.focal_synthetic(synthetic)
    for name, tensor in (("w_n", normal), ("w_a", abnormal)):
        check(name, tensor, VALUES["losses"], 1e-10)


@pytest.mark.parametrize("case", ["near", "base", "far", "sign_blind"])
def test_triplet(case: str) -> None:
    normal, synthetic = likelihoods()
    normal, abnormal = {
        "near": (normal, 0.8 * normal + 0.1 * synthetic), "base": (normal, synthetic),
        "far": (0.05 * normal - 1.4, synthetic - 5), "sign_blind": (0.05 * normal - 1.4, -synthetic),
    }[case]  # fmt: skip
    normal, abnormal = normal.detach().requires_grad_(True), abnormal.detach().requires_grad_(True)
    positive = normal[(7 * torch.arange(200) + 3) % 200]
    likely, term = losses.likelihood_loss(normal), losses.triplet(normal, positive, abnormal)
    (likely + term).backward()
    assert normal.grad is not None
    assert abnormal.grad is not None
    found = {
        "L_ml": likely, "triplet": term, "total": likely + term,
        "grad_norm[l]": normal.grad.norm(), "grad_norm[l_syn]": abnormal.grad.norm(),
    }  # fmt: skip
    for key, value in found.items():
        assert value.item() == pytest.approx(VALUES["losses"][f"triplet.{case}.{key}"], rel=1e-9, abs=1e-12), key


def smooth(version: str) -> list[np.ndarray]:
    n, r, q, k = golden.grid(2, 6, 5, 4)
    grid = -1.42 + 0.08 * np.sin(0.9 * r + 0.5 * q - 0.7 * k + n)
    grid = grid - 0.6 * np.exp(-((r - 2 - n) ** 2 + (q - 3) ** 2 + (k - 1.5) ** 2) / 2)
    return [scores.smoothed(one, (24, 20, 12), version) for one in grid]


@pytest.mark.parametrize("version", ["plos", "arxiv"])
def test_published_scores(version: str) -> None:
    smoothed = smooth(version)
    found = [scores.plos(one) for one in smoothed] if version == "plos" else scores.arxiv(smoothed)
    for number, (one, (voxels, per_slice)) in enumerate(zip(smoothed, found, strict=True)):
        start = f"{version}.vol{number}."
        check(f"{start}smoothed_l", torch.from_numpy(one), VALUES["scores"], 1e-10)
        check(f"{start}voxel_map", torch.from_numpy(voxels), VALUES["scores"], 1e-10)
        assert per_slice.tolist() == pytest.approx(VALUES["scores"][f"{start}slice_scores"], rel=1e-10)


def test_contrast_loss_and_map() -> None:
    encoded, decoded = [], []
    for k, (b, c, r, q) in enumerate(
        (golden.grid(3, 8, 16, 16), golden.grid(3, 16, 8, 8), golden.grid(3, 32, 4, 4)), 1
    ):
        e = np.abs(np.sin(0.3 * k * r + 0.2 * c + 0.5 * b) * np.cos(0.25 * q - 0.1 * c * k)) + 0.1 * np.cos(0.7 * c + r)
        d = np.abs(np.sin(0.3 * k * r + 0.2 * c + 0.5 * b + 0.2) * np.cos(0.25 * q - 0.1 * c * k))
        encoded.append(torch.from_numpy(e).requires_grad_(True))
        decoded.append(torch.from_numpy(d + 0.15 * np.sin(0.6 * c + q + b)).requires_grad_(True))
    expected = VALUES["edc_loss"]
    terms = contrast_loss(encoded, decoded)
    assert [term.item() for term in terms] == pytest.approx(expected["l1,l2,l3"], rel=1e-10)
    sum(terms).backward()
    assert sum(terms).item() == pytest.approx(expected["loss"], rel=1e-10)
    assert [d.grad.norm().item() for d in decoded] == pytest.approx(
        [expected[f"grad_norm[d{k}]"] for k in (1, 2, 3)], rel=1e-10
    )
    assert [e.grad for e in encoded] == [None] * 3
    found = contrast_map(encoded, decoded)
    check("p_all", found[:, None], expected, 1e-10)
    assert found.flatten(1).max(1).values.tolist() == pytest.approx(expected["image_scores (max of map)"], rel=1e-10)
    for k, part in enumerate(contrast_maps(encoded, decoded), 1):
        assert part.mean().item() == pytest.approx(expected[f"p{k}.mean"], rel=1e-10)
    assert [spread(e).item() for e in encoded] == pytest.approx(expected["std indicators e1,e2,e3"], rel=1e-10)


@torch.no_grad()
def test_wide_decoder() -> None:
    expected = VALUES["edc_decoder"]
    decoder = ContrastDecoder("wide_resnet50_2").double().eval()
    assert sum(p.numel() for p in decoder.parameters()) == expected["parameters (stages 3,2,1)"]
    golden.fill(decoder, expected["order"], {})
    b, c, r, q = golden.grid(2, 2048, 2, 2)
    bottom = np.abs(np.sin(0.21 * c + 0.9 * r + 0.4 * b) * np.cos(0.8 * q - 0.03 * c))
    for k, found in enumerate(decoder(torch.from_numpy(bottom)), 1):
        check(f"d{k}", found, expected)


@torch.no_grad()
def test_wide_encoder() -> None:
    expected = VALUES["encoder_wrn50_2"]
    encoder = ResNet("wide_resnet50_2").double().eval()
    cut = ResNet("wide_resnet50_2", levels=3)
    assert sum(p.numel() for p in cut.parameters()) == expected["parameters conv1..layer3"]
    golden.fill(encoder, expected["order"], SHORTCUT)
    b, c, r, q = golden.grid(2, 3, 64, 64)
    x = 1.5 * np.sin(0.21 * r + 0.8 * c + 0.4 * b) * np.cos(0.17 * q - 0.3 * c) + 0.5 * np.sin(0.01 * r * q + b)
    for k, found in enumerate(encoder(torch.from_numpy(x)), 1):
        check(f"f{k}", found, expected)
    assert functional.relu(found).equal(found)
