"""The line between two runs that lie over each other in the compare workspace."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer
from PySide6.QtGui import QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QWidget

from brainviewer.panels.parts import label


class WipeLine(QWidget):
    """The line between two runs; dragging it tells `moved` where it is."""

    WIDTH = 7

    def __init__(self, over: QWidget, moved: Callable[[int], None]) -> None:
        super().__init__(over)
        self._over, self._moved = over, moved
        self._share = 0.5
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip("Drag to uncover one run or the other")
        self.setAccessibleName("Line between the two runs")
        line = QWidget(self)
        line.setStyleSheet("background: #e8ebf0;")
        line.setGeometry(self.WIDTH // 2, 0, 1, 10_000)
        # The upper run's own name stands at the right, where it is clipped away.
        self._name = label("", "heading")
        self._name.setParent(over)
        self._name.setStyleSheet("background: black; padding: 2px 6px;")
        self._name.hide()
        over.installEventFilter(self)
        self.hide()

    def name(self, left: str) -> None:
        """Say which run lies to the left of the line."""
        self._name.setText(f"\u2190 {left}")
        self._name.adjustSize()

    def fit(self, share: float | None = None) -> None:
        """Stand at a share of the width, 0 to 1; without one where it stood."""
        self._share = self._share if share is None else min(max(share, 0.02), 0.98)
        room = self._over.size()
        at = round(self._share * room.width())
        self.setGeometry(at - self.WIDTH // 2, 0, self.WIDTH, room.height())
        self._name.move(max(0, at - self._name.width() - self.WIDTH), 32)
        self._name.raise_()
        self._moved(at)

    def setVisible(self, visible: bool) -> None:  # noqa: D102, N802
        super().setVisible(visible)
        self._name.setVisible(visible)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: D102, N802
        if isinstance(event, QResizeEvent) and not self.isHidden():
            QTimer.singleShot(0, self, self.fit)
        return super().eventFilter(watched, event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: D102, N802
        at = self.mapToParent(QPoint(round(event.position().x()), 0)).x()
        self.fit(at / max(1, self._over.width()))
