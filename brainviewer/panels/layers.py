"""How heatmap and images are shown: threshold, opacity, palette, window, conventions."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QIcon, QImage, QPixmap
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QSlider, QWidget

from brainviewer.panels.parts import column, label, line, row
from brainviewer.panels.theme import GRID, tabular
from brainviewer.render.palettes import LEGACY, PALETTES, palette
from brainviewer.render.window_level import Preset
from brainviewer.state import Display
from brainviewer.state.session import Session

# The threshold moves evenly in the tail: as far from 90 to 99 as from 99 to 99.9.
TAIL_STEPS = 50


def to_steps(percentile: float) -> int:
    """Healthy percentile -> slider position."""
    return round(-math.log10(1 - percentile / 100) * TAIL_STEPS)


def to_percentile(steps: float) -> float:
    """Slider position -> healthy percentile, three decimals."""
    return min(max(round(100 * (1 - 10 ** (-steps / TAIL_STEPS)), 3), 50.0), 99.99)


class LayersPanel(QWidget):
    """Controls of the display; every one follows changes made by keys or mouse."""

    def __init__(self, session: Session, display: Display, masks: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._masks = masks
        self._session, self._display = session, display
        self._flags: dict[str, QCheckBox] = {}
        self._presets: list[Preset] = []
        self._make_widgets()
        self._lay_out()
        display.changed.connect(self._follow)
        session.runs_changed.connect(self._show_hint)
        for name in ("opacity", "threshold", "palette", "window", *self._flags):
            self._follow(name)
        self._show_hint()

    def _make_widgets(self) -> None:
        self._opacity, self._opacity_text = _slider("Heatmap opacity", 0, 100, self._set_opacity)
        self._threshold, self._threshold_text = _slider(
            "Threshold in healthy percentiles: only what is rarer in healthy scans is drawn (t, Shift+T)",
            to_steps(50),
            to_steps(99.99),
            self._set_threshold,
        )
        self._palette = QComboBox()
        self._palette.setAccessibleName("Colours of the heatmap")
        self._palette.setToolTip("Colours of the heatmap. The last one shows contours that are not there.")
        self._palette.setIconSize(QSize(64, 12))
        for name in PALETTES + LEGACY:
            text = name if name in PALETTES else f"{name} (legacy paper look)"
            self._palette.addItem(_swatch(name), text, name)
        self._palette.activated.connect(lambda: setattr(self._display, "palette", self._palette.currentData()))
        self._preset = QComboBox()
        self._preset.setAccessibleName("Window preset")
        self._preset.setToolTip("Window presets (keys 1 to 9)")
        self._preset.activated.connect(self._use_preset)
        self._window_text = label("", "muted")
        self._window_text.setFont(tabular(self._window_text.font()))
        self._window_text.setToolTip("Window width and level; drag with the left button on the images")
        self._hint = label("No heatmap yet: choose an engine above and press Run.", "muted", wrap=True)

    def _lay_out(self) -> None:
        heatmap = column(
            row(label("Heatmap", "caption"), None, self._flag("heatmap_visible", "Show", "Show the heatmap (h)")),
            self._hint,
            row(label("Threshold"), None, self._threshold_text),
            self._threshold,
            row(label("Opacity"), None, self._opacity_text),
            self._opacity,
            self._palette,
            self._flag("contour", "Contour only", "Draw the outline at the threshold instead of colours (c)"),
        )
        images = column(
            row(label("Images", "caption"), None, self._window_text),
            self._preset,
            self._flag("invert", "Invert black and white", "White for black (i)"),
            self._flag("interpolate", "Smooth between voxels", "Off: every voxel is seen as it was measured"),
            self._flag("crosshair", "Crosshair", "The linked lines (x)"),
            self._flag("annotations", "Text on the images", "Letters, slice numbers, scale bar (a)"),
            self._flag(
                "radiological", "Radiological: left on the right", "Off: neurological, left on the left (Shift+L)"
            ),
            spacing=GRID // 2 + 2,
        )
        self.setLayout(column(heatmap, self._masks, line(), images, None, margin=GRID + 4, spacing=GRID + 4))

    def _flag(self, name: str, text: str, tip: str) -> QCheckBox:
        box = QCheckBox(text)
        box.setToolTip(tip)
        box.toggled.connect(lambda on: setattr(self._display, name, on))
        self._flags[name] = box
        return box

    def show_presets(self, presets: list[Preset]) -> None:
        """Offer the window presets that fit the series in view."""
        self._presets = presets
        self._preset.clear()
        for number, preset in enumerate(presets, 1):
            self._preset.addItem(f"{preset.name}   W {preset.width:.4g}  L {preset.level:.4g}")
            self._preset.setItemData(number - 1, f"Key {number}", Qt.ItemDataRole.ToolTipRole)
        self._preset.setEnabled(bool(presets))
        self._follow("window")

    def _use_preset(self, number: int) -> None:
        if 0 <= number < len(self._presets):
            preset = self._presets[number]
            self._display.set_window(preset.width, preset.level)

    def _set_opacity(self, value: int) -> None:
        self._display.opacity = value / 100

    def _set_threshold(self, steps: int) -> None:
        if steps != to_steps(self._display.threshold):
            self._display.threshold = to_percentile(steps)

    def _follow(self, name: str) -> None:
        if name in self._flags:
            self._flags[name].setChecked(getattr(self._display, name))
        elif name == "opacity":
            self._opacity.setValue(round(self._display.opacity * 100))
            self._opacity_text.setText(f"{self._display.opacity * 100:.0f} %")
        elif name == "threshold":
            self._threshold.setValue(to_steps(self._display.threshold))
            self._threshold_text.setText(f"healthy p {self._display.threshold:.5g}")
        elif name == "palette":
            self._palette.setCurrentIndex(self._palette.findData(self._display.palette))
        elif name in ("window", "level"):
            self._follow_window()

    def _follow_window(self) -> None:
        window, level = self._display.window, self._display.level
        self._window_text.setText(f"W {window:.4g}  L {level:.4g}" if window else "")
        near = [abs(p.width - window) < 1e-3 * p.width and abs(p.level - level) < 1e-3 * p.width for p in self._presets]
        self._preset.setCurrentIndex(near.index(True) if True in near else -1)

    def _show_hint(self) -> None:
        self._hint.setVisible(not self._session.runs)


def _slider(tip: str, low: int, high: int, changed: Callable[[int], None]) -> tuple[QSlider, QLabel]:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, high)
    slider.setToolTip(tip)
    slider.setAccessibleName(tip.split(":")[0])
    slider.valueChanged.connect(changed)
    text = label("", "muted")
    text.setFont(tabular(text.font()))
    return slider, text


def _swatch(name: str) -> QIcon:
    import numpy as np

    strip = np.ascontiguousarray(np.repeat(palette(name)[None, ::4], 12, axis=0))
    image = QImage(strip.data, 64, 12, 64 * 3, QImage.Format.Format_RGB888)
    return QIcon(QPixmap.fromImage(image.copy()))
