"""The synthetic cohort: who has which fractures, and the files as the competition's."""

import dataclasses
import filecmp
import re
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.pixels import pixel_array
from pydicom.uid import UID

from common.errors import OutputError
from common.phantom.cohort import make_cohort
from common.phantom.file_style import COMPRESSED, UNCOMPRESSED, FileStyle, draw_style
from common.phantom.files.boxes import find_boxes
from common.phantom.files.dicom import write_series
from common.phantom.fractures.prevalence import draw_labels, patterns
from common.phantom.render import Rendered, render
from common.phantom.study import write_segmentation
from common.phantom.study_plan import SAGITTAL, StudyPlan, plan_cohort
from common.volume import Volume

MEASURED = np.array([146, 285, 73, 108, 162, 277, 393]) / 2019
LEVELS = ["C1", "C2", "C3", "C4", "C5", "C6", "C7"]
LABEL_COLUMNS = ["StudyInstanceUID", "patient_overall", *LEVELS]
SEED = 3
MATRIX = 64


def within(share: float, expected: float, n: int) -> bool:
    return abs(share - expected) < 3 * np.sqrt(expected * (1 - expected) / n)


def style(**changes: object) -> FileStyle:
    return dataclasses.replace(draw_style(None, np.random.default_rng(0)), **{**PLAIN, **changes})


PLAIN = {
    "transfer_syntax": str(UNCOMPRESSED[0]),
    "downwards": True,
    "first_number": 1,
    "block_order": (0,),
    "signed": True,
    "slope": 1.0,
    "intercept": 0.0,
    "padding": None,
}


@pytest.fixture(scope="module")
def scan() -> tuple[Volume, Volume]:
    """A noisy block with one bright ellipsoid off its middle, and the ellipsoid's mask."""
    affine = np.diag([0.7, 0.6, 1.25, 1.0])
    affine[:3, 3] = [-31.5, -12.25, 140.5]
    shape = np.array([40, 34, 26])
    index = np.moveaxis(np.indices(shape), 0, -1)
    inside = (((index - [11, 21, 7]) / [6, 4, 5]) ** 2).sum(axis=-1) < 1
    noise = np.random.default_rng(1).normal(0, 40, shape)
    ct = np.clip(np.where(inside, 1400, 40) + noise, -1024, 3071).astype(np.int16)
    return Volume(ct, affine), Volume(inside.astype(np.uint8) * 3, affine)


@pytest.mark.parametrize("seed", [0, 1])
def test_labels_occur_as_measured(seed: int) -> None:
    labels = draw_labels(5000, np.random.default_rng(seed))
    assert within(labels.any(axis=1).mean(), 0.476, 5000)
    for share, expected in zip(labels.mean(axis=0), MEASURED):
        assert within(share, expected, 5000)
    for first, second, together in ((0, 1, 56), (3, 4, 51), (4, 5, 90), (5, 6, 130), (1, 6, 34)):
        assert within((labels[:, first] & labels[:, second]).mean(), together / 2019, 5000)


def test_patterns_are_a_distribution() -> None:
    states, probabilities = patterns()
    assert len({tuple(s) for s in states}) == 128
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities @ states == pytest.approx(MEASURED, abs=0.001)


def test_small_cohorts_have_the_expected_positives() -> None:
    for seed in range(20):
        assert draw_labels(64, np.random.default_rng(seed)).any(axis=1).sum() in (30, 31)  # 0.476 * 64 = 30.5


def test_plans_have_the_shares_and_the_seed_determines_them() -> None:
    plans = plan_cohort(100, 20, SEED)
    assert plans == plan_cohort(100, 20, SEED) != plan_cohort(100, 20, SEED + 1)
    assert len({plan.uid for plan in plans}) == 120
    assert all(re.fullmatch(r"1\.2\.826\.0\.1\.3680043\.\d{1,5}", plan.uid) for plan in plans)
    train, test = plans[:100], plans[100:]
    assert {p.split for p in train} == {"train"} and {p.split for p in test} == {"test"}
    assert sum(p.segmentation is not None for p in train) == 45
    assert sum(p.segmentation in SAGITTAL for p in train) == 22
    positive = [p for p in train if p.fractures]
    assert len(positive) in (47, 48)
    assert sum(p.has_boxes for p in positive) == round(0.75 * len(positive))
    assert not any(p.has_boxes for p in train if not p.fractures) and not any(p.has_boxes for p in test)
    assert all(p.segmentation for p in test)
    assert {p.style.transfer_syntax for p in plans} >= {str(s) for s in COMPRESSED}
    assert {p.style.downwards for p in plans} == {True, False}


