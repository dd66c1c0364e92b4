"""Sending, searching and fetching with a real archive: what comes back is what was sent, bit for bit."""

from __future__ import annotations

import gc
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from typer.testing import CliRunner

from brainviewer import export, pacs
from brainviewer.cli import app
from brainviewer.pacs.archive import ArchiveTrouble, Question
from brainviewer.storage import nodes
from engines import BadInput, Cancelled
from tests.export import cases
from tests.pacs.orthanc import Orthanc, free_port, running

OBJECTS = ["dicom-images", "dicom-sr", "dicom-seg-fractional", "parametric-map"]


@pytest.fixture(autouse=True)
def _sockets() -> Iterator[None]:
    """WORKAROUND: pynetdicom leaves the socket of a connection that the other side cut to the garbage collector."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every DICOM object of a run, with its images."""
    folder = tmp_path_factory.mktemp("exported")
    order = cases.order(cases.classic(folder / "scan"), folder / "run")
    return [path for path in export.write(order, OBJECTS, folder / "out") if path.suffix == ".dcm"]


@pytest.fixture
def empty(orthanc: Orthanc) -> Orthanc:
    orthanc.forget_all()
    return orthanc


def payload(path: Path) -> bytes:
    """The data set's bytes; the file meta before them belongs to whoever wrote the file."""
    meta = read_file_meta_info(path)
    return path.read_bytes()[132 + 12 + int(meta.FileMetaInformationGroupLength) :]


def by_uid(paths: list[Path]) -> dict[str, Path]:
    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths}


def assert_the_same(sent: list[Path], fetched: list[Path]) -> None:
    before, after = by_uid(sent), by_uid(fetched)
    assert before.keys() == after.keys()
    assert [uid for uid in before if payload(before[uid]) != payload(after[uid])] == []
    for uid, path in after.items():
        kept, back = read_file_meta_info(before[uid]), read_file_meta_info(path)
        assert kept.TransferSyntaxUID == back.TransferSyntaxUID


@pytest.mark.parametrize("how", ["dimse", "web"])
def test_echo(orthanc: Orthanc, how: str) -> None:
    pacs.connect(orthanc.node(how)).echo()


SEND_AND_FETCH = [
    ("dimse", "dimse", "get"),
    ("dimse", "dimse", "move"),
    ("dimse", "web", "get"),
    ("web", "web", "get"),
    ("web", "dimse", "get"),
]


@pytest.mark.parametrize(("out", "back", "fetch"), SEND_AND_FETCH)
def test_objects_come_back_bit_for_bit(
    empty: Orthanc, exported: list[Path], tmp_path: Path, out: str, back: str, fetch: str
) -> None:
    sent = pacs.connect(empty.node(out)).send(exported, lambda *_: None)
    assert (sent.arrived, sent.already_there, sent.refused) == (len(exported), 0, ())
    steps: list[tuple[int, int]] = []
    archive = pacs.connect(empty.node(back, fetch=fetch))
    fetched = archive.retrieve("1.2.3", tmp_path / "in", lambda done, total, _: steps.append((done, total)))
    assert_the_same(exported, fetched)
    assert steps[0] == (0, len(exported))
    assert not list((tmp_path / "in").glob("*.part"))


@pytest.mark.parametrize("how", ["dimse", "web"])
def test_studies_are_found(empty: Orthanc, exported: list[Path], how: str) -> None:
    archive = pacs.connect(empty.node(how))
    archive.send(exported, lambda *_: None)
    (found,) = archive.find(Question(patient_name="Doe*"))
    assert (found.uid, found.patient, found.patient_id, found.date) == ("1.2.3", "Doe Jane", "4711", "20261121")
    assert found.images == len(exported)
    assert {"MR", "SEG", "SR"} <= set(found.modalities)
    assert len(archive.find(Question(patient_name="DOE^JANE"))) == 1
    assert archive.find(Question(patient_id="nobody")) == []
    assert len(archive.find(Question(since="20261121", until="20261121"))) == 1
    assert archive.find(Question(since="20270101")) == []


