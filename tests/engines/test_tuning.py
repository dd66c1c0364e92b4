"""What engines share that learn from corrections: which slices, how long, which weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engines.corrections import AUTO, CORRECTED, INTERPOLATED, REJECTED, CorrectedVolume
from engines.errors import BadInput
from engines.finetuning import Figures
from engines.preparation import prepare_slices
from engines.tuning import blended, choose, drawn, examples, identity, steps_for, stratified, untouched
from tests.engines import phantoms

BEFORE = Figures(held_out=0.5, replay=0.6, false_positives=0.01)


def a_correction(states: dict[int, str]) -> tuple[CorrectedVolume, phantoms.Phantom]:
    phantom = phantoms.brain(seed=1, lesion=phantoms.Lesion())
    slices = tuple(states.get(index, AUTO) for index in range(phantom.volume.shape[2]))
    empty = np.zeros_like(phantom.lesion)
    return CorrectedVolume("c", "s", "s", "R", phantom.lesion, empty, slices, 2, phantom.volume.affine), phantom


def test_decided_slices_are_learned_and_those_kept_apart_are_not() -> None:
    one, phantom = a_correction({4: REJECTED, 6: CORRECTED, 7: INTERPOLATED, 8: CORRECTED, 11: INTERPOLATED})
    stack = prepare_slices(phantom.volume, 64)
    kept = np.zeros(16, bool)
    kept[8] = True
    found = drawn(one, kept, stack)
    by_slice = dict(zip(stack.indices.tolist(), zip(found.learn, found.apart, found.trust, strict=True), strict=True))
    assert [index for index, (learn, *_) in by_slice.items() if learn] == [4, 6, 11]
    assert [index for index, (_, apart, _) in by_slice.items() if apart] == [8]
    assert by_slice[11][2] == pytest.approx(0.4)
    assert by_slice[5][2] == 0
    assert found.masks.any((1, 2)).tolist() == phantom.lesion.any((0, 1))[stack.indices].tolist()
    with pytest.raises(BadInput, match="another axis"):
        drawn(replace(one, slice_axis=0, states=(CORRECTED,) * 48), np.zeros(48, bool), stack)


@pytest.mark.parametrize(("slices", "steps"), [(4, 10), (30, 75), (200, 200)])
def test_a_training_is_short(slices: int, steps: int) -> None:
    assert steps_for(slices, 8) == steps


def test_every_study_is_taken_as_often_but_no_slice_by_heart() -> None:
    subjects = torch.tensor([0] * 40 + [1] * 10 + [2])
    even = stratified(subjects, 50)
    assert [float(even[subjects == n].sum()) for n in range(3)] == pytest.approx([1 / 3] * 3)
    many = stratified(subjects, 400)
    assert float(many.sum()) == pytest.approx(1)
    assert float(400 * many.max()) == pytest.approx(20)
    # What the lone slice may not take, the two other studies share.
    assert [float(many[subjects == n].sum()) for n in range(3)] == pytest.approx([0.475, 0.475, 0.05])
    assert stratified(torch.zeros(3, dtype=torch.int64), 1000).tolist() == pytest.approx([1 / 3] * 3)


def test_the_best_weights_that_obey_the_rules_are_kept() -> None:
    old, learned = (
        {"w": torch.tensor([0.0]), "n": torch.tensor([1])},
        {"w": torch.tensor([1.0]), "n": torch.tensor([1])},
    )

    def measure(weights) -> Figures:
        way = float(weights["w"])
        # The whole way forgets too much.
        return Figures(0.5 + 0.2 * way, 0.6 - 0.03 * way, 0.01)

    kept, after, facts = choose(old, {10: learned}, BEFORE, measure)
    assert float(kept["w"]) == 0.5
    assert after == Figures(0.6, 0.585, 0.01)
    assert facts["kept"] == {"step": 10, "way": 0.5}
    assert [row["way"] for row in facts["candidates"]] == [1.0, 0.75, 0.5, 0.25]


def test_shorter_ways_are_tried_until_one_obeys_all_rules() -> None:
    old, first, second = ({"w": torch.tensor([value])} for value in (0.0, 1.0, 2.0))

    def measure(weights) -> Figures:
        way = float(weights["w"])
        # Further along and with more steps: better on corrected slices, worse on the others.
        return Figures(0.5 + way, 0.6 - 0.025 * way, 0.01)

    kept, _, facts = choose(old, {1: first, 2: second}, BEFORE, measure, every_way=False)
    assert facts["kept"] == {"step": 1, "way": 0.75}
    assert float(kept["w"]) == 0.75
    tried = [(one["step"], one["way"]) for one in facts["candidates"]]
    assert tried == [(1, 1.0), (1, 0.75), (2, 1.0), (2, 0.75), (2, 0.5), (2, 0.25)]


def test_where_none_obeys_the_one_that_breaks_least_is_kept() -> None:
    old, learned = {"w": torch.tensor([0.0])}, {"w": torch.tensor([1.0])}

    def measure(weights) -> Figures:
        return Figures(0.4, 0.6, 0.0 if float(weights["w"]) == 0.5 else 0.02)

    _, after, facts = choose(old, {10: learned}, BEFORE, measure)
    assert facts["kept"] == {"step": 10, "way": 0.5}
    assert after.held_out == 0.4


def test_kept_weights_are_those_a_package_can_hold() -> None:
    found = blended({"w": torch.tensor([0.1])}, {"w": torch.tensor([0.2])}, 1 / 3)["w"]
    assert torch.equal(found, found.half().float())
    assert found.dtype is torch.float32
    counted = blended({"n": torch.tensor(3)}, {"n": torch.tensor(4)}, 0.25)["n"]
    assert counted == 4


def test_decided_slices_are_known_by_their_picture() -> None:
    pictures = np.arange(3 * 4, dtype=np.float32).reshape(3, 2, 2)
    assert untouched(pictures, {identity(pictures[1])}).tolist() == [True, False, True]


def test_examples_show_something() -> None:
    masks = np.zeros((6, 4, 4), bool)
    masks[[1, 4]] = True
    found = examples(np.zeros((6, 4, 4), np.float32), masks, ~masks, masks, learned=False)
    assert len(found) == 2
    assert all(one.drawn.all() and not one.before.any() and not one.learned for one in found)
    assert examples(np.zeros((0, 4, 4), np.float32), masks[:0], masks[:0], masks[:0], learned=True) == []
