"""`brainviewer info`: facts on stdout, one line of trouble on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from brainviewer.commands.info import info
from tests.reading import phantoms

APP = typer.Typer()
APP.command()(info)


def test_json_holds_geometry_and_warnings(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    result = CliRunner().invoke(APP, [str(phantoms.write_series(tmp_path / "s", values, affine)), "--json"])
    assert result.exit_code == 0
    (study,) = json.loads(result.stdout)["studies"]
    (series,) = study["series"]
    assert study["title"] == "Doe Jane, Brain"
    assert series["shape"] == [7, 6, 5]
    assert series["spacing_mm"] == list(phantoms.SPACING_MM)
    assert series["directions"] == "RAS"
    assert series["warnings"] == []


def test_table_names_series_and_warnings(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    phantoms.write_nifti(tmp_path / "head[red].nii", values, None)
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 500)
    result = CliRunner().invoke(APP, [str(tmp_path)])
    assert result.exit_code == 0
    assert "head[red]" in result.stdout
    assert "left may be right" in result.stdout
    assert "broken.dcm is damaged" in result.stdout


def test_known_trouble_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(APP, [str(tmp_path / "gone")])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "gone cannot be opened: no such file or directory.\n"
