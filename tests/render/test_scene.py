"""What is drawn on the slices: heatmap, masks, pictures; and picking positions from pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from brainviewer.render.geometry import PLANES, Plane
from brainviewer.render.overlay import Agreement, Difference, Heatmap, MaskLayer
from brainviewer.render.plane_view import PaintKind
from brainviewer.render.scene import TriplanarScene
from engines import Volume
from tests.render.conftest import marked_volume
from tests.render.test_orientation import rotation

Paint = Callable[[Plane], NDArray[np.uint8]]


def grey_volume(shape: tuple[int, int, int] = (60, 50, 40)) -> Volume:
    """Even grey, so that every coloured pixel comes from a layer."""
    return Volume(np.full(shape, 400, np.float32), np.eye(4), "T1")


def coloured(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    shown: NDArray[np.bool_] = np.ptp(pixels.astype(np.int16), axis=2) > 12
    return shown


def ramp(volume: Volume) -> NDArray[np.float32]:
    """Percentiles from 0 at i = 0 to 100 at the last i."""
    steps = np.linspace(0, 100, volume.shape[0], dtype=np.float32)
    return np.broadcast_to(steps[:, np.newaxis, np.newaxis], volume.shape).copy()


def test_a_lower_threshold_colours_more(scene: TriplanarScene, painted: Paint) -> None:
    volume = grey_volume()
    scene.set_volume(volume)
    scene.set_overlay(Heatmap(ramp(volume), np.ones(volume.shape, dtype=bool)))
    shares = []
    for threshold in (95.0, 80.0, 60.0):
        scene.display.threshold = threshold
        shares.append(coloured(painted("axial")).sum())
    whole = (painted("axial").max(axis=2) > 0).sum()
    # 60 columns of which those above the threshold are coloured: 3, 12 and 24.
    assert np.array(shares) / whole == pytest.approx([3 / 60, 12 / 60, 24 / 60], abs=0.02)


def test_the_heatmap_stays_inside_the_scored_region(scene: TriplanarScene, painted: Paint) -> None:
    volume = grey_volume()
    scene.set_volume(volume)
    region = np.zeros(volume.shape, dtype=bool)
    region[:, :25, :] = True
    scene.set_overlay(Heatmap(np.full(volume.shape, 99.8, np.float32), region))
    shown = painted("axial")
    share = coloured(shown).sum() / (shown.max(axis=2) > 0).sum()
    assert share == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("hide", [{"heatmap_visible": False}, {"opacity": 0.0}])
def test_the_heatmap_can_be_hidden(scene: TriplanarScene, painted: Paint, hide: dict[str, object]) -> None:
    volume = grey_volume()
    scene.set_volume(volume)
    scene.set_overlay(Heatmap(ramp(volume)))
    assert coloured(painted("coronal")).any()
    for name, value in hide.items():
        setattr(scene.display, name, value)
    assert not coloured(painted("coronal")).any()


def test_contour_mode_draws_a_line_at_the_threshold(scene: TriplanarScene, painted: Paint) -> None:
    volume = grey_volume()
    scene.set_volume(volume)
    scene.set_overlay(Heatmap(ramp(volume)))
    scene.display.threshold, scene.display.contour = 70.0, True
    shown = coloured(painted("axial"))
    at = scene.view("axial").pixel_of(volume.affine[:3, :3] @ (0.7 * 59, 25, 20))
    row, column = int(at[1]), int(at[0])
    assert shown[row, column - 3 : column + 4].any()
    assert not shown[row, column - 12 : column - 6].any(), "the inside of the outline is left free"


def test_nan_is_not_coloured(scene: TriplanarScene, painted: Paint) -> None:
    volume = grey_volume()
    scene.set_volume(volume)
    scene.set_overlay(Heatmap(np.full(volume.shape, np.nan, np.float32)))
    for contour in (False, True):
        scene.display.contour = contour
        assert not coloured(painted("axial")).any()


def test_a_mask_is_filled_in_its_colour_and_can_be_taken_away(scene: TriplanarScene, painted: Paint) -> None:
    volume = grey_volume()
    mask = np.zeros(volume.shape, np.uint8)
    mask[20:40, 15:35, 10:30] = 1
    scene.set_volume(volume)
    scene.set_mask("truth", MaskLayer(mask, "#00ff00"))
    shown = painted("axial").astype(np.int16)
    green = shown[..., 1] - shown[..., 0] > 20
    assert green.sum() / (shown.max(axis=2) > 0).sum() == pytest.approx(400 / 3000, abs=0.03)
    scene.set_mask("truth", None)
    assert not coloured(painted("axial")).any()


def test_a_heatmap_on_another_grid_is_refused(scene: TriplanarScene) -> None:
    scene.set_volume(grey_volume())
    with pytest.raises(ValueError, match="shape"):
        scene.set_overlay(Heatmap(np.zeros((3, 3, 3), np.float32)))


@pytest.mark.parametrize("turned", [(0, 0, 0), (18, 12, 25)])
def test_a_pixel_leads_to_the_voxel_that_is_drawn_there(
    scene: TriplanarScene, turned: tuple[float, float, float]
) -> None:
    volume = marked_volume(rotation(*turned) @ np.diag([1.0, 1.2, 3.0]), (60, 50, 20), (0, 0, 0))
    scene.set_volume(volume)
    scene.view("axial").zoom(1.7, (60, 80))
    scene.view("axial").pan(11, -7)
    for plane in PLANES:
        place = scene.places()[plane]
        geometry = scene.view(plane).geometry
        assert geometry is not None
        voxel = np.array([33.0, 22.0, 9.0])
        voxel[geometry.slices] = geometry.slice_index(scene.cursor.position_mm)
        position = geometry.position(voxel)
        scene.stale()
        x, y = scene.view(plane).pixel_of(position)
        found = scene.position_at(plane, x + place.left, y + place.top)
        assert found is not None
        assert found == pytest.approx(position, abs=1e-6)


def test_a_position_outside_the_volume_is_none(scene: TriplanarScene) -> None:
    scene.set_volume(grey_volume())
    assert scene.position_at("axial", 0, 0) is None


def test_zooming_holds_the_point_under_the_mouse(scene: TriplanarScene) -> None:
    scene.set_volume(grey_volume())
    scene.stale()
    before = scene.position_at("axial", 70, 90)
    for _ in range(3):
        scene.zoom("axial", 1.4, 70, 90)
    after = scene.position_at("axial", 70, 90)
    assert before is not None
    assert after == pytest.approx(before, abs=1e-9)


def test_a_picture_fills_the_window_upright(scene: TriplanarScene, painted: Paint) -> None:
    """Stored as (column, row, 1) with rows down: the first row is at the top, in both conventions."""
    voxels = np.full((80, 60, 1), 100, np.float32)
    voxels[60:, :15] = 1000  # upper right corner
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    scene.set_volume(Volume(voxels, affine, "CXR", calibrated=False))
    assert list(scene.places()) == ["axial"]
    for radiological in (True, False):
        scene.display.radiological = radiological
        scene.aim()
        rows, columns = np.nonzero(painted("axial").min(axis=2) > 180)
        assert rows.mean() < 60
        assert columns.mean() > 200


def test_a_colour_picture_keeps_its_colours(scene: TriplanarScene, painted: Paint) -> None:
    voxels = np.zeros((40, 40, 1, 3), np.float32)
    voxels[..., 0] = 1000
    scene.set_volume(Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]), "", calibrated=False))
    pixels = painted("axial")
    assert pixels[100, 165, 0] > 200
    assert pixels[100, 165, 1:].max() < 30


def test_a_large_picture_is_averaged_not_thinned_out(scene: TriplanarScene, painted: Paint) -> None:
    """A fine checkerboard seen from afar is even grey; leaving out pixels would give black, white or stripes."""
    voxels = ((np.indices((1600, 1600)).sum(axis=0) % 2) * 1100).astype(np.float32)[:, :, np.newaxis]
    scene.set_volume(Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]), "CXR", calibrated=False))
    inner = painted("axial")[70:130, 130:200]
    assert inner.min() > 100
    assert inner.max() < 155


def test_no_volume_is_black(scene: TriplanarScene, qapp: object) -> None:
    scene.set_volume(grey_volume())
    scene.set_volume(None)
    assert scene.places() == {}
    assert scene.stale() == []
    assert scene.plane_at(10, 10) is None


def test_new_voxels_in_the_same_array_appear(scene: TriplanarScene, painted: Paint) -> None:
    volume = grey_volume()
    volume.voxels[:] = 0
    scene.set_volume(volume)
    assert painted("axial").max() == 0
    volume.voxels[:] = 400
    scene.forget()
    assert painted("axial").max() > 50


def test_nothing_is_drawn_again_without_need(scene: TriplanarScene) -> None:
    scene.set_volume(grey_volume())
    scene.draw(scene.stale())
    assert scene.stale() == []
    scene.cursor.move_to(scene.cursor.position_mm + (0, 0, 3))
    assert scene.stale() == ["axial"], "the other two show the same slices"
    scene.display.level += 10
    assert scene.stale(first="coronal") == ["coronal", "axial", "sagittal"]


def test_memory_order_does_not_matter(scene: TriplanarScene, painted: Paint) -> None:
    volume = marked_volume(np.diag([1.0, 1.0, 2.0]), (50, 40, 20), (-8.0, 8.0, 6.0), radius_mm=6)
    scene.set_volume(volume)
    expected = painted("axial").copy()
    scene.set_volume(volume.with_voxels(np.asfortranarray(volume.voxels)))
    assert np.array_equal(painted("axial"), expected)


def test_the_same_series_again_keeps_position_pan_and_zoom(scene: TriplanarScene) -> None:
    """A volume that was shown while it loaded is set once more when it is complete."""
    volume = replace(grey_volume(), uid="1.2.3")
    scene.set_volume(volume)
    scene.cursor.move_to((5, 6, 7))
    scene.view("axial").zoom(2.0, (50, 50))
    scene.maximise("axial")
    scene.stale()
    before = scene.view("axial").pixel_of((5, 6, 7))
    scene.set_volume(volume.with_voxels(volume.voxels + 1))
    scene.stale()
    assert scene.view("axial").pixel_of((5, 6, 7)) == pytest.approx(before)
    assert scene.cursor.position_mm == pytest.approx((5, 6, 7))
    assert scene.maximised == "axial"


def test_another_series_starts_in_its_middle_unless_told_to_stay(scene: TriplanarScene) -> None:
    scene.set_volume(replace(grey_volume(), uid="1"))
    scene.cursor.move_to((5, 6, 7))
    scene.set_volume(replace(grey_volume(), uid="2"), keep_position=True)
    assert scene.cursor.position_mm == pytest.approx((5, 6, 7))
    scene.set_volume(replace(grey_volume(), uid="3"))
    assert scene.cursor.position_mm == pytest.approx((29, 24, 19))
    scene.set_volume(replace(grey_volume((4, 4, 4)), uid="4"), keep_position=True)
    assert scene.cursor.position_mm == pytest.approx((1, 1, 1)), "the position lies outside"


def test_a_narrow_view_carries_only_slice_title_and_letters(scene: TriplanarScene) -> None:
    volume = grey_volume()
    scene.set_volume(volume)
    scene.set_overlay(Heatmap(ramp(volume), title="Run 1"))
    scene.maximise("axial")
    said = {}
    for width in (200, 600):
        scene.resize(width, 300)
        scene.stale()
        said[width] = scene.view("axial")._annotation(scene.display, scene.cursor.position_mm, PaintKind(True, False))
    assert said[200].corners == {"top_left": ["", "Run 1"]}
    assert said[200].letters == said[600].letters != {}
    assert said[200].heading == said[600].heading
    assert said[200].colour_bar is None
    assert said[600].colour_bar is not None
    assert said[600].crosshair


def test_agreement_counts_runs_above_the_threshold(scene: TriplanarScene, painted: Paint) -> None:
    volume = grey_volume()
    scene.set_volume(volume)
    runs = []
    for end in (20, 40):
        percentiles = np.zeros(volume.shape, np.float32)
        percentiles[:end] = 99.9
        runs.append(Heatmap(percentiles))
    scene.set_overlay(Agreement(tuple(runs)))
    shown = painted("axial")
    inside = shown.max(axis=2) > 0
    assert coloured(shown).sum() / inside.sum() == pytest.approx(40 / 60, abs=0.03)
    # Two colours, each of a third of the volume.
    kinds, counts = np.unique(shown[coloured(shown)] // 16, axis=0, return_counts=True)
    assert len(kinds) >= 2
    assert np.sort(counts)[-2:] / inside.sum() == pytest.approx([1 / 3, 1 / 3], abs=0.03)


def test_the_difference_is_orange_where_the_first_is_higher_and_blue_where_the_second_is(
    scene: TriplanarScene, painted: Paint
) -> None:
    volume = grey_volume()
    scene.set_volume(volume)
    left, right = np.zeros(volume.shape, np.float32), np.zeros(volume.shape, np.float32)
    left[:20], right[40:] = 99.9, 99.9
    scene.set_overlay(Difference(Heatmap(left), Heatmap(right)))
    shown = painted("axial").astype(int)
    red_over_blue = shown[..., 0] - shown[..., 2]
    inside = (shown.max(axis=2) > 0).sum()
    assert (red_over_blue > 40).sum() / inside == pytest.approx(1 / 3, abs=0.03)
    assert (red_over_blue < -40).sum() / inside == pytest.approx(1 / 3, abs=0.03)
