"""Archives: ask, fetch and send studies by DIMSE or DICOMweb. Nothing connects unless the user names a node.

connect(node) gives an Archive: echo, find, retrieve, send. Every long call reports its progress and stops when the
report raises Cancelled; called again it goes on with what is still missing, because it asks what is already there.
Data sets travel as they are: no transfer syntax is changed and no byte of a data set is written anew.

Decisions (2026-11): studies are fetched by C-GET, which needs no listener here; C-MOVE is for archives that know
nothing else, and its listener lives only as long as the call. Files are named by instance UID, never by a name.
No error sentence repeats what an archive answered beyond its status: answers may name patients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainviewer.storage.nodes import Node

if TYPE_CHECKING:
    from brainviewer.pacs.archive import Archive


def connect(node: Node) -> Archive:
    """The archive behind a saved node; no connection is made yet."""
    if node.kind == "web":
        from brainviewer.pacs.web import WebArchive

        return WebArchive(node)
    from brainviewer.pacs.dimse import DimseArchive

    return DimseArchive(node)


__all__ = ["Node", "connect"]
