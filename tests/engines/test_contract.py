"""What every engine must do, tried on each engine of the catalog with a tiny model trained on phantoms."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engines import catalog, model_package
from engines.contract import Engine, Trainable
from engines.errors import BadModel, Cancelled, KnownError
from engines.result import DEFAULT_PERCENTILE, AnomalyResult
from engines.samples import Cohort
from engines.volume import Volume
from tests.engines import phantoms

KEYS = sorted({*catalog.cards(), "fake"})
REPOSITORY = Path(__file__).resolve().parents[2]
CANCEL_S = 1.0

pytestmark = pytest.mark.usefixtures("fake_engine_installed")


class Recorder:
    """A report that remembers, and stops the work at a given call."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls: list[tuple[int, int, str]] = []
        self.stopped_at = 0.0
        self._stop_at = stop_at

    def __call__(self, done: int, total: int, text: str) -> None:
        self.calls.append((done, total, text))
        if len(self.calls) == self._stop_at:
            self.stopped_at = time.monotonic()
            raise Cancelled


@dataclasses.dataclass(frozen=True)
class Trained:
    key: str
    model: Path
    report: Recorder

    def engine(self) -> Engine:
        return catalog.create(self.key, self.model, "cpu")


@pytest.fixture(scope="module", params=KEYS)
def trained(
    request: pytest.FixtureRequest,
    fake_engine_installed: None,
    phantom_cohort: Cohort,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """One engine with a tiny model."""
    key: str = request.param
    report = Recorder()
    out = tmp_path_factory.mktemp(key) / "model"
    tiny = catalog.settings_class(key).tiny()
    model = catalog.engine_class(key).fit(phantom_cohort, out, tiny, device="cpu", report=report)
    return Trained(key, model, report)


@pytest.fixture(scope="module")
def ill() -> phantoms.Phantom:
    return phantoms.brain(seed=77, lesion=phantoms.Lesion())


@pytest.fixture(scope="module")
def result(trained: Trained, ill: phantoms.Phantom) -> AnomalyResult:
    return trained.engine().detect(ill.volume)


def assert_sane(result: AnomalyResult, volume: Volume) -> None:
    """The shape of every result, whatever the volume."""
    assert result.heatmap.shape == volume.shape
    assert result.heatmap.dtype == np.float32
    assert np.isfinite(result.heatmap).all()
    assert result.region.shape == volume.shape
    assert result.region.dtype == np.bool_
    assert not result.heatmap[~result.region].any()
    assert result.slice_axis == volume.slice_axis
    assert result.slice_scores.shape == (volume.shape[volume.slice_axis],)
    assert result.slice_scores.dtype == np.float32
    assert result.slice_percentiles.shape == result.slice_scores.shape
    scored = np.isfinite(result.slice_scores)
    assert scored.any()
    assert np.array_equal(scored, np.isfinite(result.slice_percentiles))
    percentiles = result.slice_percentiles[scored]
    assert percentiles.min() >= 0
    assert percentiles.max() <= 100
    assert np.isfinite(result.score)
    assert np.isnan(result.score_percentile) or 0 <= result.score_percentile <= 100


def test_the_card_describes_the_engine(trained: Trained) -> None:
    card = catalog.card(trained.key)
    assert card.dims in ("2D", "3D", "2D+3D")
    assert all((card.title, card.paper, card.supervision, card.inputs))
    assert isinstance(trained.engine(), Engine)
    assert isinstance(catalog.engine_class(trained.key), Trainable)
    assert trained.engine().card == card


def test_a_series_of_another_modality_is_warned_about(trained: Trained, ill: phantoms.Phantom) -> None:
    made_for = model_package.read_card(trained.model).modality
    assert made_for
    result = trained.engine().detect(dataclasses.replace(ill.volume, modality="PD"))
    assert any(made_for in warning and "PD" in warning for warning in result.provenance.warnings)


def test_settings_are_frozen_values_and_need_no_torch(trained: Trained) -> None:
    settings = catalog.settings_class(trained.key)()
    name = dataclasses.fields(settings)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, name, getattr(settings, name))
    assert json.dumps(dataclasses.asdict(settings))
    code = f"import sys, engines.catalog as c; c.settings_class({trained.key!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.strip() == "False"


