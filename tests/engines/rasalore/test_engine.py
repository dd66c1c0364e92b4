"""What only this engine does: there and back, flat memory, corrected slices, evaluation, bench, the bundled model."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines import device as devices
from engines import model_package
from engines.blocks.slice_encoder import TO_STRIDE_32, random_encoder
from engines.errors import BadModel
from engines.rasalore import evaluation
from engines.rasalore.bench import bench
from engines.rasalore.engine import RasaLoreEngine
from engines.rasalore.folded import FoldedRasaLore
from engines.rasalore.inference import predict, shown_mask, slices_at_once, top_mean
from engines.rasalore.outline import outlined
from engines.rasalore.pseudo_targets import prepare
from engines.rasalore.settings import Settings
from engines.rasalore.slice_probability import BACKBONE, SliceProbability, fitted
from engines.rasalore.training import new_network
from engines.samples import Cohort
from engines.volume import Volume
from tests.engines import phantoms

ROOM = Path(__file__).parents[3] / "engines" / "rasalore"
BUNDLED = Path(__file__).parents[3] / "resources" / "models" / "rasalore-flair"


@pytest.fixture(scope="module")
def model(phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RasaLoreEngine.fit(phantom_cohort, tmp_path_factory.mktemp("rasalore") / "model", Settings.tiny())


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((160, 180, 4), (1.0, 1.0, 24.0)), ((60, 190, 4), (3.0, 1.0, 24.0)), ((138, 172, 4), (1.0, 1.0, 24.0))],
    ids=["with air", "one side under 64", "touching the border"],
)
def test_a_disc_goes_to_the_networks_frame_and_back(shape: tuple, spacing: tuple) -> None:
    phantom = phantoms.brain(shape, 3, affine=phantoms.centred_affine(shape, spacing))
    stack = prepare(phantom.volume, Settings())
    i, j = np.meshgrid(*(np.arange(n) for n in shape[:2]), indexing="ij")
    away_mm = np.hypot((i - 0.62 * shape[0]) * spacing[0], (j - 0.4 * shape[1]) * spacing[1])
    disc = np.zeros(shape, bool)
    disc[:, :, stack.indices] = (away_mm < 22)[:, :, None]
    back = stack.to_volume((stack.from_volume(disc) > 0.5).astype(np.float32)) > 0.5
    assert (disc & back).sum() / (disc | back).sum() > 0.9


def test_blank_slices_get_nothing_and_no_exception(model: Path) -> None:
    phantom = phantoms.brain(seed=4)
    blank = phantom.volume.voxels.copy()
    blank[:, :, :5] = 0
    found = RasaLoreEngine(model, "cpu").detect(phantom.volume.with_voxels(blank))
    assert not found.heatmap[:, :, :5].any()
    assert np.isnan(found.slice_scores[:5]).all()


def test_extras_lie_on_the_volumes_grid(model: Path) -> None:
    volume = phantoms.brain(seed=9, lesion=phantoms.Lesion()).volume
    found = RasaLoreEngine(model, "cpu").detect(volume)
    for name in ("pseudo_mask", "point_activations"):
        assert found.extras[name].shape == volume.shape
    assert set(np.unique(found.extras["pseudo_mask"])) <= {0.0, 1.0}
    factors = (found.extras["top_probability"], found.extras["slice_probability"])
    assert all(len(factor) == volume.shape[found.slice_axis] for factor in factors)
    assert ((found.heatmap >= 0) & (found.heatmap <= 1)).all()


def test_training_never_reaches_drawn_masks() -> None:
    readers = {"evaluation.py", "simulated_readers.py"}
    for file in sorted(ROOM.glob("*.py")):
        tree = ast.parse(file.read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        sources = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert ("load_mask" in names) == (file.name in readers), file.name
        if file.name not in readers:
            assert not {f"engines.rasalore.{reader.removesuffix('.py')}" for reader in readers} & sources, file.name


def test_codes_travel_with_the_model(model: Path, tmp_path: Path) -> None:
    loaded = model_package.load(model)
    assert loaded.weights["rasa.location"].shape == (64, 16)
    del loaded.weights["rasa.location"]
    model_package.write(tmp_path / "model", loaded.card, loaded.weights, loaded.calibration)
    with pytest.raises(BadModel, match="do not fit"):
        RasaLoreEngine(tmp_path / "model", "cpu")


def test_training_can_start_from_a_model(model: Path, phantom_cohort: Cohort, tmp_path: Path) -> None:
    settings = replace(Settings.tiny(), start=str(model), iterations=2, learning_rate=1e-9, ema=0.0)
    again = RasaLoreEngine.fit(phantom_cohort, tmp_path / "model", settings, device="cpu")
    card = model_package.read_card(again)
    assert card.parent == model_package.read_card(model).digest
    assert card.settings["start"] == ""
    before, after = (model_package.read_weights(folder)["stage4.conv1.weight"] for folder in (model, again))
    assert np.allclose(before, after, atol=1e-4)


def test_chunks_do_not_change_what_is_seen() -> None:
    torch.manual_seed(0)
    network = FoldedRasaLore(new_network(Settings.tiny()))
    pictures = np.random.default_rng(0).uniform(-1, 1, (7, 16, 16)).astype(np.float32)
    cpu = devices.choose("cpu")
    found = [predict(network, pictures, replace(Settings.tiny(), chunk=chunk), cpu) for chunk in (1, 3, 7)]
    for one in found[1:]:
        assert np.allclose(one.probability, found[0].probability, atol=1e-5)
        assert np.allclose(one.points, found[0].points, atol=1e-5)
    both = predict(network, np.concatenate([pictures, pictures[:, :, ::-1]]), Settings.tiny(), cpu, both_sides=True)
    assert np.allclose(both.probability[:7], both.probability[7:, :, ::-1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the process's peak memory")
def test_155_slices_of_the_default_size_stay_under_a_gigabyte() -> None:
    code = (
        "import re, numpy as np, torch; torch.set_num_threads(1);"
        "from engines import device; from engines.rasalore.inference import predict;"
        "from engines.rasalore.folded import FoldedRasaLore; from engines.rasalore.settings import Settings;"
        "from engines.rasalore.training import new_network; s = Settings();"
        "predict(FoldedRasaLore(new_network(s)), np.zeros((155, s.size, s.size), np.float32), s, device.choose('cpu'));"
        # Not getrusage: its figure is at least the size of the process that started this one.
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOM.parents[1])
    assert int(done.stdout) < 1 << 20
    assert slices_at_once(Settings.preset("paper")) == 1


def test_slice_classifier_travels_with_the_model(phantom_cohort: Cohort, tmp_path: Path) -> None:
    encoder = random_encoder(BACKBONE, 0, TO_STRIDE_32)
    torch.save(encoder.net.state_dict(), tmp_path / "encoder.pth")
    settings = replace(Settings.tiny(), slice_factor="encoder", encoder_weights=str(tmp_path / "encoder.pth"))
    model = RasaLoreEngine.fit(phantom_cohort, tmp_path / "model", replace(settings, iterations=2), device="cpu")
    assert model_package.read_card(model).settings["encoder_weights"] == ""
    found = RasaLoreEngine(model, "cpu").detect(phantoms.brain(seed=5, lesion=phantoms.Lesion()).volume)
    shown = found.extras["slice_probability"]
    assert 0 <= np.nanmin(shown) < np.nanmax(shown) <= 1


def test_slice_classifier_learns_which_slices_are_labelled() -> None:
    random = np.random.default_rng(0)
    model = SliceProbability(random_encoder(BACKBONE, 0, TO_STRIDE_32))
    labels = random.random(60) < 0.5
    features = torch.from_numpy(random.normal(0, 1, (60, model.linear.in_features)).astype(np.float32))
    features[:, 3] = 5 + 2 * torch.from_numpy(labels) + 0.1 * features[:, 3]
    fitted([features], [labels], model)
    logits = model(features).numpy()
    assert logits[labels].min() > logits[~labels].max()


def test_top_mean_and_small_parts() -> None:
    probability = np.zeros((1, 32, 32), np.float32)
    probability[0, 4:12, 4:12] = 0.9
    probability[0, 20, 20] = 0.99
    inside = np.ones((1, 32, 32), bool)
    assert top_mean(probability, inside, 1 / 1024)[0] == pytest.approx(0.99)
    mask = shown_mask(probability, inside, replace(Settings.tiny(), least_part_px=2))
    assert mask.sum() == 64


def test_an_outline_follows_the_bright_part_and_stays_in_labelled_slices() -> None:
    r, c = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    brain = np.broadcast_to((r - 32) ** 2 + (c - 32) ** 2 < 28**2, (3, 64, 64))
    lesion = (r - 24) ** 2 + (c - 36) ** 2 < 7**2
    grey = np.where(brain, 1.0 + 0.8 * lesion, 0).astype(np.float32)
    rough = np.exp(-((r - 26) ** 2 + (c - 34) ** 2) / (2 * 9**2)).astype(np.float32)
    masks = outlined(np.stack([rough] * 3), grey, brain, np.array([False, True, True]))
    assert not masks[0].any()
    assert 2 * (masks[1] & lesion).sum() / (masks[1].sum() + lesion.sum()) > 0.85


def test_evaluation_measures_both_ways(
    model: Path, phantom_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    assert evaluation.main([str(copy), str(phantom_cohort.path), "--device", "cpu", "--into-card"]) == 0
    shown = capsys.readouterr().out
    assert "Dice at 0.5 a volume" in shown
    assert "slice AUROC" in shown
    assert "Dice at 0.5 a volume, RASALoRE" in [metric.name for metric in model_package.verify(copy).metrics]


def test_bench_compares_plain_and_folded() -> None:
    rows = bench("cpu", Settings.tiny(), published=False)
    folded, plain = rows[0], rows[-1]
    assert "folded" in folded["part"]
    assert "plain" in plain["part"]
    assert folded["gflop a slice"] <= plain["gflop a slice"]
    assert float(plain["largest difference"]) < 1e-4


def test_bundled_model_outlines_a_bright_lesion() -> None:
    shape, spacing = (90, 100, 20), (2.0, 2.0, 6.0)
    lesion = phantoms.Lesion(radius_mm=22, contrast=0.8)
    phantom = phantoms.brain(shape, 3, lesion, phantoms.centred_affine(shape, spacing))
    found = RasaLoreEngine(BUNDLED, "cpu").detect(phantom.volume)
    inside = found.region & phantom.lesion
    assert found.heatmap[inside].mean() > 5 * found.heatmap[found.region & ~phantom.lesion].mean()
    shown = phantom.lesion.any((0, 1))
    assert np.nanmean(found.slice_scores[shown]) > np.nanmean(found.slice_scores[~shown])


def test_pictures_without_a_pixel_size_are_one_slice(model: Path) -> None:
    plane = np.kron(phantoms.brain(seed=2).volume.voxels[:, :, 8], np.ones((3, 3), np.float32))[:, :, None]
    picture = Volume(np.ascontiguousarray(plane), np.diag([-1.0, -1.0, 1.0, 1.0]), "FLAIR", "x", calibrated=False)
    assert RasaLoreEngine(model, "cpu").detect(picture).slice_scores.shape == (1,)
