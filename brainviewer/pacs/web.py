"""DICOMweb: QIDO-RS to search (dicomweb-client), WADO-RS to fetch and STOW-RS to send, byte for byte."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import requests.adapters
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset

from brainviewer.pacs.archive import ArchiveTrouble, FoundStudy, Instance, Question, Sent, missing, place
from brainviewer.storage.nodes import Node
from engines import BadInput, Report

# The star asks for the object as it is stored.
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
BATCH_BYTES = 16 * 2**20
# Their messages hold addresses, and those hold the names that are searched for.
for _name in ("dicomweb_client", "urllib3"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)
FIELDS = ["StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedInstances"]


class _PlainQuery(requests.adapters.HTTPAdapter):
    """WORKAROUND: Orthanc's DICOMweb plugin (seen in 1.7) does not decode %2A, so no wildcard ever fits."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """As usual, with the star as it is."""
        address, _, query = str(request.url).partition("?")
        if query:
            request.url = address + "?" + query.replace("%2A", "*")
        return super().send(request, **options)


class WebArchive:
    """An archive spoken to by DICOMweb."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._url = node.url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment is nobody's choice for patient data
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _PlainQuery())
        if node.token:
            self._session.headers["Authorization"] = f"Bearer {node.token}"
        elif node.user:
            self._session.auth = (node.user, node.password)
        if node.ca_file:
            self._session.verify = node.ca_file
        if node.certificate:
            self._session.cert = (node.certificate, node.key) if node.key else node.certificate
        self._client = DICOMwebClient(self._url, session=self._session)
        self._client.set_http_retry_params(retry=False)

    def echo(self) -> None:
        """DICOMweb has no echo: search for one study."""
        with self._trouble():
            self._request("GET", "/studies", params={"limit": "1"}, headers={"Accept": "application/dicom+json"})

    def find(self, question: Question) -> list[FoundStudy]:
        """Studies that fit, by QIDO-RS."""
        asked = {
            # A caret would be encoded too, and not be understood (see _PlainQuery).
            "PatientName": question.patient_name.replace("^", "*"),
            "PatientID": question.patient_id,
            "StudyInstanceUID": question.study_uid,
            "StudyDescription": question.description,
            "ModalitiesInStudy": question.modality,
            "StudyDate": question.dates,
        }
        filters = {name: value for name, value in asked.items() if value}
        with self._trouble():
            found = self._client.search_for_studies(search_filters=filters, fields=FIELDS, limit=question.most)
            return [FoundStudy.of(Dataset.from_json(one)) for one in found]

    def instances(self, study_uid: str) -> list[Instance]:
        """Objects of a study, by QIDO-RS."""
        with self._trouble():
            found = [Dataset.from_json(one) for one in self._client.search_for_instances(study_uid)]
        return [
            Instance(str(one.SOPInstanceUID), str(one.SeriesInstanceUID), str(one.get("SOPClassUID", "")))
            for one in found
        ]

    def retrieve(self, study_uid: str, folder: Path, report: Report) -> list[Path]:
        """Fetch what is missing, one object a request."""
        folder.mkdir(parents=True, exist_ok=True)
        every = self.instances(study_uid)
        if not every:
            raise ArchiveTrouble("The archive does not have this study.", "Search again.")
        wanted = missing(folder, every)
        for done, one in enumerate(wanted, start=len(every) - len(wanted)):
            report(done, len(every), "Fetching the study")
            where = f"/studies/{study_uid}/series/{one.series_uid}/instances/{one.uid}"
            with self._trouble():
                answer = self._request("GET", where, headers={"Accept": AS_STORED})
            fresh = place(folder, one).with_suffix(".part")
            fresh.write_bytes(_first_part(answer))
            os.replace(fresh, place(folder, one))  # noqa: PTH105
        report(len(every), len(every), "Fetching the study")
        return [place(folder, one) for one in every]

    def send(self, files: Sequence[Path], report: Report) -> Sent:
        """STOW-RS of what the archive does not have."""
        meta = {path: dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]) for path in files}
        studies = {str(header.StudyInstanceUID) for header in meta.values()}
        there = {one.uid for uid in studies for one in self._instances_or_none(uid)}
        todo = [path for path in files if str(meta[path].file_meta.MediaStorageSOPInstanceUID) not in there]
        refused: list[str] = []
        done = len(files) - len(todo)
        for batch in _batches(todo):
            report(done, len(files), "Sending")
            refused += self._store(batch)
            done += len(batch)
        report(len(files), len(files), "Sending")
        return Sent(len(todo) - len(refused), len(files) - len(todo), tuple(refused))

    def _instances_or_none(self, study_uid: str) -> list[Instance]:
        return self.instances(study_uid) if self.find(Question(study_uid=study_uid)) else []

    def _store(self, batch: list[Path]) -> list[str]:
        boundary = uuid.uuid4().hex
        body = b"".join(
            f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + path.read_bytes() + b"\r\n"
            for path in batch
        )
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        with self._trouble():
            answer = self._request("POST", "/studies", data=body + f"--{boundary}--".encode(), headers=headers)
            failed = Dataset.from_json(answer.json()).get("FailedSOPSequence") or ()
        reasons = {str(one.ReferencedSOPInstanceUID): int(one.get("FailureReason", 0)) for one in failed}
        return [f"An object was refused with reason {reason:04X}." for reason in reasons.values()]

    def _request(self, method: str, where: str, **options: Any) -> requests.Response:
        answer = self._session.request(method, self._url + where, timeout=self._node.timeout_s, **options)
        answer.raise_for_status()
        return answer

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        node = self._node
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise ArchiveTrouble(f"{node.name}: the certificate is not trusted.", "Name its CA file.") from error
        except requests.exceptions.HTTPError as error:
            code = error.response.status_code if error.response is not None else 0
            remedy = "Check token, user and password." if code in (401, 403) else "Check the address."
            raise ArchiveTrouble(f"{node.name} answers with HTTP status {code}.", remedy) from error
        except requests.exceptions.RequestException as error:
            raise ArchiveTrouble(f"{node.name} ({node.place}) does not answer.", "Check the address.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{node.name} gives answers that are no DICOMweb.", "Check the address.") from error


def _batches(files: Sequence[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in files:
        if batch and size + path.stat().st_size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += path.stat().st_size
    if batch:
        yield batch


def _first_part(answer: requests.Response) -> bytes:
    """The one object of a multipart answer."""
    body = answer.content
    kind = answer.headers.get("Content-Type", "")
    if not kind.startswith("multipart/"):
        return body
    boundary = kind.split("boundary=")[1].split(";")[0].strip('"').encode()
    start = body.index(b"\r\n\r\n", body.index(b"--" + boundary)) + 4
    return body[start : body.index(b"\r\n--" + boundary, start)]
