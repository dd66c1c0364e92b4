"""Words on the views: kept as pictures on the screen, letters on paper, never one over the other."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QFontMetricsF, QImage, QPainter

from brainviewer.render import annotations
from brainviewer.render.annotations import Annotation, Annotator, ColourBar

SIZE = 240


def painted(annotation, scale=1, *, pixels=False):
    image = QImage(SIZE * scale, SIZE * scale, QImage.Format.Format_RGB32)
    image.fill(0)
    painter = QPainter(image)
    painter.scale(scale, scale)
    Annotator(painter, (SIZE, SIZE), pixels=pixels).paint(annotation)
    painter.end()
    return np.frombuffer(image.constBits(), np.uint8).reshape(SIZE * scale, SIZE * scale, 4)[..., :3].copy()


@pytest.fixture
def letters():
    return Annotation("axial", "12 / 60", {"left": "R", "right": "L"}, {"bottom_left": ["L 1.0  A 2.0  S 3.0"]})


def test_words_kept_as_pictures_look_like_letters(qapp, letters):
    plain, kept = painted(letters).astype(float), painted(letters, pixels=True).astype(float)
    assert plain.max() > 200
    # Kept words stand on whole pixels: edges may differ, places and colours may not.
    assert abs(plain.sum() - kept.sum()) < 0.15 * plain.sum()
    lit = [np.argwhere(picture.max(axis=2) > 100) for picture in (plain, kept)]
    assert np.abs(lit[0].min(axis=0) - lit[1].min(axis=0)).max() <= 1
    assert np.abs(lit[0].max(axis=0) - lit[1].max(axis=0)).max() <= 1


def test_on_paper_letters_are_as_fine_as_the_paper(qapp, letters):
    large = painted(letters, scale=4).astype(int)
    blocks = large.reshape(SIZE, 4, SIZE, 4, 3)
    assert np.ptp(blocks, axis=(1, 3)).max() > 100


@pytest.fixture
def boxes(monkeypatch):
    """Where words are written, by the words."""
    found = {}
    text = Annotator._text

    def note(self, baseline, words, colour=annotations._TEXT, face=None):
        metrics = QFontMetricsF(annotations.view_font(*(face or self._text_face)))
        found[words] = metrics.tightBoundingRect(words).translated(baseline)
        text(self, baseline, words, colour, face)

    monkeypatch.setattr(Annotator, "_text", note)
    return found


def test_the_words_over_a_short_scale_bar_stay_in_the_view(qapp, boxes):
    painted(Annotation("sagittal", mm_per_pixel=0.9))
    assert boxes["20 mm"].right() <= SIZE - annotations._MARGIN + 1
    painted(Annotation("sagittal", mm_per_pixel=1.1))
    assert boxes["50 mm"].right() <= SIZE - annotations._MARGIN + 1


@pytest.mark.parametrize(("width", "height"), [(636, 382), (507, 334), (253, 223)])
def test_the_letter_at_the_right_keeps_off_the_words_of_the_colour_bar(qapp, boxes, width, height):
    """In low views the bar reaches up to the middle of the edge, where the letter stands."""
    image = QImage(width, height, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    annotation = Annotation("axial", letters={"left": "R", "right": "L"}, colour_bar=ColourBar("inferno", 99.0))
    Annotator(painter, (width, height), pixels=True).paint(annotation)
    painter.end()
    for words in ("Healthy", "percentile", "99.9"):
        assert not boxes["L"].intersects(boxes[words]), words
    assert QRectF(QPointF(0, 0), QPointF(width, height)).contains(boxes["L"])
