"""What the archive worker does: ask, search and fetch."""

from __future__ import annotations

from pathlib import Path

from brainviewer.pacs.archive import FoundStudy, Question
from brainviewer.storage import audit, folders, nodes
from engines import Report, silent


def echo(name: str) -> str:
    """Ask a saved archive whether it is there; returns a sentence."""
    from brainviewer import pacs

    node = nodes.find(name)
    pacs.connect(node).echo()
    return f"{node.name} ({node.place}) answers."


def find(name: str, question: Question) -> list[FoundStudy]:
    """Studies of a saved archive that fit."""
    from brainviewer import pacs

    return pacs.connect(nodes.find(name)).find(question)


def fetch(name: str, study_uid: str, report: Report = silent) -> Path:
    """Fetch a study into the user's data; called again it goes on where it stopped. Returns its folder."""
    from brainviewer import pacs

    node = nodes.find(name)
    # A digest for the folder's name: a UID from outside is no path.
    folder = folders.data_dir() / "fetched" / audit.study_digest(study_uid)
    files = pacs.connect(node).retrieve(study_uid, folder, report)
    audit.note("fetch", study_uid, origin=node.place, objects=len(files))
    return folder
