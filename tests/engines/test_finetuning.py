"""The rules of fine-tuning, whatever the engine: what is kept apart, and when the old model stays."""

from __future__ import annotations

import numpy as np
import pytest

from engines.corrections import STATES, CorrectedVolume
from engines.errors import BadInput
from engines.finetuning import Figures, _next_version, best_of, can_finetune, digest_of, held_out, judge

BEFORE = Figures(held_out=0.60, replay=0.70, false_positives=0.010)


@pytest.mark.parametrize(
    ("after", "accepted", "told"),
    [
        (Figures(0.65, 0.70, 0.010), True, "rose from 0.600 to 0.650"),
        (Figures(0.65, 0.681, 0.010), True, "rose"),
        (Figures(0.60, 0.70, 0.010), False, "did not get better"),
        (Figures(0.55, 0.70, 0.010), False, "did not get better"),
        (Figures(0.65, 0.67, 0.010), False, "nobody corrected lost"),
        (Figures(0.65, 0.70, 0.011), False, "healthy slices are marked more"),
        (Figures(float("nan"), 0.70, 0.010), False, "did not get better"),
        (Figures(0.65, float("nan"), 0.010), False, "nobody corrected"),
    ],
)
def test_the_old_model_stays_unless_everything_holds(after: Figures, accepted: bool, told: str) -> None:
    verdict = judge(BEFORE, after)
    assert verdict.accepted is accepted
    assert told in verdict.reason
    assert accepted or "The old model stays" in verdict.reason


def test_the_best_candidate_is_one_that_obeys_the_rules() -> None:
    best, tame = Figures(0.80, 0.60, 0.010), Figures(0.62, 0.69, 0.010)
    assert best_of(BEFORE, [best, tame, Figures(0.64, 0.69, 0.009), Figures(0.70, 0.70, 0.011)]) == 2
    assert best_of(BEFORE, [best, tame]) == 1
    # None obeys: the one with the fewest faults, a figure nobody could compute never before one.
    assert best_of(BEFORE, [Figures(0.59, 0.60, 0.02), Figures(0.50, 0.70, 0.01), Figures(0.55, 0.70, 0.01)]) == 2
    assert best_of(BEFORE, [Figures(float("nan"), 0.70, 0.01), Figures(0.10, 0.70, 0.01)]) == 1


def a_correction(subject: str, states: tuple[str, ...]) -> CorrectedVolume:
    empty = np.zeros((4, 4, len(states)), bool)
    return CorrectedVolume(f"c{subject}", subject, subject, "R", empty, empty, states, 2, np.eye(4))


def test_with_few_studies_every_fifth_decided_slice_is_kept_apart() -> None:
    states = ("auto", *["corrected"] * 7, "interpolated", *["rejected-healthy"] * 4)
    (kept,) = held_out([a_correction("a", states)])
    assert np.flatnonzero(kept).tolist() == [5, 11]
    assert all(states[n] not in ("auto", "interpolated") for n in np.flatnonzero(kept))


@pytest.mark.parametrize(("studies", "apart"), [(3, 1), (5, 1), (10, 2)])
def test_from_three_studies_on_whole_studies_are_kept_apart(studies: int, apart: int) -> None:
    corrected = [a_correction(str(n), STATES) for n in range(studies)]
    found = held_out(corrected, seed=1)
    whole = [kept for kept in found if kept.any()]
    assert len(whole) == apart
    assert all(kept.tolist() == [False, True, True, True, False] for kept in whole)
    assert all(np.array_equal(a, b) for a, b in zip(found, held_out(corrected, seed=1), strict=True))


def test_two_scans_of_one_subject_stay_together() -> None:
    corrected = [a_correction("a", STATES), a_correction("b", STATES), a_correction("c", STATES)] * 2
    found = held_out(corrected)
    assert [kept.any() for kept in found[:3]] == [kept.any() for kept in found[3:]]


def test_too_few_decided_slices_are_refused() -> None:
    with pytest.raises(BadInput, match="Only 4 slices"):
        held_out([a_correction("a", ("corrected",) * 4)])


def test_a_set_of_corrections_has_an_identity() -> None:
    one, other = a_correction("a", STATES), a_correction("b", STATES)
    assert digest_of([one, other]) == digest_of([other, one])
    changed = a_correction("b", (*STATES[:4], "auto"))
    assert digest_of([one, other]) != digest_of([one, changed])


def test_versions_count_on() -> None:
    assert [_next_version(version) for version in ("1", "2.9", "beta")] == ["2", "2.10", "beta.1"]


def test_engines_say_whether_they_learn_from_corrections() -> None:
    assert all(can_finetune(engine) for engine in ("ddpt", "rasalore", "sagan"))
    assert not any(can_finetune(engine) for engine in ("itermask3d", "patchcore", "simpleslicenet"))
    with pytest.raises(BadInput, match="no engine"):
        can_finetune("nothing")