@pytest.mark.parametrize("how", ["dimse", "web"])
def test_sending_can_be_stopped_and_goes_on(empty: Orthanc, exported: list[Path], how: str) -> None:
    archive = pacs.connect(empty.node(how))

    def stop_soon(done: int, _total: int, _text: str) -> None:
        if done >= 5 or (how == "web" and done == 0 and seen):
            raise Cancelled
        seen.append(done)

    seen: list[int] = []
    if how == "web":  # one small batch goes at once: send five, then the rest
        archive.send(exported[:5], lambda *_: None)
    else:
        with pytest.raises(Cancelled):
            archive.send(exported, stop_soon)
    sent = archive.send(exported, lambda *_: None)
    assert (sent.arrived, sent.already_there) == (len(exported) - 5, 5)
    assert archive.send(exported, lambda *_: None).arrived == 0


@pytest.mark.parametrize("how", ["dimse", "web"])
def test_fetching_can_be_stopped_and_goes_on(empty: Orthanc, exported: list[Path], tmp_path: Path, how: str) -> None:
    archive = pacs.connect(empty.node(how))
    archive.send(exported, lambda *_: None)

    def stop(done: int, _total: int, _text: str) -> None:
        if done >= 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        archive.retrieve("1.2.3", tmp_path / "in", stop)
    assert 0 < len(list((tmp_path / "in").glob("*.dcm"))) < len(exported)
    first: list[int] = []
    fetched = archive.retrieve("1.2.3", tmp_path / "in", lambda done, *_: first.append(done))
    assert first[0] > 0
    assert_the_same(exported, fetched)


def test_a_study_nobody_has(empty: Orthanc, tmp_path: Path) -> None:
    for how in ("dimse", "web"):
        with pytest.raises(ArchiveTrouble, match="does not have"):
            pacs.connect(empty.node(how)).retrieve("1.2.3.4.5", tmp_path / how, lambda *_: None)


def test_trouble_is_said_in_a_sentence(orthanc: Orthanc) -> None:
    nobody = free_port()
    with pytest.raises(ArchiveTrouble, match="does not answer"):
        pacs.connect(orthanc.node(port=nobody, timeout_s=3)).echo()
    for _ in range(50):  # the answer often comes before it is awaited
        with pytest.raises(ArchiveTrouble, match="refused the connection: called AE title not recognised"):
            pacs.connect(orthanc.node(title="WRONG")).echo()
    with pytest.raises(ArchiveTrouble, match="does not answer"):
        pacs.connect(orthanc.node("web", url=f"http://127.0.0.1:{nobody}/dicom-web")).echo()
    with pytest.raises(ArchiveTrouble, match="status 401.*password"):
        pacs.connect(orthanc.node("web", password="wrong")).echo()


def test_no_port_stays_open_after_a_move(empty: Orthanc, exported: list[Path], tmp_path: Path) -> None:
    archive = pacs.connect(empty.node(fetch="move"))
    archive.send(exported[:2], lambda *_: None)
    archive.retrieve("1.2.3", tmp_path, lambda *_: None)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", empty.listen)) != 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine, signed by itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


def test_dimse_over_tls(certificate: tuple[Path, Path], exported: list[Path], tmp_path: Path) -> None:
    made, key = certificate
    secure = {
        "DicomTlsEnabled": True, "DicomTlsCertificate": str(made), "DicomTlsPrivateKey": str(key),
        "DicomTlsTrustedCertificates": str(made), "DicomTlsRemoteCertificateRequired": False,
    }  # fmt: skip
    with running(tmp_path / "tls", **secure) as server:
        node = server.node(tls=True, ca_file=str(made), certificate=str(made), key=str(key))
        archive = pacs.connect(node)
        archive.echo()
        archive.send(exported[:3], lambda *_: None)
        assert_the_same(exported[:3], archive.retrieve("1.2.3", tmp_path / "in", lambda *_: None))
        with pytest.raises(ArchiveTrouble, match="not trusted"):
            pacs.connect(server.node(tls=True)).echo()
        with pytest.raises(ArchiveTrouble):
            pacs.connect(server.node(timeout_s=3)).echo()


