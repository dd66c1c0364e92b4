"""Training: overfits blobs, stays silent on healthy slices, never opens a drawn mask, resumes, refreshes its masks."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.contract import silent
from engines.errors import BadCohort, Cancelled
from engines.rasalore import pseudo_targets
from engines.rasalore.engine import RasaLoreEngine
from engines.rasalore.losses import dice
from engines.rasalore.pseudo_targets import roles, training_sets
from engines.rasalore.settings import Settings
from engines.rasalore.slices import Slices, State, gathered, point_mask
from engines.rasalore.training import Trainer, losses, new_network
from engines.samples import Cohort, read_cohort
from tests.engines import phantoms

SIDE = 32
PLAIN = Settings(
    size=SIDE, width=4, grid=16, heads=2, batch=8, iterations=100, checkpoint_every=50, ema=0.0, turn_degrees=0.0,
    mirror=False, grey=0.0, learning_rate=5e-3, healthy_share=0.5,
)  # fmt: skip


def blobs(count: int, *, ill: bool, seed: int = 0) -> Slices:
    """Grey discs with a bright blob each, or without."""
    random = np.random.default_rng(seed)
    r, c = np.meshgrid(np.arange(2 * SIDE), np.arange(2 * SIDE), indexing="ij")
    brain = (r - SIDE) ** 2 + (c - SIDE) ** 2 < (0.85 * SIDE) ** 2
    pictures, cores = [], []
    for _ in range(count):
        row, col = SIDE + random.uniform(-12, 12, 2)
        core = ((r - row) ** 2 + (c - col) ** 2 < random.uniform(7, 12) ** 2) & brain & ill
        grey = np.where(brain, -0.2 + random.normal(0, 0.05, brain.shape), -0.98) + 0.7 * core
        pictures.append(grey.reshape(SIDE, 2, SIDE, 2).mean((1, 3)))
        cores.append(core)
    core = torch.from_numpy(np.stack(cores))[:, None]
    inside = torch.from_numpy(brain[::2, ::2]).expand(count, 1, SIDE, SIDE)
    state = torch.full((count,), int(State.AUTO if ill else State.HEALTHY))
    shown = torch.from_numpy(np.stack(pictures)).half()[:, None]
    return Slices(shown, inside, core, core, state, torch.ones(count), torch.arange(count))


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Slices]:
    slices = gathered([blobs(8, ill=True), blobs(8, ill=False)])
    trainer = Trainer(PLAIN, slices, slices, torch.device("cpu"))
    trainer.run(tmp_path_factory.mktemp("run"), resume=False)
    return trainer, slices


def test_eight_blobs_are_learned_and_healthy_slices_stay_silent(overfitted: tuple[Trainer, Slices]) -> None:
    trainer, slices = overfitted
    probability, shown = trainer.probabilities(slices)
    ill, healthy = probability[:8].float(), probability[8:].float()
    assert dice((ill > 0.5).float(), slices.core[:8].float()).mean() > 0.8
    assert healthy.mean() < 0.05
    assert shown[:8].min() > shown[8:].max()


def test_networks_own_masks_become_the_next_ones(overfitted: tuple[Trainer, Slices]) -> None:
    trainer, slices = overfitted
    refreshed = trainer.refreshed()
    assert not refreshed[8:].any()
    assert dice(refreshed[:8].float(), slices.core[:8].float()).min() > 0.5
    # A mask that has nothing to do with the one before is not believed.
    moved = replace(slices, core=slices.core.flip(2))
    other = Trainer(PLAIN, moved, moved, torch.device("cpu"), trainer.network.state_dict())
    kept = dice(other.refreshed()[:8].float(), moved.core[:8].float())
    assert (kept > 0.2).all()


def test_published_losses_train_too(tmp_path: Path) -> None:
    slices = gathered([blobs(4, ill=True), blobs(4, ill=False)])
    coarse = replace(PLAIN, targets="coarse", iterations=30, checkpoint_every=15, optimiser="sgd", decay="halving")
    trainer = Trainer(coarse, slices, slices, torch.device("cpu"))
    history = trainer.run(tmp_path, resume=False).history
    assert history[-1]["mask"] < history[0]["mask"]


def test_states_of_a_reader_weigh_and_choose_their_losses() -> None:
    slices = gathered([blobs(3, ill=True), blobs(1, ill=False)])
    network = new_network(PLAIN).eval()
    with torch.no_grad():
        out = network(slices.pictures.float())
    coarse = replace(PLAIN, targets="coarse")
    corrected = replace(slices, states=torch.tensor([State.CORRECTED] * 3 + [State.REJECTED]))
    nobody = replace(slices, trust=torch.zeros(4))

    def mask_loss(of: Slices, settings: Settings) -> float:
        return losses(out, of, settings)["mask"].item()

    assert mask_loss(corrected, coarse) == pytest.approx(mask_loss(slices, PLAIN))
    assert mask_loss(corrected, coarse) != pytest.approx(mask_loss(slices, coarse))
    assert mask_loss(nobody, PLAIN) == 0


def test_small_lesions_have_points() -> None:
    core = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    core[0, 0, 33:36, 33:36] = True
    assert point_mask(core, 16, "published").sum() == 0
    assert point_mask(core, 16, "area").sum() == 1


def without_masks(cohort: Cohort) -> Cohort:
    """The same cohort, its masks somewhere that cannot be read."""
    samples = tuple(replace(sample, mask=Path("/nowhere/mask.nii.gz")) for sample in cohort.samples)
    return replace(cohort, samples=samples)


def test_drawn_masks_are_never_opened(phantom_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    real = Path.read_bytes

    def watched(path: Path) -> bytes:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", watched)
    RasaLoreEngine.fit(without_masks(phantom_cohort), tmp_path / "model", Settings.tiny(), device="cpu")
    assert opened
    assert not [path for path in opened if "mask" in path.name]


def test_no_subject_is_on_both_sides_whatever_the_order(phantom_cohort: Cohort) -> None:
    train, apart = roles(phantom_cohort, Settings.tiny())
    assert not {s.subject for s in train} & {s.subject for s in apart}
    turned = replace(phantom_cohort, samples=phantom_cohort.samples[::-1])
    again = roles(turned, Settings.tiny())
    assert {s.subject for s in again[1]} == {s.subject for s in apart}
    assert all(s.split != "test" for s in (*train, *apart))


def test_a_cohort_without_labelled_slices_is_refused(tmp_path: Path) -> None:
    cohort = phantoms.write_cohort(tmp_path, (("normal", "train", 2), ("normal", "val", 1)))
    with pytest.raises(BadCohort, match="slice labelled 1"):
        training_sets(read_cohort(cohort.path), Settings.tiny())


def test_pseudo_masks_from_slice_labels_find_the_bright_ball(phantom_cohort: Cohort) -> None:
    settings = replace(Settings.tiny(), size=32, trees=20)
    train, _ = roles(phantom_cohort, settings)
    prepared = [pseudo_targets.prepared_sample(sample, settings, None) for sample in train]
    masks = pseudo_targets.pseudo_masks(prepared, settings)
    for one, (core, _) in zip(prepared, masks, strict=True):
        assert not core[~one.labels].any()
        if one.labels.any():
            truth = (one.grey > 1.5) & one.labels[:, None, None]
            assert 2 * (truth & core).sum() / (truth.sum() + core.sum()) > 0.6


def test_training_resumes_with_the_masks_it_had(tmp_path: Path) -> None:
    slices = gathered([blobs(4, ill=True), blobs(4, ill=False)])
    settings = replace(PLAIN, iterations=12, checkpoint_every=3, rounds=1, ema=0.9)
    whole = Trainer(settings, slices, slices, torch.device("cpu"))
    whole.run(tmp_path / "whole", resume=False)

    def stop(done: int, total: int, text: str) -> None:
        if done == 9:
            raise Cancelled

    with pytest.raises(Cancelled):
        Trainer(settings, slices, slices, torch.device("cpu")).run(tmp_path / "cut", resume=False, report=stop)
    again = Trainer(settings, slices, slices, torch.device("cpu"))
    again.run(tmp_path / "cut", resume=True, report=silent)
    for key, value in whole.network.state_dict().items():
        assert torch.allclose(again.network.state_dict()[key], value, atol=1e-5), key


def test_presets_are_values() -> None:
    assert sum(p.numel() for p in new_network(Settings.preset("paper")).parameters()) == 7_254_370
    assert dataclasses.asdict(Settings.preset("default")) == dataclasses.asdict(Settings())
