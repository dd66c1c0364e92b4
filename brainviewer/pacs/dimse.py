"""DIMSE: C-ECHO, C-FIND, C-GET or C-MOVE, C-STORE, with pynetdicom."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from brainviewer.pacs.archive import ArchiveTrouble, FoundStudy, Instance, Question, Sent, missing, place
from brainviewer.pacs.security import context
from brainviewer.storage.nodes import Node
from engines import Report

# Each is offered in a context of its own, so that the archive need not change how an object is stored.
SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit,
    JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, JPEG2000, RLELossless,
)  # fmt: skip
MOST_CONTEXTS = 126
PENDING, SUCCESS = (0xFF00, 0xFF01), 0x0000
BATCH = 50
# Files are sent as the bytes they are.
_config.STORE_SEND_CHUNKED_DATASET = True
# Its messages quote data sets.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


class DimseArchive:
    """An archive spoken to by DIMSE."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reached = False

    def echo(self) -> None:
        """C-ECHO."""
        with self._association([(Verification, None)]) as open_to:
            self._check(open_to.send_c_echo(), "C-ECHO")

    def find(self, question: Question) -> list[FoundStudy]:
        """Studies that fit, by C-FIND at the study level."""
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        asked.PatientName, asked.PatientID = question.patient_name, question.patient_id
        asked.StudyInstanceUID, asked.StudyDate = question.study_uid, question.dates
        asked.StudyDescription, asked.ModalitiesInStudy = question.description, question.modality
        asked.NumberOfStudyRelatedInstances = None
        return [FoundStudy.of(one) for one in self._answers(asked, question.most)]

    def instances(self, study_uid: str) -> list[Instance]:
        """Objects of a study, by C-FIND at the image level for each series."""
        series = Dataset()
        series.QueryRetrieveLevel, series.StudyInstanceUID, series.SeriesInstanceUID = "SERIES", study_uid, ""
        found = []
        for one in self._answers(series):
            image = Dataset()
            image.QueryRetrieveLevel, image.StudyInstanceUID = "IMAGE", study_uid
            image.SeriesInstanceUID = one.SeriesInstanceUID
            image.SOPInstanceUID = image.SOPClassUID = ""
            found += [
                Instance(str(each.SOPInstanceUID), str(one.SeriesInstanceUID), str(each.get("SOPClassUID", "")))
                for each in self._answers(image)
            ]
        return found

    def retrieve(self, study_uid: str, folder: Path, report: Report) -> list[Path]:
        """Fetch what is missing, series by series."""
        folder.mkdir(parents=True, exist_ok=True)
        every = self.instances(study_uid)
        if not every:
            raise ArchiveTrouble("The archive does not have this study.", "Search again.")
        wanted = missing(folder, every)
        done = len(every) - len(wanted)
        report(done, len(every), "Fetching the study")
        by_series: dict[str, list[Instance]] = defaultdict(list)
        for one in wanted:
            by_series[one.series_uid].append(one)
        fetch = self._get if self._node.fetch == "get" else self._move
        for instances in by_series.values():
            for start in range(0, len(instances), BATCH):
                batch = instances[start : start + BATCH]
                fetch(study_uid, batch, folder, lambda n, done=done: report(done + n, len(every), "Fetching the study"))
                done += len(batch)
        left = missing(folder, every)
        if left:
            raise ArchiveTrouble(f"The archive did not send {len(left)} of {len(every)} objects.", "Fetch it again.")
        return [place(folder, one) for one in every]

    def send(self, files: Sequence[Path], report: Report) -> Sent:
        """C-STORE of what the archive does not have."""
        headers = {path: dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]) for path in files}
        studies = {str(header.StudyInstanceUID) for header in headers.values()}
        there = {one.uid for uid in studies for one in self.instances(uid)}
        meta = {path: header.file_meta for path, header in headers.items()}
        todo = [path for path in files if str(meta[path].MediaStorageSOPInstanceUID) not in there]
        refused: list[str] = []
        report(len(files) - len(todo), len(files), "Sending")
        by_kind: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for path in todo:
            kind = str(meta[path].MediaStorageSOPClassUID), str(meta[path].TransferSyntaxUID)
            by_kind[kind].append(path)
        kinds, done = list(by_kind), len(files) - len(todo)
        for start in range(0, len(kinds), MOST_CONTEXTS):
            some = kinds[start : start + MOST_CONTEXTS]
            with self._association([(sop_class, [syntax]) for sop_class, syntax in some]) as open_to:
                for path in (path for kind in some for path in by_kind[kind]):
                    refused += self._store(open_to, path)
                    done += 1
                    report(done, len(files), "Sending")
        return Sent(len(todo) - len(refused), len(files) - len(todo), tuple(refused))

    def _store(self, open_to: Any, path: Path) -> list[str]:
        try:
            status = open_to.send_c_store(path)
        except (ValueError, RuntimeError):
            if not open_to.is_established:
                raise ArchiveTrouble("The archive closed the connection.", "Send again: it goes on.") from None
            return [f"{path.name}: the archive does not take objects of this kind."]
        if "Status" not in status:
            raise ArchiveTrouble("The archive did not answer in time.", "Send again: it goes on where it stopped.")
        taken = status.Status == SUCCESS or 0xB000 <= status.Status <= 0xBFFF
        return [] if taken else [f"{path.name}: refused with status {status.Status:04X}."]

    def _get(self, study_uid: str, batch: list[Instance], folder: Path, told: Any) -> None:
        classes = list(dict.fromkeys(one.sop_class for one in batch))
        # (abstract syntax, transfer syntaxes); the archive becomes the sender, hence the roles.
        contexts: list[tuple[Any, Any]] = [(StudyRootQueryRetrieveInformationModelGet, None)]
        contexts += [(sop_class, [syntax]) for sop_class in classes for syntax in SYNTAXES][: MOST_CONTEXTS - 1]
        roles = [build_role(sop_class, scp_role=True) for sop_class in classes]
        with self._association(contexts, roles, _keeper(folder)) as open_to:
            model = StudyRootQueryRetrieveInformationModelGet
            self._follow(open_to.send_c_get(_wanted(study_uid, batch), model), told)

    def _move(self, study_uid: str, batch: list[Instance], folder: Path, told: Any) -> None:
        own = AE(ae_title=self._node.own_title)
        for sop_class in dict.fromkeys(one.sop_class for one in batch):
            for syntax in SYNTAXES:
                own.add_supported_context(sop_class, [syntax])
        own.require_called_aet = True
        address = (self._node.listen_host, self._node.listen_port)
        try:
            server = own.start_server(address, block=False, evt_handlers=_keeper(folder))
        except OSError as error:
            raise ArchiveTrouble(
                f"Port {self._node.listen_port} is taken, so the archive cannot send to us.", "Choose another port."
            ) from error
        try:
            model = StudyRootQueryRetrieveInformationModelMove
            with self._association([(model, None)]) as open_to:
                self._follow(open_to.send_c_move(_wanted(study_uid, batch), self._node.own_title, model), told)
        finally:
            if server is not None:
                server.shutdown()

    def _follow(self, answers: Iterator[tuple[Dataset, Dataset | None]], told: Any) -> None:
        for status, _identifier in answers:
            if "Status" not in status:
                raise ArchiveTrouble("The archive closed the connection.", "Fetch again: it goes on where it stopped.")
            if status.Status in PENDING:
                told(int(status.get("NumberOfCompletedSuboperations", 0) or 0))
            elif status.Status not in (SUCCESS, 0xB000):
                raise ArchiveTrouble(f"The archive cannot send: status {status.Status:04X}.")

    def _answers(self, asked: Dataset, most: int = 1_000_000) -> list[Dataset]:
        model = StudyRootQueryRetrieveInformationModelFind
        found: list[Dataset] = []
        with self._association([(model, None)]) as open_to:
            for status, answer in open_to.send_c_find(asked, model):
                if "Status" not in status:
                    raise ArchiveTrouble("The archive closed the connection.", "Try again.")
                if status.Status in PENDING and answer is not None:
                    found.append(answer)
                elif status.Status != SUCCESS:
                    raise ArchiveTrouble(f"The archive cannot search: status {status.Status:04X}.")
                if len(found) >= most:
                    break
        return found

    @contextmanager
    def _association(
        self, contexts: Sequence[tuple[Any, Any]], roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Iterator[Any]:
        node, own = self._node, AE(ae_title=self._node.own_title)
        self._reach()
        own.connection_timeout = own.acse_timeout = own.dimse_timeout = own.network_timeout = node.timeout_s
        for abstract, syntaxes in contexts:
            own.add_requested_context(abstract, syntaxes) if syntaxes else own.add_requested_context(abstract)
        tls = (context(node), node.host) if node.tls else None
        refusals: list[str] = []
        handlers = [*handlers, (evt.EVT_PDU_RECV, _refusals_to(refusals))]
        opened = own.associate(
            node.host, node.port, ae_title=node.title, ext_neg=list(roles), evt_handlers=handlers, tls_args=tls
        )
        if not opened.is_established:
            reason = f"refused the connection: {refusals[0]}" if refusals else "does not answer"
            raise ArchiveTrouble(
                f"{node.name} ({node.place}) {reason}.", "Check address, port, both AE titles and TLS."
            )
        try:
            yield opened
        except BaseException:
            opened.abort()
            raise
        else:
            opened.release()

    def _reach(self) -> None:
        """Open and close a connection once, to say plainly why it cannot be; pynetdicom only says that it is not."""
        if self._reached:
            return
        node = self._node
        try:
            with socket.create_connection((node.host, node.port), node.timeout_s) as plain:
                if node.tls:
                    context(node).wrap_socket(plain, server_hostname=node.host).close()
        except ssl.SSLError as error:
            raise ArchiveTrouble(f"{node.name}: the certificate is not trusted.", "Name its CA file.") from error
        except OSError as error:
            raise ArchiveTrouble(f"{node.name} ({node.place}) does not answer.", "Check address and port.") from error
        self._reached = True

    def _check(self, status: Dataset, what: str) -> None:
        if status.get("Status") != SUCCESS:
            raise ArchiveTrouble(f"{self._node.name} does not answer to {what}.", "Check that it is a DICOM node.")


def _wanted(study_uid: str, batch: list[Instance]) -> Dataset:
    wanted = Dataset()
    wanted.QueryRetrieveLevel, wanted.StudyInstanceUID = "IMAGE", study_uid
    wanted.SeriesInstanceUID = batch[0].series_uid
    wanted.SOPInstanceUID = [one.uid for one in batch]
    return wanted


def _refusals_to(reasons: list[str]) -> Any:
    """Keep why an archive rejects: pynetdicom's `is_rejected` stays False where the answer comes before it waits."""

    def note(event: Any) -> None:
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            reasons.append(event.pdu.reason_str.rstrip(".").lower().replace(" ae ", " AE "))

    return note


def _keeper(folder: Path) -> list[Any]:
    """Write what arrives, byte for byte, whole or not at all."""

    def keep(event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if not uid.replace(".", "").isdigit():
            return 0xC000
        target = folder / f"{uid}.dcm"
        fresh = target.with_suffix(".part")
        try:
            fresh.write_bytes(event.encoded_dataset())
            os.replace(fresh, target)  # noqa: PTH105
        except OSError:
            return 0xA700  # out of resources
        return SUCCESS

    return [(evt.EVT_C_STORE, keep)]