def test_the_token_travels_over_https_only_to_whom_it_belongs(certificate: tuple[Path, Path]) -> None:
    made, key = certificate
    seen: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(200)
            self.send_header("Content-Type", "application/dicom+json")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    wrapping = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    wrapping.load_cert_chain(made, key)
    server.socket = wrapping.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_port}/dicom-web"
        node = nodes.make(name="x", kind="web", url=url, token="abc123", ca_file=str(made))
        archive = pacs.connect(node)
        archive.echo()
        assert archive.find(Question()) == []
        assert set(seen) == {"Bearer abc123"}
        with pytest.raises(ArchiveTrouble, match="not trusted"):
            pacs.connect(nodes.make(name="x", kind="web", url=url, token="abc123")).echo()
        archive._session.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_whole_way_by_commands(empty: Orthanc, exported: list[Path], home: Path) -> None:
    from brainviewer.storage import audit
    from brainviewer.storage.library import Library

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output
        return done.output

    run("pacs", "add", "near", "--port", str(empty.dicom), "--title", "ORTHANC")
    run(
        "pacs",
        "add",
        "web",
        "--kind",
        "web",
        "--url",
        empty.node("web").url,
        "--user",
        "tester",
        "--password",
        "secret",
    )
    assert "secret" not in run("pacs", "list", "--json")
    assert "answers" in run("pacs", "echo", "near")
    assert json.loads(run("pacs", "send", "near", str(exported[0].parents[1]), "--json"))["arrived"] == len(exported)
    assert json.loads(run("pacs", "find", "web", "--patient", "Doe*", "--json"))[0]["study"] == "1.2.3"
    fetched = json.loads(run("pacs", "fetch", "web", "1.2.3", "--json"))
    assert fetched["files"] == len(exported)
    assert "1.2.3" not in fetched["folder"]
    library = Library()
    (entry,) = library.studies()
    library.close()
    assert (entry.uid, entry.path) == ("1.2.3", Path(fetched["folder"]))
    assert [one.what for one in audit.entries("1.2.3")] == ["send", "fetch"]
    assert json.loads(run("audit", "verify", "--json"))["sound"] is True
    assert "Doe" not in run("audit", "show")
    audit.head_path().write_text("9 ab")
    assert CliRunner().invoke(app, ["audit", "verify"]).exit_code == 1


def test_the_window_sends_what_it_exported(empty: Orthanc, exported: list[Path], home: Path) -> None:
    from brainviewer.jobs import delivery
    from brainviewer.storage import audit

    nodes.save(empty.node(name="near"))
    said = delivery.send([*exported, Path("table.csv")], "near")
    assert said == f"near has {len(exported)} objects, {len(exported)} of them new."
    assert delivery.send(exported, "near").endswith(" 0 of them new.")
    assert [one.what for one in audit.entries("1.2.3")] == ["send", "send"]


def test_saved_nodes(home: Path) -> None:
    assert nodes.load() == ()
    nodes.save(nodes.make(name="one", host="10.0.0.1", token="secret"))
    nodes.save(nodes.make(name="two", kind="web", url="https://archive.example/dicom-web"))
    assert [node.name for node in nodes.load()] == ["one", "two"]
    assert nodes.path().stat().st_mode & 0o077 == 0
    nodes.remove("one")
    with pytest.raises(BadInput, match="two"):
        nodes.find("one")
    with pytest.raises(BadInput, match="address"):
        nodes.make(name="bad", kind="web", url="ftp://x")
    with pytest.raises(BadInput, match="listen"):
        nodes.make(name="bad", fetch="move")
    nodes.path().write_text("{")
    assert nodes.load() == ()
