"""Each fault that a competition folder can have, alone: `verify` names it, its kind and place, as table and as JSON,
and nothing else; everything that isn't spoiled is still looked at."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.dataset.faults import KINDS
from common.dataset.verify import verify
from common.reading.selftest.specimens import random_hu, write_series
from common.reading.study import read_study
from common.resample import canonical

A, B, C, T = "1.2.1", "1.2.2", "1.2.3", "1.2.9"
LABELS = "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7\n"
BOXES = "StudyInstanceUID,x,y,width,height,slice_number\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training studies of 24 x 20 pixels and 6 slices; A is positive, with a box and a mask; a test study."""
    root = tmp_path_factory.mktemp("whole")
    for n, uid in enumerate((A, B, C)):
        write_series(root / "train_images" / uid, random_hu((6, 20, 24), n), StudyInstanceUID=uid, spacing=(0.5, 0.5))
    write_series(root / "test_images" / T, random_hu((6, 20, 24), 9), StudyInstanceUID=T, spacing=(0.5, 0.5))
    rows = f"{A},1,0,1,0,0,0,0,0\n{B},0,0,0,0,0,0,0,0\n{C},0,0,0,0,0,0,0,0\n"
    (root / "train.csv").write_text(LABELS + rows)
    (root / "train_bounding_boxes.csv").write_text(f"{BOXES}{A},2,4,6,8,3\n")
    (root / "test.csv").write_text(f"row_id,StudyInstanceUID,prediction_type\n{T}_C1,{T},C1\n")
    (root / "sample_submission.csv").write_text(f"row_id,fractured\n{T}_C1,0.5\n")
    save_mask(root, A)
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil; its slices are links."""
    for path in whole.rglob("*"):
        copy = tmp_path / path.relative_to(whole)
        if path.is_dir():
            copy.mkdir()
        elif path.suffix == ".dcm":
            copy.symlink_to(path)
        else:
            copy.write_bytes(path.read_bytes())
    return tmp_path


def save_mask(root: Path, uid: str, name: str = "", shift_mm: float = 0, value: int = 3, scale: float = 1) -> None:
    """A mask on the study's own grid, one voxel of `value`; moved, or its voxels scaled."""
    part = "test_images" if uid == T else "train_images"
    scan = canonical(read_study(root / part / uid).volume)
    labels = np.zeros(scan.array.shape, np.int16)
    labels[3, 3, 3] = value
    affine = scan.affine @ np.diag([scale, scale, scale, 1])
    affine[0, 3] += shift_mm
    (root / "segmentations").mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(labels, affine), root / "segmentations" / f"{name or uid}.nii")


def add(table: str, line: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        with (root / table).open("a") as stream:
            stream.write(line + "\n")

    return spoil


def replace(table: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        text = (root / table).read_text()
        assert old in text
        (root / table).write_text(text.replace(old, new))

    return spoil


def cut(name: str, keep: float) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = root / name
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: int(len(content) * keep)])

    return spoil


