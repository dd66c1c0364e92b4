"""Report: what was found, for others to read."""

from __future__ import annotations

from brainviewer.actions.action import Action, Menu
from brainviewer.actions.context import Context


def menu(at: Context) -> Menu:
    """The Report menu."""
    desk = at.report
    return Menu(
        "&Report",
        (
            Action(
                "report.workspace",
                "Report workspace",
                "Write the impression and see the report's pages",
                lambda: at.workspaces.choose("Report"),
                ("Ctrl+5",),
                checked=lambda: at.workspaces.chosen == "Report",
            ),
            None,
            Action(
                "report.save",
                "Save the report ...",
                "Save the report as PDF or HTML",
                desk.choose_file,
                ("Ctrl+P",),
                enabled=desk.has_report,
            ),
            Action(
                "report.export",
                "Export the runs ...",
                "Write heatmaps, masks and findings as NIfTI, BIDS, tables, pictures or DICOM",
                desk.choose_export,
                ("Ctrl+E",),
                enabled=desk.has_report,
            ),
            None,
            Action(
                "report.map",
                "Add a parametric map ...",
                "Lay a DICOM map of healthy percentiles over the series in view",
                desk.choose_map,
                enabled=at.has_volume,
            ),
        ),
    )
