"""Numbers behind the picture: automatic windows, palettes, the heatmap's scale, scale bar, contours, layout."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from brainviewer.render import auto_window, presets
from brainviewer.render.annotations import bar_picture, round_length
from brainviewer.render.contours import contours
from brainviewer.render.layout import rectangles
from brainviewer.render.overlay import colours, scale_colours
from brainviewer.render.palettes import LEGACY, PALETTES, palette
from brainviewer.study.percentile_scale import scale_position, tail


def head(low: float, high: float) -> np.ndarray:
    """Three quarters air around 0, one quarter tissue spread evenly from low to high."""
    random = np.random.default_rng(1)
    voxels = random.normal(0, 3, (80, 80, 80)).astype(np.float32)
    voxels[20:60, 20:60] = random.uniform(low, high, (40, 40, 80))
    return voxels


def test_the_automatic_window_covers_tissue_not_air() -> None:
    width, level = auto_window(head(300, 900), "T1")
    assert level - width / 2 == pytest.approx(303, abs=4)
    assert level + width / 2 == pytest.approx(897, abs=4)


def test_one_spike_does_not_darken_everything() -> None:
    voxels = head(300, 900)
    voxels[0, 0, 0] = voxels[40, 40, 40] = 32767
    width, _ = auto_window(voxels, "T1")
    assert width == pytest.approx(594, abs=10)


def test_a_picture_shows_its_full_range() -> None:
    picture = np.arange(2500, dtype=np.float32).reshape(50, 50, 1)
    assert auto_window(picture, "CXR") == (2499, 1249.5)


@pytest.mark.parametrize(
    "voxels",
    [np.zeros((5, 5, 5), np.float32), np.full((5, 5, 1), np.nan, np.float32), np.full((4, 4, 4), 7, np.float32)],
)
def test_empty_volumes_still_have_a_window(voxels: np.ndarray) -> None:
    width, level = auto_window(voxels)
    assert width > 0
    assert np.isfinite(level)


def test_presets_of_ct_are_the_known_ones_and_of_mr_start_with_automatic() -> None:
    ct = {preset.name: (preset.width, preset.level) for preset in presets("CT", head(0, 80))}
    assert ct["Brain"] == (80, 40)
    assert ct["Lung"] == (1600, -400)
    mr = presets("T1", head(300, 900))
    assert mr[0][1:] == auto_window(head(300, 900), "T1")
    assert len(ct) <= 9
    assert len(mr) <= 9


@pytest.mark.parametrize("name", PALETTES + LEGACY)
def test_palettes_have_256_colours(name: str) -> None:
    assert palette(name).shape == (256, 3)
    assert len(np.unique(palette(name), axis=0)) > 200


@pytest.mark.parametrize("name", PALETTES)
def test_palettes_get_brighter_from_low_to_high(name: str) -> None:
    """What makes them honest: no value looks brighter than a higher one."""
    brightness = palette(name) @ np.array([0.2126, 0.7152, 0.0722])
    assert np.diff(brightness).min() > -1.0
    assert brightness[-1] - brightness[0] > 120


def test_an_unknown_palette_is_named() -> None:
    with pytest.raises(ValueError, match="jet"):
        palette("jet")


def test_the_scale_is_even_in_the_healthy_tail() -> None:
    assert tail([90, 99, 99.9]) == pytest.approx([1, 2, 3], abs=1e-6)
    assert scale_position([0, 90, 99, 99.9, 100]) == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-6)
    assert tail(np.nan) == 0


def test_a_colour_depends_on_the_percentile_alone() -> None:
    alone = colours(np.array([99.5], np.float32), "magma")
    among = colours(np.array([50, 99.5, 99.99], np.float32), "magma")
    assert np.array_equal(alone[0], among[1])


def test_the_bar_is_dim_below_the_threshold() -> None:
    bar = bar_picture("viridis", 99.0)
    bright = bar[:, :3][:, ::-1]
    assert np.array_equal(bright[0], scale_colours("viridis")[255]), "99.9 is at the top"
    assert bright[200].sum() < scale_colours("viridis")[55].astype(int).sum() / 2


@pytest.mark.parametrize(("longest", "length"), [(47.0, 20), (50.0, 50), (9.9, 5), (0.3, 0.2), (1.0, 1)])
def test_the_scale_bar_is_a_round_length(longest: float, length: float) -> None:
    assert round_length(longest) == pytest.approx(length)


def test_a_contour_goes_through_the_value() -> None:
    field = np.broadcast_to(np.arange(10, dtype=np.float32), (8, 10))
    (line,) = contours(field[:, :], 6.25)
    upright = line[(line[:, 1] > 0) & (line[:, 1] < 7) & (line[:, 0] < 8)]
    assert upright[:, 0] == pytest.approx(6.25, abs=1e-5)
    assert contours(field, 99.0) == []


def test_a_contour_encloses_the_area_of_a_disc() -> None:
    y, x = np.mgrid[:60, :60]
    distance = np.hypot(x - 30, y - 28).astype(np.float32)
    (line,) = contours(-distance, -20.0)
    area = 0.5 * abs(np.dot(line[:-1, 0], line[1:, 1]) - np.dot(line[1:, 0], line[:-1, 1]))
    assert area == pytest.approx(np.pi * 400, rel=0.01)


@pytest.mark.parametrize("size", [(1400, 900), (333, 217), (3, 3)])
def test_views_do_not_overlap_and_fill_the_window(size: tuple[int, int]) -> None:
    covered = np.zeros(size[::-1], int)
    for left, top, width, height in rectangles(*size, gap=2).values():
        covered[top : top + height, left : left + width] += 1
    assert covered.max() == 1
    if min(size) > 100:
        assert covered.mean() > 0.98
    assert rectangles(*size, gap=2, only="coronal") == {"coronal": (0, 0, *size)}


def test_windows_can_be_computed_without_vtk() -> None:
    code = "import sys, brainviewer.render; sys.exit(any(name.startswith(('vtk', 'PySide6')) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
