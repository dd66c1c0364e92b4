"""A correction: a reader's mask over an untouched automatic one, with a state for each slice and unlimited undo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainviewer.study.mask_edit import (
    NOWHERE,
    Box,
    Edit,
    Mask,
    SliceState,
    StateChange,
    make_edit,
    slice_box,
    whole,
)


class Correction:
    """A mask being corrected. Every change is an Edit; undo and redo apply the same edits again.

    automatic: uint8 (i, j, k), 0 or 1, as the engine made it; cannot be written. mask: the same, corrected.
    states: uint8 (slices,), a SliceState each, along `slice_axis`.
    """

    def __init__(self, automatic: NDArray[Any], slice_axis: int) -> None:
        if automatic.ndim != 3 or not 0 <= slice_axis < 3:
            raise ValueError(f"A mask has three axes; this one has the shape {automatic.shape}.")
        self.automatic: Mask = (automatic > 0).astype(np.uint8)
        self.automatic.setflags(write=False)
        self.mask: Mask = self.automatic.copy(order="K")
        self.slice_axis = slice_axis
        self.states: NDArray[np.uint8] = np.zeros(automatic.shape[slice_axis], np.uint8)
        self._done: list[Edit] = []
        self._undone: list[Edit] = []

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Steps that hold now, oldest first."""
        return tuple(self._done)

    @property
    def undo_text(self) -> str:
        """What undo would take back; "" where there is nothing."""
        return self._done[-1].what if self._done else ""

    @property
    def redo_text(self) -> str:
        """What redo would bring again; "" where there is nothing."""
        return self._undone[-1].what if self._undone else ""

    @classmethod
    def restored(
        cls,
        automatic: NDArray[Any],
        slice_axis: int,
        mask: Mask,
        states: NDArray[np.uint8],
        done: Iterable[Edit] = (),
        undone: Iterable[Edit] = (),
    ) -> Correction:
        """A correction as it was left: its mask and states, and the steps that led there."""
        made = cls(automatic, slice_axis)
        made.mask[...] = mask
        made.states[...] = states
        made._done, made._undone = list(done), list(undone)
        return made

    @property
    def undone(self) -> tuple[Edit, ...]:
        """Steps that redo would bring again, the next one last."""
        return tuple(self._undone)

    def state(self, index: int) -> SliceState:
        """What was said about a slice."""
        return SliceState(int(self.states[index]))

    def counts(self) -> Counter[SliceState]:
        """How many slices are in each state."""
        return Counter(SliceState(int(state)) for state in self.states)

    def section(self, index: int) -> Box:
        """The box of a slice."""
        return slice_box(self.mask.shape, self.slice_axis, index)

    # Steps

    def apply(self, edit: Edit) -> None:
        """Take a step; what was undone before cannot be redone any more."""
        edit.flip(self.mask)
        self.add(edit)

    def add(self, edit: Edit) -> None:
        """Note a step whose voxels were flipped already, stroke by stroke, under the reader's hand."""
        for change in edit.states:
            self.states[change.index] = change.after
        self._done.append(edit)
        self._undone.clear()

    def undo(self) -> Edit | None:
        """Take back the last step; returns it."""
        if not self._done:
            return None
        edit = self._done.pop()
        edit.flip(self.mask)
        for change in edit.states:
            self.states[change.index] = change.before
        self._undone.append(edit)
        return edit

    def redo(self) -> Edit | None:
        """Bring back the step that was undone last; returns it."""
        if not self._undone:
            return None
        edit = self._undone.pop()
        edit.flip(self.mask)
        for change in edit.states:
            self.states[change.index] = change.after
        self._done.append(edit)
        return edit

    # What a reader can do; each returns the step to apply, or None where nothing would change

    def replaced(
        self, what: str, box: Box, values: NDArray[Any], state: SliceState = SliceState.CORRECTED
    ) -> Edit | None:
        """Other voxels in a box; slices in which one differs get `state`."""
        flipped = (values > 0) != (self.mask[box.slices] > 0)
        return self.flipped(what, box, flipped, state)

    def interpolated(self, box: Box, values: NDArray[Any]) -> Edit | None:
        """Slices between the first and the last one of a box, made from these two; every one of them gets the state."""
        first, stop = box.axis(self.slice_axis)
        between = np.arange(first + 1, stop - 1)
        flipped = (values > 0) != (self.mask[box.slices] > 0)
        changes = self._changes(between, SliceState.INTERPOLATED)
        return make_edit("Interpolate", box, flipped, changes) if changes or flipped.any() else None

    def gap(self, index: int) -> tuple[int, int] | None:
        """The decided slices on both sides of a slice (or of the gap before it), where slices lie between them."""
        decided = np.flatnonzero(~np.isin(self.states, (SliceState.AUTO, SliceState.INTERPOLATED)))
        for here in (index, index - 1, index + 1):
            low, high = decided[decided <= here], decided[decided > here]
            if low.size and high.size and high[0] - low[-1] > 1:
                return int(low[-1]), int(high[0])
        return None

    def flipped(
        self, what: str, box: Box, flipped: NDArray[np.bool_], state: SliceState = SliceState.CORRECTED
    ) -> Edit | None:
        """Flip voxels of a box; slices in which one flips get `state`."""
        others = tuple(n for n in range(3) if n != self.slice_axis)
        touched = np.flatnonzero(flipped.any(axis=others)) + box.axis(self.slice_axis)[0]
        if not touched.size:
            return None
        return make_edit(what, box, flipped, self._changes(touched, state))

    def accept(self, index: int) -> Edit | None:
        """Let a slice stand as it is now: corrected where it differs from the automatic mask, else confirmed."""
        at = self.section(index).slices
        same = np.array_equal(self.mask[at], self.automatic[at])
        return self._say("Accept slice", index, SliceState.CONFIRMED if same else SliceState.CORRECTED)

    def confirm(self, index: int) -> Edit | None:
        """Say that the automatic mask of a slice is right; what was drawn in it goes."""
        return self._set("Confirm slice", index, self.automatic[self.section(index).slices], SliceState.CONFIRMED)

    def reject(self, index: int) -> Edit | None:
        """Say that a slice is healthy; its mask becomes empty."""
        empty = np.zeros(self.section(index).shape, np.uint8)
        return self._set("Healthy slice", index, empty, SliceState.REJECTED)

    def reopen(self, index: int) -> Edit | None:
        """Take back everything said about a slice: the automatic mask again, undecided."""
        return self._set("Reopen slice", index, self.automatic[self.section(index).slices], SliceState.AUTO)

    def copied(self, index: int, target: int) -> Edit | None:
        """The mask of one slice in another one."""
        return self._set("Copy to slice", target, self._moved(index), SliceState.CORRECTED)

    def become(self, what: str, mask: Mask, states: NDArray[np.uint8]) -> Edit | None:
        """The step to another mask with its states, as of an earlier version."""
        flipped = mask != self.mask
        changed = np.flatnonzero(states != self.states)
        if not (flipped.any() or changed.size):
            return None
        changes = tuple(StateChange(int(n), self.state(int(n)), SliceState(int(states[n]))) for n in changed)
        return make_edit(what, whole(mask.shape), flipped, changes)

    def _moved(self, index: int) -> Mask:
        return self.mask[self.section(index).slices]

    def _set(self, what: str, index: int, values: Mask, state: SliceState) -> Edit | None:
        box = self.section(index)
        flipped = values != self.mask[box.slices]
        changes = self._changes(np.array([index]), state)
        return make_edit(what, box, flipped, changes) if changes or flipped.any() else None

    def _say(self, what: str, index: int, state: SliceState) -> Edit | None:
        changes = self._changes(np.array([index]), state)
        return Edit(what, NOWHERE, b"", changes) if changes else None

    def _changes(self, slices: NDArray[np.intp], state: SliceState) -> tuple[StateChange, ...]:
        return tuple(
            StateChange(int(index), self.state(index), state) for index in slices if self.states[index] != state
        )
