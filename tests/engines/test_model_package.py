"""Model packages: whole or not at all, exactly what was written, and nothing hostile gets through."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from engines import model_import, model_package
from engines.errors import BadInput, BadModel, KnownError
from engines.model_card import Metric, ModelCard, TrainingData

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = {"layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 7, "steps": np.array([3])}
CALIBRATION = {"heatmap.values": np.array([0.0, 1.0]), "heatmap.percentiles": np.array([0.0, 100.0])}
CARD = ModelCard(
    engine="fake",
    name="Small model",
    modality="FLAIR",
    settings={"width": 8, "betas": (0.5, 0.9)},
    training_data=(TrainingData(cohort="phantoms", digest="ab", subjects=4, licence="CC0"),),
    metrics=(Metric(name="slice AUROC", value=0.9, low=0.8, high=float("nan"), subjects=4, command="evaluate"),),
    limits="Phantoms only.",
    seconds=1.5,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    model_package.write(tmp_path / "model", CARD, WEIGHTS, CALIBRATION)
    return tmp_path / "model"


def test_what_is_written_is_read_back(model: Path) -> None:
    loaded = model_package.load(model, "fake")
    assert loaded.card.settings == {"width": 8, "betas": [0.5, 0.9]}
    assert loaded.card.metrics[0].high is None
    assert np.array_equal(loaded.weights["layer.weight"], WEIGHTS["layer.weight"])
    assert loaded.weights["steps"].dtype.kind == "i"
    assert loaded.calibration["heatmap.values"].dtype == np.float64
    assert sorted(path.name for path in model.iterdir()) == sorted(model_package.FILES)
    assert "Phantoms only." in (model / "README.md").read_text()


def test_half_weights_take_half_the_space_and_come_back_as_float32(tmp_path: Path) -> None:
    weights = {"w": np.linspace(-1, 1, 10_000, dtype=np.float32)}
    full = model_package.write(tmp_path / "full", CARD, weights, CALIBRATION)
    half = model_package.write(tmp_path / "half", CARD, weights, CALIBRATION, half=True)
    assert full.digest != half.digest
    sizes = [(tmp_path / name / "weights.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.51 * sizes[0]
    back = model_package.read_weights(tmp_path / "half")["w"]
    assert back.dtype == np.float32
    assert np.abs(back - weights["w"]).max() < 5e-4
    with pytest.raises(ValueError, match="float16"):
        model_package.write(tmp_path / "big", CARD, {"w": np.array([1e6], np.float32)}, CALIBRATION, half=True)


def test_torch_tensors_are_taken_too(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model_package.write(tmp_path / "m", CARD, {"w": torch.ones(2, 2, requires_grad=True)}, CALIBRATION)
    assert np.array_equal(model_package.read_weights(tmp_path / "m")["w"], np.ones((2, 2)))


def test_reading_a_card_needs_no_torch(model: Path) -> None:
    code = f"import sys, pathlib; from engines import model_package as m; m.load(pathlib.Path({str(model)!r})); "
    code += "print({'torch', 'scipy', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", model_package.FILES[:3])
def test_every_single_altered_byte_is_noticed(model: Path, name: str) -> None:
    whole = (model / name).read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        altered = bytearray(whole)
        altered[position] ^= 0x01
        (model / name).write_bytes(altered)
        with pytest.raises(BadModel):
            model_package.load(model)


@pytest.mark.parametrize("name", model_package.FILES)
def test_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(BadModel, match=name.replace(".", r"\.")):
        model_package.verify(model)


@pytest.mark.parametrize("keep", [0, 7, 60])
def test_truncated_weights_are_refused(model: Path, keep: int) -> None:
    (model / "weights.safetensors").write_bytes((model / "weights.safetensors").read_bytes()[:keep])
    with pytest.raises(BadModel, match="damaged"):
        model_package.read_weights(model)


HOSTILE = {
    "header of a terabyte": (1 << 40).to_bytes(8, "little") + b"{}",
    "no JSON": (4).to_bytes(8, "little") + b"nope",
    "shape larger than the data": b'{"w":{"dtype":"F32","shape":[9999999999],"data_offsets":[0,4]}}',
    "overflowing shape": b'{"w":{"dtype":"F32","shape":[0,9223372036854775807,9],"data_offsets":[0,0]}}',
    "unknown type": b'{"w":{"dtype":"PICKLE","shape":[1],"data_offsets":[0,4]}}',
    "float8": b'{"w":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}',
    "offsets backwards": b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
    "empty": b"",
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_tensor_file_with_a_true_digest_is_refused(model: Path, header: bytes) -> None:
    import hashlib

    content = header
    if header.startswith(b"{"):
        content = len(header).to_bytes(8, "little") + header + b"\0" * 4
    (model / "weights.safetensors").write_bytes(content)
    card = model_package.read_card(model)
    sealed = card.sealed(hashlib.sha256(content).hexdigest(), card.calibration.sha256)
    (model / "model.json").write_text(sealed.model_dump_json())
    with pytest.raises(BadModel):
        model_package.read_weights(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 2}, "another format than version 1"),
        ({"engine": "../../etc"}, "engine"),
        ({"code": "import os"}, "code"),
        ({"weights": {"file": "/etc/passwd", "sha256": ""}}, "weights.file"),
        ({"name": "Renamed"}, "altered"),
        ({"seconds": "long"}, "seconds"),
    ],
)
def test_wrong_or_altered_card_is_refused(model: Path, change: dict[str, object], words: str) -> None:
    card = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**card, **change}))
    with pytest.raises(BadModel, match=words):
        model_package.read_card(model)


@pytest.mark.parametrize("text", ["", "null", "[]", '{"a":' * 5000, "\ud800", "{" + " " * (5 << 20)])
def test_nonsense_for_a_card_is_refused(model: Path, text: str) -> None:
    (model / "model.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(BadModel):
        model_package.read_card(model)


def test_model_of_another_engine_is_refused(model: Path) -> None:
    with pytest.raises(BadModel, match="'fake', not 'sagan'"):
        model_package.load(model, "sagan")


def test_new_calibration_keeps_the_weights_byte_by_byte(model: Path) -> None:
    before = (model / "weights.safetensors").read_bytes()
    first = model_package.read_card(model)
    second = model_package.replace_calibration(model, {"heatmap.values": np.array([0.0, 2.0])})
    assert (model / "weights.safetensors").read_bytes() == before
    assert second.digest != first.digest
    assert model_package.read_calibration(model)["heatmap.values"][1] == 2
    assert model_package.verify(model) == second


def test_a_failed_write_leaves_the_old_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = model_package.read_card(model)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KnownError, match="No space left"):
        model_package.replace_calibration(model, CALIBRATION)
    monkeypatch.undo()
    assert model_package.verify(model) == card
    assert [path.name for path in model.parent.iterdir() if path.name.startswith(".")] == []


def test_a_write_killed_between_its_two_renames_is_mended(model: Path) -> None:
    model.rename(model.parent / f".{model.name}.previous")
    assert model_package.verify(model).name == "Small model"


def test_other_files_of_the_folder_are_kept(model: Path) -> None:
    (model / "checkpoint.safetensors").write_bytes(b"state")
    model_package.replace_calibration(model, CALIBRATION)
    assert (model / "checkpoint.safetensors").read_bytes() == b"state"
    foreign = model.parent / "documents"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("mine")
    model_package.write(foreign, CARD, WEIGHTS, CALIBRATION)
    assert (foreign / "letter.txt").read_text() == "mine"
    assert model_package.verify(foreign)


def test_a_file_in_the_way_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="is a file"):
        model_package.write(tmp_path / "file", CARD, WEIGHTS, CALIBRATION)


def test_models_are_found_and_damaged_ones_told(model: Path) -> None:
    broken = Path(shutil.copytree(model, model.parent / "broken"))
    (broken / "model.json").write_text("{}")
    faults: list[Path] = []
    found = model_package.find_models([model.parent, model.parent / "none"], lambda folder, _: faults.append(folder))
    assert [one.folder for one in found] == [model]
    assert faults == [broken]


def test_the_fitting_model_is_chosen(model: Path) -> None:
    models = model_package.find_models([model.parent])
    assert model_package.choose(models, "fake", "FLAIR").folder == model
    assert model_package.choose(models, "fake").folder == model
    with pytest.raises(BadInput, match="for FLAIR, not for T1"):
        model_package.choose(models, "fake", "T1")
    with pytest.raises(BadInput, match="no model for the engine 'sagan'"):
        model_package.choose(models, "sagan")


def zipped(model: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in model_package.FILES:
            archive.write(model / name, prefix + name)
    return path


@pytest.mark.parametrize("prefix", ["", "small-model/"])
def test_adding_from_folder_and_zip_gives_the_same_model(model: Path, tmp_path: Path, prefix: str) -> None:
    mine = tmp_path / "mine"
    first = model_import.add(model, mine)
    again = model_import.add(zipped(model, tmp_path / "m.zip", prefix), mine)
    assert first == again
    assert first.folder.name == f"fake-{first.card.digest[:16]}"
    assert [path.name for path in mine.iterdir()] == [first.folder.name]


def test_no_path_of_a_zip_leaves_the_models_folder(model: Path, tmp_path: Path) -> None:
    path = zipped(model, tmp_path / "evil.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped.txt", "x")
        archive.writestr("/tmp/escaped.txt", "x")
        archive.writestr("run.py", "print('x')")
    added = model_import.add(path, tmp_path / "mine")
    assert sorted(one.name for one in added.folder.iterdir()) == sorted(model_package.FILES)
    assert not list(tmp_path.rglob("escaped.txt"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"no zip"])
def test_what_is_no_model_is_not_added(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.zip").write_bytes(content)
    with pytest.raises(BadModel):
        model_import.add(tmp_path / "m.zip", tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_damaged_model_is_not_added(model: Path, tmp_path: Path) -> None:
    (model / "weights.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(BadModel, match="damaged"):
        model_import.add(zipped(model, tmp_path / "m.zip"), tmp_path / "mine")
    with pytest.raises(BadModel, match="no file or folder"):
        model_import.add(tmp_path / "none.zip", tmp_path / "mine")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a/model.json", "{}")
        archive.writestr("b/model.json", "{}")
    with pytest.raises(BadModel, match="2 models"):
        model_import.add(tmp_path / "two.zip", tmp_path / "mine")


def test_only_own_models_are_removed(model: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    added = model_import.add(model, mine)
    with pytest.raises(BadModel, match="is not a model in"):
        model_import.remove(model, mine)
    with pytest.raises(BadModel, match="is not a model in"):
        model_import.remove(mine, tmp_path)
    model_import.remove(added.folder, mine)
    assert list(mine.iterdir()) == []
