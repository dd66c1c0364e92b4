"""The mechanics of training: the loss falls, a kill costs nothing, augmentation keeps brain and head together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engines.errors import Cancelled
from engines.itermask3d.augmentation import quarter_turned, varied
from engines.itermask3d.settings import Settings
from engines.itermask3d.training import Healthy, Trainer

CPU = torch.device("cpu")
TINY = replace(Settings.tiny(), iterations=6, checkpoint_every=2, batch=1)


def healthy(count: int = 3) -> Healthy:
    torch.manual_seed(0)
    axes = [torch.linspace(-1.2, 1.2, 32)] * 3
    i, j, k = torch.meshgrid(*axes, indexing="ij")
    brain = i.square() + j.square() + k.square() < 1
    coarse = torch.rand(count, 1, 8, 8, 8)
    heads = 0.3 + 0.4 * torch.nn.functional.interpolate(coarse, (32, 32, 32), mode="trilinear")[:, 0]
    return Healthy(torch.where(brain, heads, 0.0).half(), brain.expand(count, -1, -1, -1))


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in trainer.network.state_dict().values()])


def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = Trainer(TINY, healthy(), healthy(1), CPU)
    whole.run(tmp_path / "whole", resume=False, report=lambda *_: None)

    def killed(done: int, _total: int, _text: str) -> None:
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        Trainer(TINY, healthy(), healthy(1), CPU).run(tmp_path / "cut", resume=False, report=killed)
    again = Trainer(TINY, healthy(), healthy(1), CPU)
    state = again.run(tmp_path / "cut", resume=True, report=lambda *_: None)
    assert torch.equal(weights(whole), weights(again))
    assert [row["iteration"] for row in state.history] == [2, 4, 6]
    assert torch.equal(statistics(whole), statistics(again))


def statistics(trainer: Trainer) -> torch.Tensor:
    return trainer.state.averaged["network"].state_dict()["down.0.first.norm.running_var"].clone()


def test_averaged_weights_get_statistics_of_their_own(tmp_path: Path) -> None:
    trainer = Trainer(replace(TINY, iterations=2, checkpoint_every=2), healthy(), healthy(1), CPU)
    trainer.run(tmp_path, resume=False, report=lambda *_: None)
    network, before = trainer.state.averaged["network"], statistics(trainer)
    drawn, seen = torch.Generator().manual_seed(TINY.seed), []
    hook = network.down[0].first.conv.register_forward_hook(lambda _m, _i, out: seen.append(out.var((0, 2, 3, 4))))
    network.train()
    with torch.no_grad():
        for _ in range(TINY.settle):
            volume, _, mask, _ = trainer._drawn(drawn)
            network(trainer._input(volume[None], mask[None], drawn))
    hook.remove()
    assert torch.allclose(torch.stack(seen).mean(0), before, rtol=1e-4)
    assert not torch.allclose(before, torch.ones_like(before))


def test_the_loss_falls_and_validation_can_be_repeated(tmp_path: Path) -> None:
    settings = replace(TINY, iterations=24, checkpoint_every=12, learning_rate=2e-2, planted=0.0)
    trainer = Trainer(settings, healthy(), healthy(2), CPU)
    untrained = trainer.validate()
    state = trainer.run(tmp_path, resume=False, report=lambda *_: None)
    assert state.history[-1]["loss"] < 0.5 * state.history[0]["loss"]
    assert state.history[-1]["validation"] > untrained
    assert trainer.validate() == pytest.approx(state.history[-1]["validation"])
    assert trainer.network.training


def test_rates_fall_as_they_should() -> None:
    linear = Trainer(replace(TINY, iterations=100), healthy(), healthy(1), CPU)._rate()
    assert [linear(i) for i in (0, 50, 75)] == pytest.approx([1, 1, 0.5])
    reference = Trainer(replace(TINY, iterations=100, decay="reference"), healthy(), healthy(1), CPU)._rate()
    assert [reference(i) for i in (0, 59, 60, 99)] == [1, 1, 0.1, 0.1]


def test_augmentation_moves_head_and_brain_together() -> None:
    part = healthy(1)
    head, brain = part.heads[0].float(), part.brains[0]
    random = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(5):
        moved, inside = varied(head, brain, random)
        shown = moved > 0.05
        assert (inside & shown).sum() > 0.95 * inside.sum()
        assert inside.sum() > 0.5 * shown.sum()  # trimmed, by up to two voxels
        seen.append(int(inside.sum()))
    assert len(set(seen)) == 5
    turned = [quarter_turned(head, brain, random)[0] for _ in range(60)]
    assert 0 < sum(not torch.equal(one, head) for one in turned) < 20
