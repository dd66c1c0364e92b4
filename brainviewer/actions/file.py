"""File: studies in, pictures out."""

from __future__ import annotations

from brainviewer.actions.action import Action, Menu
from brainviewer.actions.context import Context


def menu(at: Context) -> Menu:
    """The File menu."""
    window, session = at.window, at.session

    def close_study() -> None:
        if session.study is not None:
            session.close_study(session.study.uid)

    def has_study() -> bool:
        return session.study is not None

    return Menu(
        "&File",
        (
            Action(
                "file.open",
                "Open files ...",
                "Open DICOM, NIfTI, ZIP, PNG or JPEG files",
                window.choose_files,
                ("Ctrl+O",),
            ),
            Action(
                "file.open_folder",
                "Open a folder ...",
                "Open all studies in a folder",
                window.choose_folder,
                ("Ctrl+Shift+O",),
            ),
            Action(
                "file.demo",
                "Open the sample study",
                "Open a simulated head scan with a tumour",
                window.open_demo,
                ("Ctrl+D",),
            ),
            Action(
                "file.archives",
                "Archives ...",
                "Search a hospital archive (DICOM or DICOMweb) and fetch studies from it",
                window.show_archives,
                ("Ctrl+Shift+A",),
            ),
            Action("file.search", "Search studies", "Search open and recent studies", window.search, ("Ctrl+F",)),
            Action(
                "file.mask",
                "Add a mask ...",
                "Lay a drawn mask over the series in view, and measure the runs against it",
                window.add_mask,
                enabled=at.has_volume,
            ),
            None,
            Action(
                "file.picture",
                "Save the views as PNG ...",
                "Save the views as they are, marked as research use only",
                window.save_picture,
                ("Ctrl+Shift+S",),
                enabled=at.has_volume,
            ),
            None,
            Action(
                "file.close",
                "Close the study",
                "Close the study in view with its runs",
                close_study,
                ("Ctrl+W",),
                enabled=has_study,
            ),
            Action("file.quit", "Quit", "Stop all work and leave", window.quit, ("Ctrl+Q",)),
        ),
    )
