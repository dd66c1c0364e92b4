"""CSV: slice scores and findings, for a spreadsheet."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainviewer.export import facts

if TYPE_CHECKING:
    from brainviewer.export.order import Order

FINDINGS = (
    "finding", "volume_ml", "voxels", "peak_percentile", "side", "peak_R_mm", "peak_A_mm", "peak_S_mm",
    "centroid_R_mm", "centroid_A_mm", "centroid_S_mm", "tracking_id", "tracking_uid",
)  # fmt: skip


def write(order: Order, folder: Path) -> None:
    """ENGINE_findings.csv and ENGINE_slices.csv."""
    _table(folder / order.name("findings.csv"), FINDINGS, facts.findings(order))
    _table(folder / order.name("slices.csv"), ("slice", "score", "percentile"), facts.slices(order))


def _table(path: Path, heading: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, heading)
        table.writeheader()
        table.writerows(rows)