def test_training_writes_a_whole_model_that_tells_where_it_comes_from(trained: Trained, phantom_cohort: Cohort) -> None:
    card = model_package.verify(trained.model)
    assert card.engine == trained.key
    assert card.modality == "FLAIR"
    assert card.settings == json.loads(json.dumps(dataclasses.asdict(catalog.settings_class(trained.key).tiny())))
    assert phantom_cohort.digest in [data.digest for data in card.training_data]


def test_result_lies_on_the_volumes_grid(result: AnomalyResult, ill: phantoms.Phantom) -> None:
    assert_sane(result, ill.volume)


def test_scored_region_is_the_head(result: AnomalyResult, ill: phantoms.Phantom) -> None:
    both = (result.region & ill.brain).sum()
    assert 2 * both / (result.region.sum() + ill.brain.sum()) > 0.8


def test_percentiles_are_those_of_the_calibration(result: AnomalyResult) -> None:
    assert result.threshold == pytest.approx(result.scale.value(DEFAULT_PERCENTILE))
    assert (np.diff(result.scale.values) > 0).all()
    assert (np.diff(result.scale.percentiles) > 0).all()
    assert not result.mask()[~result.region].any()


def test_provenance_can_be_repeated(result: AnomalyResult, trained: Trained) -> None:
    provenance = result.provenance
    assert provenance.engine == trained.key
    assert provenance.model_digest == model_package.read_card(trained.model).digest
    assert provenance.volume_uid == "phantom-77"
    assert json.dumps(provenance.to_json(), default=str)


def test_same_volume_same_result(result: AnomalyResult, trained: Trained, ill: phantoms.Phantom) -> None:
    before = ill.volume.voxels.copy()
    again = trained.engine().detect(ill.volume)
    assert np.array_equal(again.heatmap, result.heatmap)
    assert np.array_equal(again.slice_scores, result.slice_scores, equal_nan=True)
    assert again.score == result.score
    assert np.array_equal(ill.volume.voxels, before)


def test_progress_never_goes_back(trained: Trained, ill: phantoms.Phantom) -> None:
    report = Recorder()
    trained.engine().detect(ill.volume, report)
    shares = [done / max(total, 1) for done, total, _ in report.calls]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    for (done, total, _), (later, same, _) in zip(trained.report.calls, trained.report.calls[1:], strict=False):
        assert 0 <= done <= total
        assert later >= done or same != total or later == 0


def test_cancelling_a_run_stops_it_at_once(trained: Trained, ill: phantoms.Phantom) -> None:
    engine = trained.engine()
    report = Recorder(stop_at=2)
    with pytest.raises(Cancelled):
        engine.detect(ill.volume, report)
    assert time.monotonic() - report.stopped_at < CANCEL_S


def test_cancelled_training_resumes(trained: Trained, phantom_cohort: Cohort, tmp_path: Path) -> None:
    fit = catalog.engine_class(trained.key).fit
    tiny = catalog.settings_class(trained.key).tiny()
    stop = Recorder(stop_at=max(2, len(trained.report.calls) // 2))
    with pytest.raises(Cancelled):
        fit(phantom_cohort, tmp_path / "model", tiny, device="cpu", report=stop)
    assert not (tmp_path / "model" / model_package.CARD).exists()
    fit(phantom_cohort, tmp_path / "model", tiny, device="cpu", resume=True)
    assert model_package.verify(tmp_path / "model").engine == trained.key


def test_calibrating_anew_keeps_the_weights(trained: Trained, phantom_cohort: Cohort, tmp_path: Path) -> None:
    model = Path(shutil.copytree(trained.model, tmp_path / "model"))
    catalog.engine_class(trained.key).calibrate(model, phantom_cohort, device="cpu")
    before, after = model_package.read_card(trained.model), model_package.verify(model)
    assert after.weights == before.weights
    old, new = model_package.read_calibration(trained.model), model_package.read_calibration(model)
    assert np.allclose(new["heatmap.values"], old["heatmap.values"], rtol=1e-3)


@pytest.mark.parametrize("codes", ["LAS", "RPI", "PSR", "ILA", "SAL", "PIR"])
def test_axis_order_does_not_move_the_heatmap(
    trained: Trained, result: AnomalyResult, ill: phantoms.Phantom, codes: str
) -> None:
    turned = phantoms.reoriented(ill.volume, codes)
    other = trained.engine().detect(turned)
    assert_sane(other, turned)
    back = phantoms.reoriented(turned.with_voxels(other.heatmap), "RAS")
    assert np.abs(back.voxels - result.heatmap).max() < 1e-3 * result.heatmap.max()
    assert np.array_equal(
        np.sort(other.slice_scores[np.isfinite(other.slice_scores)]).round(4),
        np.sort(result.slice_scores[np.isfinite(result.slice_scores)]).round(4),
    )


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "degrees"),
    [
        ((48, 52, 16), (4.0, 4.0, 8.0), 20.0),
        ((40, 40, 40), (4.5, 4.5, 4.5), 0.0),
        ((14, 90, 64), (12.0, 2.2, 2.5), 0.0),
    ],
    ids=["oblique", "isotropic", "sagittal thick slices"],
)
def test_any_grid_is_scored_where_the_head_lies(
    trained: Trained, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], degrees: float
) -> None:
    affine = phantoms.centred_affine(shape, spacing_mm, degrees)
    phantom = phantoms.brain(shape, seed=5, lesion=phantoms.Lesion(), affine=affine)
    found = trained.engine().detect(phantom.volume)
    assert_sane(found, phantom.volume)
    assert 2 * (found.region & phantom.brain).sum() / (found.region.sum() + phantom.brain.sum()) > 0.75


