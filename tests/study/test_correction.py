"""Corrections: every step comes back bit for bit, and the automatic mask is never touched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainviewer.study.brush import Stroke
from brainviewer.study.correction import Correction
from brainviewer.study.mask_edit import SliceState, make_edit, slice_box, whole

SHAPE = (9, 8, 6)
AFFINE = np.diag([2.0, 1.0, 3.0, 1.0])


def a_mask(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(SHAPE) > 0.6).astype(np.uint8)


index = st.integers(0, SHAPE[2] - 1)
voxel = st.tuples(*(st.floats(-2, size + 2) for size in SHAPE))
strokes = st.tuples(
    st.just("stroke"), st.lists(voxel, min_size=1, max_size=4), st.integers(0, 1), st.floats(0.1, 9), st.booleans()
)
says = st.tuples(st.sampled_from(["accept", "confirm", "reject", "reopen"]), index)
copies = st.tuples(st.just("copied"), index, index)
steps = st.lists(st.one_of(strokes, says, copies, st.just(("undo",)), st.just(("redo",))), max_size=25)


def take(correction: Correction, step: tuple) -> None:
    name, *rest = step
    if name == "stroke":
        way, value, radius, flat = rest
        stroke = Stroke(correction, AFFINE, value, radius, 2 if flat else None)
        for place in way:
            stroke.to(place)
        stroke.finish()
    elif name in ("undo", "redo"):
        getattr(correction, name)()
    else:
        edit = getattr(correction, name)(*rest)
        if edit is not None:
            correction.apply(edit)


def picture(correction: Correction) -> tuple[bytes, bytes]:
    return correction.mask.tobytes(), correction.states.tobytes()


@settings(max_examples=150, deadline=None)
@given(steps)
def test_undoing_everything_restores_every_bit_and_redoing_brings_every_bit_back(taken):
    correction = Correction(a_mask(), 2)
    for step in taken:
        take(correction, step)
    last = picture(correction)
    pictures = [last]
    while correction.undo() is not None:
        pictures.append(picture(correction))
    assert pictures[-1] == (a_mask().tobytes(), bytes(SHAPE[2]))
    undone = len(pictures) - 1
    for _ in range(undone):
        pictures.pop()
        assert correction.redo() is not None
        assert picture(correction) == pictures[-1]
    assert picture(correction) == last
    assert np.array_equal(correction.automatic, a_mask())


def test_the_automatic_mask_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        Correction(a_mask(), 2).automatic[0, 0, 0] = 1


def test_a_stroke_makes_the_slices_it_touches_corrected_and_no_others():
    correction = Correction(np.zeros(SHAPE), 2)
    stroke = Stroke(correction, AFFINE, 1, 2.5, axis=2)
    stroke.to((4, 4, 3))
    edit = stroke.finish()
    assert edit is not None
    assert edit.what == "Brush"
    assert [correction.state(n) for n in range(6)] == [SliceState.AUTO] * 3 + [SliceState.CORRECTED] + [
        SliceState.AUTO
    ] * 2


def test_a_stroke_that_changes_nothing_is_no_step():
    correction = Correction(np.ones(SHAPE), 2)
    stroke = Stroke(correction, AFFINE, 1, 3.0)
    assert stroke.to((4, 4, 3)) is None
    assert stroke.finish() is None
    assert correction.edits == ()


def test_a_dropped_stroke_leaves_nothing_behind():
    correction = Correction(a_mask(), 2)
    stroke = Stroke(correction, AFFINE, 1, 4.0)
    stroke.to((4, 4, 3))
    stroke.to((1, 1, 1))
    stroke.drop()
    assert np.array_equal(correction.mask, a_mask())
    assert stroke.finish() is None


def test_what_a_reader_says_about_a_slice():
    correction = Correction(a_mask(), 2)
    for index, (say, state) in enumerate(
        [
            ("accept", SliceState.CONFIRMED),
            ("confirm", SliceState.CONFIRMED),
            ("reject", SliceState.REJECTED),
        ]
    ):
        correction.apply(getattr(correction, say)(index))
        assert correction.state(index) is state
        assert getattr(correction, say)(index) is None
    assert not correction.mask[:, :, 2].any()
    assert np.array_equal(correction.mask[:, :, :2], a_mask()[:, :, :2])


def test_accepting_a_drawn_slice_makes_it_corrected_and_confirming_brings_the_automatic_mask_back():
    correction = Correction(a_mask(), 2)
    drawn = correction.replaced("Interpolate", slice_box(SHAPE, 2, 4), np.ones((9, 8, 1)), SliceState.INTERPOLATED)
    correction.apply(drawn)
    assert correction.state(4) is SliceState.INTERPOLATED
    correction.apply(correction.accept(4))
    assert correction.state(4) is SliceState.CORRECTED
    assert correction.mask[:, :, 4].all()
    correction.apply(correction.confirm(4))
    assert np.array_equal(correction.mask[:, :, 4], a_mask()[:, :, 4])


def test_a_new_step_ends_what_could_be_redone():
    correction = Correction(a_mask(), 2)
    correction.apply(correction.reject(1))
    correction.undo()
    assert correction.redo_text == "Healthy slice"
    correction.apply(correction.reject(2))
    assert correction.redo() is None


def test_an_edit_holds_no_more_than_what_flipped():
    flipped = np.zeros(SHAPE, bool)
    flipped[2:4, 5, 1] = True
    edit = make_edit("Brush", whole(SHAPE), flipped)
    assert edit.box.shape == (2, 1, 1)
    assert len(edit.flips) == 1


def test_interpolation_works_between_the_decided_slices_around_a_place():
    correction = Correction(a_mask(), 2)
    assert correction.gap(3) is None
    for index in (1, 4):
        correction.apply(correction.accept(index))
    assert [correction.gap(index) for index in (1, 2, 3, 4)] == [(1, 4)] * 4
    box = slice_box(SHAPE, 2, 1, 4)
    values = correction.mask[box.slices].copy()
    values[:, :, 1:3] = 0
    correction.apply(correction.interpolated(box, values))
    states = [correction.state(index) for index in range(6)]
    assert states[2:4] == [SliceState.INTERPOLATED] * 2
    assert states[1] is states[4] is SliceState.CONFIRMED
    assert not correction.mask[:, :, 2:4].any()
    assert np.array_equal(correction.mask[:, :, 4], a_mask()[:, :, 4])