def test_a_scan_is_long_enough_for_what_it_must_show() -> None:
    for plan in plan_cohort(400, 0, SEED):
        person = plan.person(256)
        if plan.segmentation:
            assert person.top_cut <= 0.3 and person.bottom_cut <= 0.5
        if "C7" in plan.fractures:
            assert person.bottom_cut <= 0.5
        if "C1" in plan.fractures:
            assert person.top_cut <= 0.3


def test_file_numbers_by_hand() -> None:
    assert style(downwards=False).file_numbers(4).tolist() == [1, 2, 3, 4]
    assert style(downwards=True, first_number=0).file_numbers(4).tolist() == [3, 2, 1, 0]
    # Slices 0 1 | 2 3 | 4; numbered in the order of the blocks 2, 0, 1: slices 4, 0, 1, 2, 3.
    blocks = style(downwards=False, first_number=7, block_order=(2, 0, 1))
    assert blocks.file_numbers(5).tolist() == [8, 9, 10, 11, 7]
    assert sorted(style(block_order=(3, 1, 0, 2)).file_numbers(11)) == list(range(1, 12))


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, *COMPRESSED], ids=lambda s: UID(s).name)
@pytest.mark.parametrize("storage", [(True, 0.0, None), (False, -1024.0, None), (True, -1024.0, -2000)])
def test_every_transfer_syntax_keeps_the_pixels(
    syntax: str, storage: tuple, scan: tuple[Volume, Volume], tmp_path: Path
) -> None:
    signed, intercept, padding = storage
    ct = scan[0].crop([0, 0, 0], [40, 34, 2])
    written = style(transfer_syntax=str(syntax), signed=signed, intercept=intercept, padding=padding, downwards=False)
    write_series(tmp_path, ct, "1.2.3", written)
    for number in (1, 2):
        dataset = pydicom.dcmread(tmp_path / f"{number}.dcm")
        assert dataset.file_meta.TransferSyntaxUID == syntax
        hu = pixel_array(dataset).astype(int) * dataset.RescaleSlope + dataset.RescaleIntercept
        expected = ct.array[::-1, ::-1, number - 1].T  # rows run to posterior, columns to the left
        shown = hu == expected
        if padding is None:
            assert shown.all()
        else:
            assert shown[17, 20] and not shown[0, 0]
            assert (hu[~shown] == padding + intercept).all() and (~shown).mean() < 0.3


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, COMPRESSED[0], COMPRESSED[-2]], ids=lambda s: UID(s).name)
@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34"])  # of odd and of even length
def test_a_slice_s_file_has_the_bytes_that_pydicom_writes(
    syntax: str, uid: str, scan: tuple[Volume, Volume], tmp_path: Path
) -> None:
    written = style(transfer_syntax=str(syntax), padding=-2000, intercept=-1024.0)
    write_series(tmp_path, scan[0], uid, written)
    for number in (1, 10):
        dataset = pydicom.dcmread(tmp_path / f"{number}.dcm")
        assert len(list(dataset.iterall())) > 30  # each is parsed here, and encoded again below
        buffer = BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        assert buffer.getvalue() == (tmp_path / f"{number}.dcm").read_bytes()


