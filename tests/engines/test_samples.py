"""Cohort files: what is read, and one clear sentence with the line for every fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.errors import BadCohort
from engines.samples import Cohort, read_cohort

HEADER = "subject,volume,modality,label,split,mask,slice_labels\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.nii.gz", "b.nii.gz", "c.nii.gz", "mask.nii.gz"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def written(folder: Path, rows: str, header: str = HEADER) -> Path:
    path = folder / "cohort.csv"
    path.write_text(header + rows, encoding="utf-8")
    return path


def test_reads_paths_relative_to_the_file(folder: Path) -> None:
    cohort = read_cohort(
        written(folder, "s1,a.nii.gz,FLAIR,abnormal,test,mask.nii.gz,0110\ns2,b.nii.gz,T1,normal,train,,\n")
    )
    first, second = cohort.samples
    assert (first.volume, first.mask, first.slice_labels) == (folder / "a.nii.gz", folder / "mask.nii.gz", "0110")
    assert (second.modality, second.label, second.split, second.mask) == ("T1", "normal", "train", None)
    assert cohort.subjects == ("s1", "s2")
    assert cohort.name == "cohort"


def test_select_keeps_what_fits_all_words(folder: Path) -> None:
    rows = "s1,a.nii.gz,FLAIR,normal,train,,\ns2,b.nii.gz,FLAIR,normal,val,,\ns3,c.nii.gz,T1,unlabeled,train,,\n"
    cohort = read_cohort(written(folder, rows))
    assert cohort.select(split="train").subjects == ("s1", "s3")
    assert cohort.select(split="train", label="normal", modality="FLAIR").subjects == ("s1",)
    assert len(cohort.select(modality="CT")) == 0
    assert cohort.select(split="val").digest == cohort.digest


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("s1,missing.nii.gz,T1,normal,train,,", r"line 2: there is no readable file .*missing.nii.gz"),
        ("s1,a.nii.gz,T1,normal,train,nomask.nii.gz,", r"line 2: .*nomask.nii.gz"),
        ("s1,.,T1,normal,train,,", "line 2: there is no readable file"),
        ("s1,a.nii.gz,T1,healthy,train,,", "line 2: the label is 'healthy'.*normal, abnormal, unlabeled"),
        ("s1,a.nii.gz,T1,normal,training,,", "line 2: the split is 'training'"),
        (",a.nii.gz,T1,normal,train,,", "line 2: the subject is empty"),
        ("s1,,T1,normal,train,,", "line 2: the volume is empty"),
        ("s1,a.nii.gz,T1,abnormal,train,,01x0", "line 2: slice_labels may hold only 0 and 1"),
        ("s1,a.nii.gz,T1,normal,train,,0100", "line 2: a normal volume has a slice labelled 1"),
        ("s1,a.nii.gz,T1,normal,train", "line 2: 5 fields where the header has 7"),
        ('s1,"a.nii.gz,T1,normal,train,,', "line 2: unexpected end of data"),
        ("s1,a.nii.gz,T1,normal,train,,\ns1,b.nii.gz,T1,normal,val,,", "line 3: the subject s1 .* val .* line 2"),
        ("s1,a.nii.gz,T1,normal,train,,\ns2,a.nii.gz,T1,normal,train,,", "line 3: the volume .* line 2 already"),
        ("", "lists no volumes"),
    ],
)
def test_every_fault_names_the_line(folder: Path, row: str, words: str) -> None:
    with pytest.raises(BadCohort) as caught:
        read_cohort(written(folder, row + "\n"))
    import re

    assert re.search(words, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("column", HEADER.strip().split(","))
def test_every_column_must_be_there(folder: Path, column: str) -> None:
    with pytest.raises(BadCohort, match=f"line 1: the column {column} is missing"):
        read_cohort(written(folder, "", HEADER.replace(column, f"{column}s")))


def test_more_columns_are_welcome(folder: Path) -> None:
    header = HEADER.replace("\n", ",age\n")
    assert read_cohort(written(folder, "s1,a.nii.gz,T1,normal,train,,,44\n", header)).subjects == ("s1",)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00broken", b"", b"\x00" * 100])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cohort.csv"
    path.write_bytes(content)
    with pytest.raises(BadCohort, match=r"cohort\.csv"):
        read_cohort(path)


def test_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCohort, match="no cohort file"):
        read_cohort(tmp_path / "none.csv")


def test_digest_changes_with_the_table_and_with_the_pictures(folder: Path) -> None:
    def digest(rows: str) -> str:
        return read_cohort(written(folder, rows)).digest

    row = "s1,a.nii.gz,T1,normal,train,,\n"
    first = digest(row)
    assert digest(row) == first
    assert digest(row.replace("train", "val")) != first
    (folder / "a.nii.gz").write_bytes(b"other voxels")
    assert digest(row) != first


def test_abnormal_is_known_from_the_label_or_any_slice(folder: Path) -> None:
    rows = "s1,a.nii.gz,T1,unlabeled,test,,0010\ns2,b.nii.gz,T1,unlabeled,test,,\ns3,c.nii.gz,T1,normal,test,,\n"
    cohort: Cohort = read_cohort(written(folder, rows))
    assert [sample.abnormal for sample in cohort.samples] == [True, None, False]


@pytest.mark.parametrize("name", ["br35h", "brats2021", "cxr", "ixi_t1", "lgg_flair"])
def test_real_cohorts_are_sound(data_dir: Path, name: str) -> None:
    assert len(read_cohort(data_dir / f"{name}.csv")) > 0
