"""Models as a tree: what was fine-tuned from what, from which data, with which figures."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from engines.model_package import Model

HEADS = ("Model", "Learned from", "Figures")
WIDEST = 420  # pixels of a column


class ModelTree(QTreeWidget):
    """A line a model under its parent. An older version is gone back to by choosing it in the Engines panel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setHeaderLabels(list(HEADS))
        self.setAccessibleName("Versions of models")
        self.setToolTip("To go back to an older version choose it in the Engines panel")
        self.setRootIsDecorated(True)
        self.setStyleSheet("QTreeView::item { padding: 4px 2px; }")
        # Long texts are cut and stand in the tooltip: a table that scrolls sideways hides its figures.
        head = self.header()
        head.setMaximumSectionSize(WIDEST)
        head.setStretchLastSection(False)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        for section in (1, 2):
            head.setSectionResizeMode(section, QHeaderView.ResizeMode.Stretch)

    def show_models(self, models: Sequence[Model]) -> None:
        """All models at hand."""
        self.clear()
        made = {model.card.digest: _item(model) for model in models}
        for model in models:
            above = made.get(model.card.parent)
            if above is not None and above is not made[model.card.digest]:
                above.addChild(made[model.card.digest])
            else:
                self.addTopLevelItem(made[model.card.digest])
        self.expandAll()


def _item(model: Model) -> QTreeWidgetItem:
    card = model.card
    data = "; ".join(f"{part.cohort} ({part.subjects} subjects)" for part in card.training_data)
    figures = ", ".join(f"{metric.name} {metric.value:.3g}" for metric in card.metrics[:4] if metric.value is not None)
    item = QTreeWidgetItem([f"{card.name} {card.version}", data, figures])
    for column, text in enumerate((str(model.folder), data, figures)):
        item.setToolTip(column, text)
    return item