@pytest.mark.parametrize("directions", SAGITTAL)
@pytest.mark.parametrize("numbering", [{}, {"downwards": False, "first_number": 9, "block_order": (1, 0, 2)}])
def test_dicom_and_sagittal_nifti_lie_in_the_same_place(
    directions: str, numbering: dict, scan: tuple[Volume, Volume], tmp_path: Path
) -> None:
    ct, labels = scan
    write_series(tmp_path / "series", ct, "1.2.3", style(slope=0.5, intercept=-1024.0, **numbering))
    write_segmentation(tmp_path / "mask.nii", labels, directions)

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    bright = np.argwhere(array > 700)
    centre_lps = image.TransformContinuousIndexToPhysicalPoint(bright.mean(axis=0).tolist())

    mask = nib.load(tmp_path / "mask.nii")
    assert nib.aff2axcodes(mask.affine) == tuple(directions)
    assert mask.get_data_dtype() == np.uint8
    values = np.asarray(mask.dataobj)
    assert set(np.unique(values)) == {0, 3}
    centre = nib.affines.apply_affine(mask.affine, np.argwhere(values == 3)).mean(axis=0)
    by_hand = np.array([-31.5 + 0.7 * 11, -12.25 + 0.6 * 21, 140.5 + 1.25 * 7])
    assert centre == pytest.approx(by_hand, abs=1e-3)
    assert centre_lps * np.array([-1, -1, 1]) == pytest.approx(by_hand, abs=1e-3)
    # SimpleITK gives columns to the left and rows to posterior, slices upward.
    assert np.array_equal(array[::-1, ::-1], ct.array)


def test_headers_are_those_of_an_anonymous_ct(scan: tuple[Volume, Volume], tmp_path: Path) -> None:
    write_series(tmp_path, scan[0], "1.2.3", style(first_number=5, windows=((500, 2000), (40, 400))))
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == list(range(5, 31))
    dataset = pydicom.dcmread(tmp_path / "5.dcm")
    assert dataset.InstanceNumber == 5 and dataset.SOPClassUID == pydicom.uid.CTImageStorage
    assert dataset.PatientID == dataset.StudyInstanceUID == "1.2.3"
    assert "PatientName" not in dataset and "PatientBirthDate" not in dataset
    assert list(dataset.WindowCenter) == [500, 40]
    assert list(dataset.PixelSpacing) == [0.6, 0.7]  # between rows, between columns
    assert list(dataset.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    # Topmost slice, its left-most column in the array is the patient's right-most: x = 31.5 - 0.7 * 39 in LPS.
    assert list(dataset.ImagePositionPatient) == pytest.approx([4.2, -7.55, 171.75])


def test_boxes_by_hand() -> None:
    crossing = np.zeros((30, 30, 8), np.uint8)
    crossing[4:8, 20:22, 2:4] = 5  # RAS; in LPS columns 22..25, rows 8..9
    crossing[24:26, 4:6, 2] = 5  # 16 mm away: a region of its own, columns 4..5, rows 24..25
    crossing[9:10, 20:22, 2] = 5  # 1 mm away: joins the first, column 20
    boxes = find_boxes(Volume(crossing, np.eye(4)), np.arange(100, 108), np.random.default_rng(0))
    assert [box.slice_number for box in boxes] == [102, 102, 103]
    lone, first, above = boxes
    for box, columns, rows in ((first, (20, 26), (8, 10)), (lone, (4, 6), (24, 26)), (above, (22, 26), (8, 10))):
        assert columns[0] - 9 < box.x < columns[0] and columns[1] < box.x + box.width < columns[1] + 9
        assert rows[0] - 9 < box.y < rows[0] and rows[1] < box.y + box.height <= 30


@pytest.fixture(scope="module")
def positive() -> StudyPlan:
    return next(plan for plan in plan_cohort(12, 0, SEED) if len(plan.fractures) >= 1 and plan.segmentation)


@pytest.fixture(scope="module")
def rendered(positive: StudyPlan) -> Rendered:
    return render(positive, MATRIX)


def test_a_rendered_study_shows_what_its_labels_say(positive: StudyPlan, rendered: Rendered) -> None:
    assert rendered.ct.array.dtype == np.int16 and rendered.ct.array.shape[:2] == (MATRIX, MATRIX)
    assert set(range(1, 8)) <= set(np.unique(rendered.labels.array))
    crossed = {f"C{value}" for value in np.unique(rendered.crossing.array) if value}
    assert crossed == set(positive.fractures)


def test_boxes_cover_the_fractures(positive: StudyPlan, rendered: Rendered) -> None:
    numbers = positive.style.file_numbers(rendered.ct.array.shape[2])
    boxes = find_boxes(rendered.crossing, numbers, np.random.default_rng(0))
    seen = set()
    for column, row, k in np.argwhere(rendered.crossing.array[::-1, ::-1] > 0):  # to the left, to posterior
        covering = [
            box
            for box in boxes
            if box.slice_number == numbers[k]
            and box.x <= column < column + 1 <= box.x + box.width
            and box.y <= row < row + 1 <= box.y + box.height
        ]
        assert covering
        seen.update(covering)
    assert seen == set(boxes)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cohort") / "one"
    assert make_cohort(out, 3, 1, SEED, MATRIX, workers=1) == (4, {})
    return out


def test_the_folder_is_laid_out_as_the_competition(cohort: Path) -> None:
    tables = {path.name: pd.read_csv(path) for path in cohort.glob("*.csv")}
    assert {name: list(table.columns) for name, table in tables.items()} == {
        "train.csv": LABEL_COLUMNS,
        "test_labels.csv": LABEL_COLUMNS,
        "train_bounding_boxes.csv": ["StudyInstanceUID", "x", "y", "width", "height", "slice_number"],
        "test.csv": ["row_id", "StudyInstanceUID", "prediction_type"],
        "sample_submission.csv": ["row_id", "fractured"],
    }
    train, test = tables["train.csv"], tables["test.csv"]
    assert sorted(p.name for p in (cohort / "train_images").iterdir()) == sorted(train.StudyInstanceUID)
    assert sorted(p.name for p in (cohort / "test_images").iterdir()) == sorted(test.StudyInstanceUID.unique())
    assert (train.patient_overall == train[LEVELS].max(axis=1)).all()
    assert test.prediction_type.tolist() == [*LEVELS, "patient_overall"]
    assert (test.row_id == test.StudyInstanceUID + "_" + test.prediction_type).all()
    assert (tables["sample_submission.csv"].fractured == 0.5).all()
    assert {p.stem for p in (cohort / "segmentations").glob("*.nii")} <= set(train.StudyInstanceUID)
    assert {p.stem for p in (cohort / "test_segmentations").glob("*.nii")} == set(test.StudyInstanceUID)
    boxes = tables["train_bounding_boxes.csv"]
    positive = set(train.StudyInstanceUID[train.patient_overall == 1])
    assert len(boxes) and set(boxes.StudyInstanceUID) <= positive
    for uid, number in zip(boxes.StudyInstanceUID, boxes.slice_number):
        assert (cohort / "train_images" / uid / f"{number}.dcm").exists()


def test_two_workers_write_the_same_bytes(cohort: Path) -> None:
    other = cohort.with_name("two")
    assert make_cohort(other, 3, 1, SEED, MATRIX, workers=2) == (4, {})
    files = [
        sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file() and ".phantom" not in p.parts)
        for root in (cohort, other)
    ]
    assert files[0] == files[1] and len(files[0]) > 100
    assert filecmp.cmpfiles(cohort, other, [str(p) for p in files[0]], shallow=False)[1:] == ([], [])


