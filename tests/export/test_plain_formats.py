"""NIfTI, BIDS, CSV and JSON, and that an export appears whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from brainviewer import export
from brainviewer.export.order import Order
from brainviewer.jobs.gathering import gather
from engines import BadInput, KnownError
from tests.export import cases


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return cases.order(cases.classic(tmp_path / "scan"), tmp_path / "run")


def test_nifti_lies_on_the_scans_grid(order: Order, tmp_path: Path) -> None:
    files = export.write(order, ["nifti"], tmp_path / "out")
    assert {path.name for path in files} == {
        f"sagan_{name}.nii.gz" for name in ("heatmap", "percentiles", "mask", "findings", "restored")
    }
    material = order.material
    for name, values in (("heatmap", material.result.heatmap), ("mask", material.mask), ("findings", material.labels)):
        image = nibabel.load(tmp_path / "out" / f"sagan_{name}.nii.gz")
        assert np.array_equal(np.asarray(image.dataobj), values)
        assert np.allclose(image.affine, material.volume.affine, atol=1e-4)
        assert not image.header["descrip"].tobytes().strip(b"\0")


def test_tables_hold_findings_and_slices(order: Order, tmp_path: Path) -> None:
    export.write(order, ["csv", "json"], tmp_path / "out")
    with (tmp_path / "out" / "sagan_findings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["volume_ml"]) for row in rows] == [one.volume_ml for one in order.material.findings]
    told = json.loads((tmp_path / "out" / "sagan.json").read_text())
    assert told["findings"][0]["tracking_uid"] == rows[0]["tracking_uid"]
    assert len(told["slices"]) == order.material.volume.shape[told["slice_axis"]]
    assert told["model_sha256"] == "32b6ead1" * 8
    assert "not for diagnosis" in told["notice"]


def test_bids_names_its_source(tmp_path: Path) -> None:
    order = cases.order(cases.nifti(tmp_path / "scan"), tmp_path / "run")
    export.write(order, ["bids"], tmp_path / "out")
    root = tmp_path / "out" / "derivatives" / "brainviewer-sagan"
    described = json.loads((root / "dataset_description.json").read_text())
    assert (described["DatasetType"], described["GeneratedBy"][0]["Name"]) == ("derivative", "BrainViewer")
    stem = root / "sub-01" / "anat" / "sub-01_space-orig_label-anomaly_desc-sagan_mask"
    sidecar = json.loads(stem.with_name(stem.name + ".json").read_text())
    assert sidecar["Sources"] == ["bids:raw:sub-01_FLAIR.nii.gz"]
    assert sidecar["ModelSHA256"] == "32b6ead1" * 8
    mask = nibabel.load(stem.with_name(stem.name + ".nii.gz"))
    assert np.array_equal(np.asarray(mask.dataobj), order.material.mask)


def test_pictures_show_the_heatmap_and_carry_the_notice(order: Order, tmp_path: Path) -> None:
    from PIL import Image

    files = export.write(order, ["png", "apng"], tmp_path / "out")
    assert {path.name for path in files} == {"sagan_key1.png", "sagan_key2.png", "sagan_slices.png"}
    warm = np.asarray(Image.open(tmp_path / "out" / "sagan_key1.png")).astype(int)
    assert ((warm[..., 0] > 180) & (warm[..., 2] < 120)).any()
    with Image.open(tmp_path / "out" / "sagan_slices.png") as moving:
        axis = order.material.result.slice_axis
        assert moving.n_frames == order.material.volume.shape[axis]
        first = np.asarray(moving.convert("RGB"))
        moving.seek(5)
        assert (first != np.asarray(moving.convert("RGB"))).any()


def test_without_the_scan_only_formats_that_need_none(tmp_path: Path) -> None:
    cases.run_on(cases.classic(tmp_path / "scan"), tmp_path / "run")
    order = Order(gather(tmp_path / "run"))
    assert export.write(order, ["nifti", "bids", "csv", "json"], tmp_path / "out")
    assert [one.side for one in order.material.findings] == ["left", "right"]
    with pytest.raises(BadInput, match="needs the scan"):
        export.write(order, ["dicom-seg"], tmp_path / "out")


def test_a_run_on_another_scan_is_refused(tmp_path: Path) -> None:
    study = cases.run_on(cases.classic(tmp_path / "scan"), tmp_path / "run")
    other = cases.run_on(cases.nifti(tmp_path / "other"), tmp_path / "run2")
    with pytest.raises(BadInput, match="another scan"):
        gather(tmp_path / "run", other)
    assert gather(tmp_path / "run2", other).source is not None
    assert gather(tmp_path / "run", study).source is not None


def test_a_failed_export_leaves_what_was_there(order: Order, tmp_path: Path) -> None:
    export.write(order, ["json"], tmp_path / "out")
    before = (tmp_path / "out" / "sagan.json").read_bytes()

    def broken() -> bytes:
        raise KnownError("Stopped half-way.")

    order.material.__dict__["mask_ml"] = 5.0
    with pytest.raises(BadInput):
        export.write(order, ["json", "no-such-format"], tmp_path / "out")
    assert (tmp_path / "out" / "sagan.json").read_bytes() == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sagan.json"]


def test_a_place_that_is_a_file_is_told(order: Order, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(KnownError, match="cannot be written"):
        export.write(order, ["json"], tmp_path / "out")
