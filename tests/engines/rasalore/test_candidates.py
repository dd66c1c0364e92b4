"""The weights a fine-tuning ends with lie on a line from the old to the learned ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engines.finetuning import Figures
from engines.rasalore import candidates
from engines.rasalore.training import new_network
from tests.engines.rasalore.test_training import PLAIN, blobs

BEFORE = Figures(0.5, 0.7, 0.01)


def test_weights_between_old_and_learned_are_those_of_a_package() -> None:
    old = {"a": torch.tensor([0.0, 1.0]), "count": torch.tensor(3)}
    learned = {"a": torch.tensor([1.0, 1.1]), "count": torch.tensor(4)}
    found = candidates.blended(old, learned, 0.25)
    assert found["a"].tolist() == [0.25, float(torch.tensor(1.025).half())]
    assert found["a"].dtype is torch.float32
    assert found["count"] == 4
    assert torch.equal(candidates.blended(old, learned, 0.0)["a"], old["a"])


@pytest.fixture
def networks() -> list[dict[str, torch.Tensor]]:
    return [new_network(replace(PLAIN, seed=seed)).state_dict() for seed in range(3)]


def chosen(networks: list[dict[str, torch.Tensor]], figures, monkeypatch) -> tuple[candidates.Kept, torch.nn.Module]:
    """Choose among two checkpoints; figures(step, way) stand for measuring."""
    network = new_network(PLAIN)
    names = {
        candidates.blended(networks[0], networks[step], way)["decoder.last.weight"].numpy().tobytes(): (step, way)
        for step in (1, 2)
        for way in candidates.WAYS
    }
    monkeypatch.setattr(
        candidates, "figures", lambda net, *_: figures(*names[net.decoder.last.weight.detach().numpy().tobytes()])
    )
    slices = blobs(1, ill=True)
    kept = candidates.choose(
        network, networks[0], {1: networks[1], 2: networks[2]}, BEFORE, PLAIN, slices, slices, torch.device("cpu")
    )
    return kept, network


def test_the_best_that_keeps_what_was_known_is_kept(networks, monkeypatch) -> None:
    # Further along the line and with more steps: better on corrected slices, worse on the others.
    kept, network = chosen(
        networks, lambda step, way: Figures(0.5 + step * way, 0.7 - 0.025 * step * way, 0), monkeypatch
    )
    assert kept.facts["kept"] == {"step": 1, "way": 0.75}
    expected = candidates.blended(networks[0], networks[1], 0.75)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())
    # No shorter way to the first checkpoint was needed.
    tried = [(one["step"], one["way"]) for one in kept.facts["candidates"]]
    assert tried == [(1, 1.0), (1, 0.75), (2, 1.0), (2, 0.75), (2, 0.5), (2, 0.25)]
    assert kept.facts["candidates"][-1] == {
        "step": 2, "way": 0.25, "held_out": 1.0, "replay": 0.6875, "false_positives": 0,
    }  # fmt: skip


def test_where_none_obeys_the_one_that_breaks_least_is_told(networks, monkeypatch) -> None:
    def worse(step: int, way: float) -> Figures:
        return Figures(0.4 + 0.01 * step, 0.7, 0.0 if way == 0.5 else 0.02)

    kept, _ = chosen(networks, worse, monkeypatch)
    assert kept.facts["kept"] == {"step": 2, "way": 0.5}