def test_only_what_is_missing_is_made_again(cohort: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in cohort.rglob("*") if p.is_file()}
    assert make_cohort(cohort, 3, 1, SEED, MATRIX, workers=1) == (0, {})
    assert {p: p.stat().st_mtime_ns for p in cohort.rglob("*") if p.is_file()} == before
    uid = pd.read_csv(cohort / "train.csv").StudyInstanceUID[0]
    lost = next((cohort / "train_images" / uid).iterdir())
    content = lost.read_bytes()
    lost.unlink()
    assert make_cohort(cohort, 3, 1, SEED, MATRIX, workers=1) == (1, {})
    assert lost.read_bytes() == content


def test_a_study_that_fails_is_counted_and_left_out_of_the_tables(tmp_path: Path) -> None:
    (uid,) = (plan.uid for plan in plan_cohort(1, 1, SEED) if plan.split == "test")
    (tmp_path / "test_segmentations" / f"{uid}.nii").mkdir(parents=True)  # in the way
    made, failures = make_cohort(tmp_path, 1, 1, SEED, MATRIX, workers=1)
    assert made == 1 and list(failures) == [uid] and "test_segmentations" in failures[uid]
    assert f" {uid}\nTraceback" in (tmp_path / "failures.log").read_text()
    assert len(pd.read_csv(tmp_path / "train.csv")) == 1 and len(pd.read_csv(tmp_path / "test.csv")) == 0


def test_a_dataset_made_elsewhere_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("mine")
    with pytest.raises(OutputError, match="choose another folder"):
        make_cohort(tmp_path, 1, 0, SEED, MATRIX, workers=1)
    assert (tmp_path / "train.csv").read_text() == "mine"