def test_picture_is_scored_as_one_slice(trained: Trained, ill: phantoms.Phantom) -> None:
    if "2D" not in catalog.card(trained.key).dims:
        pytest.skip("a 3D engine")
    plane = np.ascontiguousarray(np.kron(ill.volume.voxels[:, :, 8], np.ones((4, 4), np.float32)))[:, :, None]
    picture = Volume(plane, np.diag([-1.0, -1.0, 1.0, 1.0]), "MR2D", "picture", calibrated=False)
    found = trained.engine().detect(picture)
    assert_sane(found, picture)
    assert found.slice_scores.shape == (1,)


@pytest.mark.parametrize("file", [model_package.CARD, model_package.WEIGHTS, model_package.CALIBRATION])
@pytest.mark.parametrize("where", [0.1, 0.5, 0.98])
def test_model_altered_by_one_byte_is_refused(trained: Trained, tmp_path: Path, file: str, where: float) -> None:
    model = Path(shutil.copytree(trained.model, tmp_path / "model"))
    content = bytearray((model / file).read_bytes())
    content[int(where * len(content))] ^= 1
    (model / file).write_bytes(content)
    with pytest.raises(BadModel):
        catalog.create(trained.key, model, "cpu")


def test_model_of_another_engine_is_refused(trained: Trained, tmp_path: Path) -> None:
    loaded = model_package.load(trained.model)
    stranger = loaded.card.model_copy(update={"engine": "stranger"})
    model_package.write(tmp_path / "model", stranger, loaded.weights, loaded.calibration)
    with pytest.raises(BadModel, match="stranger"):
        catalog.create(trained.key, tmp_path / "model", "cpu")


def _nan_corner(voxels: np.ndarray) -> np.ndarray:
    voxels[:3] = np.nan
    return voxels


@pytest.mark.parametrize(
    "spoil",
    [
        lambda voxels: np.full_like(voxels, np.nan),
        _nan_corner,
        lambda voxels: np.where(voxels > 120, np.inf, voxels),
        np.zeros_like,
        np.ones_like,
        lambda voxels: -voxels,
        lambda voxels: voxels * 1e20,
        lambda voxels: voxels[:2, :2, :2],
        lambda voxels: np.stack([voxels] * 3, axis=-1),
    ],
    ids=["all NaN", "some NaN", "infinite", "zero", "constant", "negative", "huge", "2x2x2", "three channels"],
)
def test_hard_volumes_give_a_clear_error_or_a_sane_result(
    trained: Trained, ill: phantoms.Phantom, spoil: Callable[[np.ndarray], np.ndarray]
) -> None:
    voxels = np.ascontiguousarray(spoil(ill.volume.voxels.copy()), np.float32)
    volume = ill.volume.with_voxels(voxels)
    engine = trained.engine()
    with contextlib.suppress(KnownError):
        assert_sane(engine.detect(volume), volume)
