"""`brainviewer pacs`: saved archives; search, fetch and send by DIMSE or DICOMweb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from brainviewer.commands.engines import AsJson
from brainviewer.commands.outcome import known_trouble, note, tell

if TYPE_CHECKING:
    from brainviewer.pacs.archive import Archive
    from brainviewer.storage.nodes import Node

pacs = typer.Typer(help="Archives: search, fetch and send studies. Nothing connects by itself.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of a saved archive.")]


@pacs.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    kind: Annotated[Literal["dimse", "web"], typer.Option(help="DIMSE or DICOMweb.")] = "dimse",
    host: Annotated[str, typer.Option(help="DIMSE: its address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="DIMSE: its port.")] = 104,
    title: Annotated[str, typer.Option(help="DIMSE: its AE title.")] = "ANY-SCP",
    own_title: Annotated[str, typer.Option(help="DIMSE: our AE title.")] = "BRAINVIEWER",
    url: Annotated[str, typer.Option(help="DICOMweb: its address.")] = "",
    fetch: Annotated[Literal["get", "move"], typer.Option(help="C-GET, or C-MOVE with a listener.")] = "get",
    listen_host: Annotated[str, typer.Option(help="C-MOVE: where to listen while fetching.")] = "127.0.0.1",
    listen_port: Annotated[int, typer.Option(help="C-MOVE: on which port.")] = 0,
    tls: Annotated[bool, typer.Option("--tls", help="DIMSE: encrypt.")] = False,
    ca_file: Annotated[str, typer.Option(help="Certificates to trust, PEM.")] = "",
    certificate: Annotated[str, typer.Option(help="Our certificate, PEM.")] = "",
    key: Annotated[str, typer.Option(help="Its key, PEM.")] = "",
    token: Annotated[str, typer.Option(help="DICOMweb: bearer token.", envvar="BRAINVIEWER_TOKEN")] = "",
    user: Annotated[str, typer.Option(help="DICOMweb: user, where there is no token.")] = "",
    password: Annotated[str, typer.Option(help="Its password.", envvar="BRAINVIEWER_PASSWORD")] = "",
) -> None:
    """Save an archive, or replace the one of this name."""
    from brainviewer.storage import nodes

    with known_trouble():
        node = nodes.make(
            name=name, kind=kind, host=host, port=port, title=title, own_title=own_title, url=url, fetch=fetch,
            listen_host=listen_host, listen_port=listen_port, tls=tls, ca_file=ca_file, certificate=certificate,
            key=key, token=token, user=user, password=password,
        )  # fmt: skip
        nodes.save(node)
        tell({"saved": node.name, "place": node.place}, as_json=False)


@pacs.command()
def remove(name: Name) -> None:
    """Forget an archive."""
    from brainviewer.storage import nodes

    with known_trouble():
        nodes.remove(name)


@pacs.command("list")
def listed(as_json: AsJson = False) -> None:
    """List the saved archives."""
    from brainviewer.storage import nodes

    with known_trouble():
        tell([{"name": node.name, "kind": node.kind, "place": node.place} for node in nodes.load()], as_json)


@pacs.command()
def echo(name: Name) -> None:
    """Ask an archive whether it is there."""
    with known_trouble():
        node, archive = _archive(name)
        archive.echo()
        typer.echo(f"{node.name} ({node.place}) answers.")


@pacs.command()
def find(
    name: Name,
    patient: Annotated[str, typer.Option(help="Patient's name, with * for any text.")] = "",
    patient_id: Annotated[str, typer.Option(help="Patient's ID.")] = "",
    since: Annotated[str, typer.Option(help="Studied on this date or later, YYYYMMDD.")] = "",
    until: Annotated[str, typer.Option(help="Studied on this date or earlier, YYYYMMDD.")] = "",
    modality: Annotated[str, typer.Option(help="A modality of the study: MR, CT ...")] = "",
    most: Annotated[int, typer.Option(help="At most so many.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Search an archive for studies."""
    from brainviewer.pacs.archive import Question

    with known_trouble():
        _node, archive = _archive(name)
        found = archive.find(Question(patient, patient_id, "", modality, "", since, until, most))
        rows: list[dict[str, Any]] = [
            {
                "study": one.uid, "patient": one.patient, "patient_id": one.patient_id, "date": one.date,
                "description": one.description, "modalities": list(one.modalities), "images": one.images,
            }
            for one in found
        ]  # fmt: skip
        tell(rows, as_json)


@pacs.command()
def fetch(
    name: Name,
    study: Annotated[str, typer.Argument(help="Study Instance UID, as `pacs find` tells it.")],
    out: Annotated[Path | None, typer.Option(help="Folder for its files; else a folder of the library.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a study into the library; called again it goes on where it stopped."""
    from brainviewer import reading
    from brainviewer.storage import audit, folders
    from brainviewer.storage.library import Library
    from engines.terminal import progress

    with known_trouble(), progress() as report:
        node, archive = _archive(name)
        # A digest for the folder's name: a UID from outside is no path.
        folder = out or folders.data_dir() / "fetched" / audit.study_digest(study)
        files = archive.retrieve(study, folder, report)
        note("fetch", study, origin=node.place, objects=len(files))
        studies = reading.scan([folder], report)
        library = Library()
        for one in studies:
            library.remember(one, "")
        library.close()
    tell({"folder": str(folder), "files": len(files), "series": sum(len(one.series) for one in studies)}, as_json)


@pacs.command()
def send(
    name: Name,
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.")],
    as_json: AsJson = False,
) -> None:
    """Send DICOM files; called again it sends what the archive does not have yet."""
    from brainviewer.pacs import sending
    from engines import KnownError
    from engines.terminal import progress

    with known_trouble(), progress() as report:
        node, archive = _archive(name)
        files = sending.dicom_files(paths)
        sent = archive.send(files, report)
        for study, count in sending.studies_of(files).items():
            note("send", study, to=node.place, objects=count)
        if sent.refused:
            raise KnownError(f"{len(sent.refused)} of {len(files)} objects were refused. {sent.refused[0]}")
    tell({"arrived": sent.arrived, "already_there": sent.already_there, "to": node.place}, as_json)


def _archive(name: str) -> tuple[Node, Archive]:
    from brainviewer import pacs as archives
    from brainviewer.storage import nodes

    node = nodes.find(name)
    return node, archives.connect(node)
