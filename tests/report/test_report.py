"""The report: what it says, that it names nobody unless asked, and that its pages are sound."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brainviewer.cli import app
from brainviewer.jobs import reporting
from brainviewer.jobs.gathering import gather
from brainviewer.report import application, html, pdf
from brainviewer.report.contents import Contents, Person, location, middle_of
from brainviewer.report.pictures import as_image, figures
from tests.export import cases
from tests.export.test_deidentify import leaks, plant


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """Two runs on one scan whose header is full of identities."""
    folder = tmp_path_factory.mktemp("report")
    source = cases.classic(folder / "Zyxwick^Quintessa", change=plant)
    study = cases.run_on(source, folder / "one")
    cases.run_on(source, folder / "two", lambda volume: 0.5 + 4 * (volume.voxels > 3500))
    application.ensure()
    materials = [gather(folder / name, study) for name in ("one", "two")]
    return reporting.contents(materials, impression="Two warm places.\nNothing <b>else</b>.", notes="Seen by nobody.")


def text_of(page: str) -> str:
    """Words of a page, without its markup."""
    words: list[str] = []
    parser = HTMLParser()
    parser.handle_data = words.append  # type: ignore[method-assign]
    parser.feed(page)
    return " ".join(" ".join(words).split())


def pdf_text(made: bytes, folder: Path) -> str:
    """Words of a PDF as pdftotext sees them."""
    if shutil.which("pdftotext") is None:
        pytest.skip("needs pdftotext: apt-get install poppler-utils, or run `python3 -m installer test`")
    (folder / "r.pdf").write_bytes(made)
    done = subprocess.run(["pdftotext", "-layout", str(folder / "r.pdf"), "-"], capture_output=True, check=True)
    return done.stdout.decode()


def test_the_page_says_what_was_found(contents: Contents) -> None:
    words = text_of(html.render(contents))
    first = contents.runs[0].material
    for expected in (
        "Research use only; not for diagnosis.",
        "Two warm places.",
        "Nothing <b>else</b>.",  # escaped, not obeyed
        "SAGAN FLAIR 2",
        "32b6ead1" * 8,
        f"{first.findings[0].volume_ml:.2f} ml",
        location(first, first.findings[0]).split(", ", 1)[1],
        "Agreement between engines",
        "Seven healthy subjects only.",
        "not the probability of disease",
        "numpy",
        "Seen by nobody.",
    ):
        assert expected in words, expected


def test_the_page_is_one_file(contents: Contents) -> None:
    page = html.render(contents)
    assert "<svg" in page
    for outside in ('src="http', 'href="http', "url(http", "<script", "@import"):
        assert outside not in page


def test_nobody_is_named_unless_asked(contents: Contents, tmp_path: Path) -> None:
    made = pdf.render(contents)
    assert leaks(html.render(contents).encode()) == []
    assert leaks(made) == []
    assert leaks(pdf_text(made, tmp_path).encode()) == []


def test_identifiers_on_request_are_escaped(contents: Contents) -> None:
    from dataclasses import replace

    named = replace(contents, person=Person((("Patient", "Zyxwick <script>alert(1)</script>"),)))
    page = html.render(named)
    assert "Zyxwick &lt;script&gt;" in page
    assert "<script>" not in page
    assert "de-identified" not in page


@pytest.mark.parametrize(("paper", "points"), [("A4", (595, 842)), ("Letter", (612, 792))])
def test_pages_have_their_size_and_carry_the_notice(
    contents: Contents, tmp_path: Path, paper: str, points: tuple[int, int]
) -> None:
    made = pdf.render(contents, paper)  # type: ignore[arg-type]
    pages = pdf_text(made, tmp_path).split("\f")[:-1]
    assert len(pages) >= 2
    for number, page in enumerate(pages, start=1):
        assert "Research use only; not for diagnosis." in page
        assert f"page {number} of {len(pages)}" in page
    size = subprocess.run(["pdfinfo", str(tmp_path / "r.pdf")], capture_output=True, check=True, text=True).stdout
    found = next(line for line in size.splitlines() if line.startswith("Page size")).split()
    assert [round(float(found[2])), round(float(found[4]))] == [pytest.approx(one, abs=1) for one in points]


def test_words_of_figures_stay_words_in_print(contents: Contents, tmp_path: Path) -> None:
    words = pdf_text(pdf.render(contents), tmp_path)
    assert "Axial" in words
    assert "healthy percentile of each slice" in words
    assert "percentile" in words


def test_no_heading_stands_alone_at_the_end_of_a_page(contents: Contents, tmp_path: Path) -> None:
    headings = {"Slice scores", "Scan", "Notes", "How it was made", "Key images", "Agreement between engines"}
    for paper in ("A4", "Letter"):
        for page in pdf_text(pdf.render(contents, paper), tmp_path).split("\f"):  # type: ignore[arg-type]
            lines = [line.strip() for line in page.splitlines() if line.strip()]
            assert not (len(lines) > 1 and lines[-2] in headings)


def test_a_key_image_shows_its_finding(contents: Contents) -> None:
    material = contents.runs[0].material
    x, y, z = middle_of(material, 1)
    import numpy as np

    voxel = np.rint(np.linalg.solve(material.volume.affine, [x, y, z, 1])[:3]).astype(int)
    assert material.labels[tuple(voxel)] == 1
    image = as_image(figures(contents)["key0"])
    pixels = [image.pixelColor(x, y) for x in range(0, image.width(), 7) for y in range(0, image.height(), 7)]
    assert any(one.red() > 180 and one.blue() < 120 for one in pixels)  # the heatmap's warm colours


def test_the_command_writes_both_forms(tmp_path: Path, home: Path) -> None:
    source = cases.classic(tmp_path / "scan", change=plant)
    cases.run_on(source, tmp_path / "run")
    files = [tmp_path / "report.pdf", tmp_path / "report.html"]
    command = ["report", str(source), "--results", str(tmp_path / "run")]
    command += ["--out", str(files[0]), "--out", str(files[1]), "--impression", "Looked at."]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert files[0].read_bytes().startswith(b"%PDF")
    assert "Looked at." in files[1].read_text()
    assert leaks(done.output.encode()) == leaks(files[1].read_bytes()) == []
    named = CliRunner().invoke(app, [*command, "--identifiers"])
    assert named.exit_code == 0
    assert "Zyxwick Quintessa" in files[1].read_text()
    wrong = CliRunner().invoke(app, ["report", str(source), "--results", "x", "--out", "report.doc"])
    assert wrong.exit_code == 2


def test_corrections_are_told_and_used(tmp_path: Path, home: Path) -> None:
    import numpy as np

    from brainviewer.storage import corrections

    source = cases.classic(tmp_path / "scan")
    study = cases.run_on(source, tmp_path / "run")
    series = study.series[0]
    automatic = np.zeros(series.shape, np.uint8)
    automatic[5:12, 4:9, 3] = 1
    about = corrections.About(
        series.uid, study.uid, "Roe, Richard", series.shape, series.affine, 2, engine="sagan", title="SAGAN FLAIR 2"
    )
    corrections.create(about, automatic)
    out = tmp_path / "report.html"
    command = ["report", str(source), "--results", str(tmp_path / "run"), "--out", str(out), "--correction", about.key]
    assert CliRunner().invoke(app, command).exit_code == 0
    words = text_of(out.read_text())
    assert "The mask was corrected by a reader" in words
    assert "Corrections by of began steps slices reader A SAGAN FLAIR 2" in words
    assert "Roe" not in words
    assert CliRunner().invoke(app, [*command, "--identifiers"]).exit_code == 0
    assert "corrected by Roe, Richard" in text_of(out.read_text())
    export = [
        "export",
        str(tmp_path / "run"),
        "--study",
        str(source),
        "--format",
        "nifti",
        "--out",
        str(tmp_path / "out"),
    ]
    assert CliRunner().invoke(app, [*export, "--correction", about.key]).exit_code == 0
    import nibabel

    mask = np.asarray(nibabel.load(tmp_path / "out" / "sagan_mask.nii.gz").dataobj)
    assert np.array_equal(mask, automatic)
    assert CliRunner().invoke(app, [*export, "--correction", "nope"]).exit_code == 1


def test_pictures_without_a_place_can_be_reported(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    (tmp_path / "scan").mkdir()
    Image.fromarray(rng.integers(0, 255, (40, 50), np.uint8)).save(tmp_path / "scan" / "chest_xray.png")

    def raw(volume: object) -> object:
        values = np.zeros((50, 40, 1), np.float32)
        values[10:20, 10:20] = 5
        return values

    study = cases.run_on(tmp_path / "scan" / "chest_xray.png", tmp_path / "run", raw)  # type: ignore[arg-type]
    material = gather(tmp_path / "run", study)
    assert [one.side for one in material.findings] == [""]
    words = text_of(html.render(reporting.contents([material])))
    assert "100 voxels" in words
    assert pdf.render(reporting.contents([material])).startswith(b"%PDF")