def remove(name: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = root / name
        for inner in path.iterdir() if path.is_dir() else ():
            inner.unlink()
        path.rmdir() if path.is_dir() else path.unlink()

    return spoil


def move(old: str, new: str) -> Callable[[Path], None]:
    return lambda root: (root / old).rename(root / new)


def box(line: str) -> Callable[[Path], None]:
    return add("train_bounding_boxes.csv", line)


TRAIN = ("table", "train.csv")
FAULTS = {
    "no train.csv": (remove("train.csv"), {("table", "train.csv")}),
    "no test.csv": (remove("test.csv"), {("table", "test.csv")}),
    "no boxes": (remove("train_bounding_boxes.csv"), {("table", "train_bounding_boxes.csv")}),
    "no sample": (remove("sample_submission.csv"), {("table", "sample_submission.csv")}),
    "a column is missing": (replace("train.csv", ",C7", ",C8"), {("table", "train.csv")}),
    "a row longer than the header": (replace("train.csv", "1,0,0,0,0,0\n", "1,0,0,0,0,0,9\n"), {TRAIN}),
    "not text": (lambda root: (root / "test.csv").write_bytes(b"\xff\xfe\x00"), {("table", "test.csv")}),
    "a study without images": (remove(f"train_images/{B}"), {("no images", B)}),
    "a test study without images": (remove(f"test_images/{T}"), {("no images", T)}),
    "images without a row": (replace("train.csv", f"{C},0,0,0,0,0,0,0,0\n", ""), {("no row", C)}),
    "an empty folder": (lambda root: [p.unlink() for p in (root / "train_images" / B).iterdir()], {("scan", B)}),
    "a slice is missing": (remove(f"train_images/{B}/4.dcm"), {("scan", B)}),
    "a slice cut in its header": (cut(f"train_images/{B}/4.dcm", 0.02), {("scan", B)}),
    "images of another study": (
        lambda root: [move(f"train_images/{B}", "x")(root), move(f"train_images/{C}", f"train_images/{B}")(root),
                      move("x", f"train_images/{C}")(root)],
        {("scan", B), ("scan", C)},
    ),
    "a label of 2": (replace("train.csv", f"{B},0,0", f"{B},0,2"), {("label value", B)}),
    "a label of text": (replace("train.csv", f"{B},0,0", f"{B},0,yes"), {("label value", B)}),
    "an empty label": (replace("train.csv", f"{B},0,0", f"{B},0,"), {("label value", B)}),
    "a label of nan": (replace("train.csv", f"{B},0,0", f"{B},0,nan"), {("label value", B)}),
    "a label of a half": (replace("train.csv", f"{B},0,0", f"{B},0,0.5"), {("label value", B)}),
    "overall 0, a level 1": (replace("train.csv", f"{B},0,0", f"{B},0,1"), {("contradiction", B)}),
    "overall 1, no level": (replace("train.csv", f"{B},0,0", f"{B},1,0"), {("contradiction", B)}),
    "a study twice": (add("train.csv", f"{B},0,0,0,0,0,0,0,0"), {("duplicate row", B)}),
    "a study in train and test": (
        lambda root: [add("test.csv", f"{B}_C1,{B},C1")(root), add("sample_submission.csv", f"{B}_C1,0.5")(root)],
        {("no images", B), ("train and test", B)},
    ),
    "a study id that climbs": (add("train.csv", "../../x,0,0,0,0,0,0,0,0"), {("study id", "train.csv:5")}),
    "an empty study id": (add("train.csv", ",0,0,0,0,0,0,0,0"), {("study id", "train.csv:5")}),
    "a box of a negative study": (box(f"{B},2,4,6,8,3"), {("box negative", B)}),
    "a box of nobody": (box("1.2.77,2,4,6,8,3"), {("box", "1.2.77")}),
    "a box to the right of the image": (box(f"{A},20,4,6,8,3"), {("box outside", A)}),
    "a box below the image": (box(f"{A},2,14,6,8,3"), {("box outside", A)}),
    "a box above the image": (box(f"{A},2,-3,6,8,3"), {("box outside", A)}),
    "a box on no slice": (box(f"{A},2,4,6,8,77"), {("box slice", A)}),
    "a box without height": (box(f"{A},2,4,6,0,3"), {("box", A)}),
    "a box of nan": (box(f"{A},nan,4,6,8,3"), {("box", A)}),
    "an infinite box": (box(f"{A},2,4,inf,8,3"), {("box", A)}),
    "a box on slice infinity": (box(f"{A},2,4,6,8,inf"), {("box", A)}),
    "a box between slices": (box(f"{A},2,4,6,8,3.5"), {("box", A)}),
    "a box twice": (box(f"{A},2,4,6,8,3"), {("duplicate row", "train_bounding_boxes.csv")}),
    "a mask of nobody": (move(f"segmentations/{A}.nii", "segmentations/1.2.77.nii"), {("mask", "1.2.77")}),
    "a torn mask": (cut(f"segmentations/{A}.nii", 0.5), {("mask", A)}),
    "a mask of nothing": (cut(f"segmentations/{A}.nii", 0), {("mask", A)}),
    "a mask two millimetres away": (lambda root: save_mask(root, A, shift_mm=2), {("mask place", A)}),
    "a mask of other voxels": (lambda root: save_mask(root, A, scale=1.5), {("mask place", A)}),
    "a mask mirrored left to right": (lambda root: save_mask(root, A, shift_mm=-30), {("mask place", A)}),
    "a label that is none": (lambda root: save_mask(root, A, value=42), {("mask label", A)}),
    "a negative label": (lambda root: save_mask(root, A, value=-1), {("mask label", A)}),
    "an unknown prediction": (replace("test.csv", f"{T}_C1,{T},C1", f"{T}_C1,{T},C8"), {("test row", "test.csv:2")}),
    "a wrong row id": (
        lambda root: [replace(name, f"{T}_C1", "x_C1")(root) for name in ("test.csv", "sample_submission.csv")],
        {("test row", "test.csv:2")},
    ),
    "a test row twice": (add("test.csv", f"{T}_C1,{T},C1"), {("duplicate row", f"{T}_C1")}),
    "a row that isn't in the sample": (add("test.csv", f"{T}_C2,{T},C2"), {("submission", f"{T}_C2")}),
    "a row that is only in the sample": (add("sample_submission.csv", "1.2.77_C1,0.5"), {("submission", "1.2.77_C1")}),
}  # fmt: skip


def test_the_whole_folder_has_no_fault(root: Path) -> None:
    assert verify(root, deep=True).faults == []


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault(root: Path, name: str) -> None:
    spoil, expected = FAULTS[name]
    spoil(root)
    report = verify(root)
    assert {(fault.kind, fault.where) for fault in report.faults} == expected
    table, as_json = report.as_table(), json.loads(json.dumps(report.as_json()))
    for kind, where in expected:
        assert kind in KINDS
        assert f"{kind} (" in table
        assert where in table
        assert where in [fault["where"] for fault in as_json["faults"] if fault["kind"] == kind]
    assert as_json["clean"] is False


def test_every_kind_is_tested() -> None:
    assert {kind for _, expected in FAULTS.values() for kind, _ in expected} == set(KINDS)


def test_a_slice_without_its_end_is_found_by_a_deep_look(root: Path) -> None:
    cut(f"train_images/{B}/4.dcm", 0.6)(root)
    assert {(fault.kind, fault.where) for fault in verify(root, deep=True).faults} == {("scan", B)}


def test_bad_pixels_are_found_by_a_deep_look(root: Path) -> None:
    """The header is whole and the length right; only decoding tells that a compressed frame is damaged."""
    import pydicom
    from pydicom.encaps import encapsulate

    path = root / "train_images" / B / "4.dcm"
    slice_ = pydicom.dcmread(path)
    slice_.file_meta.TransferSyntaxUID = pydicom.uid.RLELossless
    slice_.PixelData = encapsulate([b"\x02" + bytes(63) + b"nonsense" * 8])
    slice_["PixelData"].VR = "OB"
    path.unlink()
    slice_.save_as(path)
    assert {(fault.kind, fault.where) for fault in verify(root, deep=True).faults} == {("scan", B)}
