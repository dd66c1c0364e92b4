"""Replay: whose masks are still believed, how far, and what holds the old model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from engines.rasalore import replay
from engines.rasalore.network import Output
from engines.rasalore.slices import Slices, State, gathered
from tests.engines.rasalore.test_training import blobs


@pytest.fixture
def automatic() -> Slices:
    """Two subjects: four slices with a lesion and two without each, from low to high."""
    parts = []
    for subject in (0, 1):
        both = gathered([blobs(4, ill=True, seed=subject), blobs(2, ill=False, seed=subject)])
        parts.append(replace(both, subjects=torch.full((6,), subject)))
    return gathered(parts)


def decided(automatic: Slices, places: list[int], *, right: bool, state: State = State.CORRECTED) -> Slices:
    """A reader's masks of some slices: the pseudo-masks, or something quite different."""
    chosen = automatic[torch.tensor(places)]
    core = chosen.core if right else torch.roll(chosen.core, 32, 3)
    return replace(chosen, core=core, states=torch.full((len(places),), int(state)))


def numbers(kept: Slices, automatic: Slices) -> list[int]:
    names = [picture.numpy().tobytes() for picture in automatic.pictures]
    return [names.index(picture.numpy().tobytes()) for picture in kept.pictures]


def test_slices_a_reader_decided_are_not_replayed(automatic: Slices) -> None:
    found = replay.untouched(automatic, decided(automatic, [1, 2, 4], right=True))
    assert numbers(found, automatic) == [0, 3, 5, 6, 7, 8, 9, 10, 11]


def test_two_neighbours_quite_unlike_their_pseudo_masks_cast_doubt_on_the_subject(automatic: Slices) -> None:
    found = replay.untouched(automatic, decided(automatic, [1, 2], right=False))
    # Lesion-free slices are known by their label, and the other subject is another matter.
    assert numbers(found, automatic) == [4, 5, 6, 7, 8, 9, 10, 11]


def test_wrong_masks_apart_from_each_other_are_dropped_alone(automatic: Slices) -> None:
    found = replay.untouched(automatic, decided(automatic, [0, 2], right=False))
    assert numbers(found, automatic) == [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    # The last slice of one subject and the first of the next are no neighbours.
    apart = automatic[torch.tensor([0, 1, 2, 3, 6, 7, 8, 9])]
    assert numbers(replay.untouched(apart, decided(apart, [3, 4], right=False)), apart) == [0, 1, 2, 5, 6, 7]


class Says(nn.Module):
    """Answers with given logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits


def test_automatic_masks_count_as_far_as_the_teacher_agrees(automatic: Slices, monkeypatch) -> None:
    half = automatic.core.clone()
    half[1] &= torch.cumsum(half[1], 1) <= half[1].sum(1, keepdim=True) // 2
    half[2] = False
    monkeypatch.setattr(
        replay.folded, "forward", lambda net, pictures: Output(net.logits[: len(pictures)], *([pictures] * 4))
    )
    teacher = Says(torch.where(half, 5.0, -5.0))
    found = replay.trusted(automatic[torch.arange(6)], teacher).trust
    assert found[0] == pytest.approx(0.25)
    assert found[1] == pytest.approx(0.25 * 2 / 3, abs=0.02)
    assert found[2] == pytest.approx(0.25 * 0.2)
    assert found[4:].tolist() == [1.0, 1.0]


def test_drift_is_least_where_nothing_changed_even_in_soft_masks() -> None:
    before = torch.linspace(-3, 3, 2 * 16 * 16).reshape(2, 1, 16, 16)
    logits = before.clone().requires_grad_()
    drift = replay.drift(logits, before)
    drift.sum().backward()
    assert drift.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert logits.grad.abs().max() < 1e-7
    assert (replay.drift(before + 0.5, before) > 0.01).all()
    assert (replay.drift(before + 1, before) > replay.drift(before + 0.5, before)).all()
