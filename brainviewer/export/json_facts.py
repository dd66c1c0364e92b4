"""JSON: everything a run said, as one file for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from brainviewer.export import facts

if TYPE_CHECKING:
    from brainviewer.export.order import Order


def write(order: Order, folder: Path) -> None:
    """ENGINE.json."""
    told = {**facts.run(order), "findings": facts.findings(order), "slices": facts.slices(order)}
    text = json.dumps(told, indent=1, allow_nan=False, default=str)
    (folder / f"{order.material.engine}.json").write_text(text + "\n", encoding="utf-8")
