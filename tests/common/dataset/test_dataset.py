"""Folds, cache, boxes and the checks of a competition folder."""

import json
import pickle
import subprocess
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest

from common.dataset.cache import CtCache
from common.dataset.competition import Competition
from common.dataset.folds import assign_folds, stored_folds
from common.dataset.verify import verify
from common.errors import ConfigError, DatasetError, NothingFound
from common.labels import LEVELS, TARGETS
from common.masks.segmentation import onto, segmentation_on
from common.reading.nifti import write_nifti
from common.reading.selftest import broken_series
from common.reading.selftest.compare import displacement
from common.reading.selftest.specimens import random_hu, write_series
from common.reading.study import read_study
from common.resample import canonical
from common.volume import Volume


def _labels(studies: int, seed: int = 0) -> pd.DataFrame:
    prevalence = [0.07, 0.14, 0.04, 0.05, 0.08, 0.14, 0.19]  # the competition's, by level
    levels = (np.random.default_rng(seed).random((studies, 7)) < prevalence).astype(int)
    table = pd.DataFrame(levels, columns=list(LEVELS), index=[f"1.{n}" for n in range(studies)])
    table["patient_overall"] = levels.max(axis=1)
    return table.rename_axis("StudyInstanceUID")[list(TARGETS)]


def test_folds_are_stratified(tmp_path):
    labels = _labels(1000)
    folds = assign_folds(labels, 5, seed=0)
    assert folds.index.equals(labels.index)
    assert folds.value_counts().sort_index().tolist() == [200] * 5
    positives = labels["patient_overall"].groupby(folds).sum()
    assert positives.max() - positives.min() <= 7  # a study or less for each stratum
    rarest = labels["C3"].groupby(folds).sum()
    assert rarest.max() - rarest.min() <= 1
    assert not folds.equals(assign_folds(labels, 5, seed=1))


def test_folds_of_few_studies():
    assert sorted(assign_folds(_labels(5), 5, seed=0)) == [0, 1, 2, 3, 4]
    assert assign_folds(_labels(17), 3, seed=0).value_counts().max() <= 7
    with pytest.raises(ConfigError):
        assign_folds(_labels(3), 5, seed=0)


def test_folds_are_stored_and_made_again_when_the_studies_change(tmp_path):
    labels, path = _labels(40), tmp_path / "folds.csv"
    first = stored_folds(path, labels, 4, seed=0)
    written = path.stat().st_mtime_ns
    pd.testing.assert_series_equal(stored_folds(path, labels, 4, seed=0), first, check_names=False)
    assert path.stat().st_mtime_ns == written
    assert list(pd.read_csv(path).columns) == ["StudyInstanceUID", "fold"]
    assert len(stored_folds(path, labels.iloc[:30], 4, seed=0)) == 30
    assert stored_folds(path, labels, 3, seed=0).max() == 2


pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # studies are called a, b, c here


@pytest.fixture
def cohort(tmp_path):
    """Three training studies (a is positive, with boxes and a mask), one test study; no fault."""
    root = tmp_path / "cohort"
    for n, uid in enumerate("abc"):
        write_series(root / "train_images" / uid, random_hu((6, 20, 24), n), StudyInstanceUID=uid, spacing=(0.5, 0.5))
    write_series(root / "test_images" / "t", random_hu((6, 20, 24), 9), StudyInstanceUID="t", spacing=(0.5, 0.5))
    rows = [("a", 1, 0, 1), ("b", 0, 0, 0), ("c", 0, 0, 0)]
    lines = [f"{uid},{overall},{c1},{c2},0,0,0,0,0" for uid, overall, c1, c2 in rows]
    (root / "train.csv").write_text("\n".join(["StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7", *lines, ""]))
    (root / "train_bounding_boxes.csv").write_text(
        "StudyInstanceUID,x,y,width,height,slice_number\na,2,4,6,8,3\na,2.5,4,6,8,4\n"
    )
    (root / "test.csv").write_text("row_id,StudyInstanceUID,prediction_type\nt_C1,t,C1\n")
    (root / "sample_submission.csv").write_text("row_id,fractured\nt_C1,0.5\n")
    scan = canonical(read_study(root / "train_images" / "a").volume)
    labels = (np.arange(scan.array.size).reshape(scan.array.shape) % 20).astype(np.uint8)
    sagittal = scan.affine[:, [1, 2, 0, 3]]
    (root / "segmentations").mkdir()
    nib.save(nib.Nifti1Image(labels.transpose(1, 2, 0), sagittal), root / "segmentations" / "a.nii")
    return root


def test_competition_tables(cohort):
    data = Competition.open(cohort)
    assert data.train_studies() == ["a", "b", "c"]
    assert data.test_studies() == ["t"]
    assert data.train_labels().loc["a"].tolist() == [0, 1, 0, 0, 0, 0, 0, 1]
    assert data.images("b") == cohort / "train_images" / "b"
    assert data.images("t") == cohort / "test_images" / "t"
    assert data.segmented() == ["a"]
    assert data.segmentation("a") == cohort / "segmentations" / "a.nii"
    assert data.segmentation("b") is None
    assert data.boxes()["slice_number"].tolist() == [3, 4]
    assert data.test_rows()["prediction_type"].tolist() == ["C1"]
    assert data.test_labels() is None
    assert data.test_segmentation("t") is None


def test_competition_errors_name_the_file(cohort, tmp_path):
    with pytest.raises(DatasetError, match="absent"):
        Competition.open(tmp_path / "absent")
    (cohort / "train.csv").write_text("StudyInstanceUID,C1\na,0\n")
    with pytest.raises(DatasetError, match=r"train\.csv.*C2"):
        Competition.open(cohort).train_labels()
    header = "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7\n"
    (cohort / "train.csv").write_text(header + "a,1,yes,0,0,0,0,0,0\n")
    with pytest.raises(DatasetError, match="C1 = `yes`"):
        Competition.open(cohort).train_labels()


def test_boxes_in_the_world_by_hand(cohort, tmp_path):
    """Pixel 0.5 mm, slice 1 mm; the first pixel's centre at LPS (-20, -30), slice number 3 at z = 7."""
    cache = CtCache(tmp_path / "cache")
    data = Competition.open(cohort)
    assert cache.fill({"a": data.images("a")}) == {}
    boxes = cache.boxes("a", data.boxes())
    # columns 2 to 8 from the outer corner at LPS x = -20.25: -19.25 .. -16.25, so R 16.25 .. 19.25
    # rows 4 to 12 from LPS y = -30.25: -28.25 .. -24.25, so A 24.25 .. 28.25
    np.testing.assert_allclose(boxes[0], [[16.25, 24.25, 6.5], [19.25, 28.25, 7.5]])
    assert boxes.shape == (2, 2, 3)
    missing = data.boxes().assign(slice_number=99)
    assert cache.boxes("a", missing).shape == (0, 2, 3)


@pytest.fixture
def tilted(cohort):
    """The cohort with a study `d` more, its gantry tilted by 12 degrees: files 1 to 12, 24 columns, 20 rows. A box of
    one pixel, and one over columns 3 to 8, rows 12 to 19."""
    numbers = range(broken_series.SLICES)
    folder = cohort / "train_images" / "d"
    broken_series.write(folder, numbers, broken_series.TILTED, StudyInstanceUID="d")
    for k in reversed(numbers):
        (folder / f"{k:02d}.dcm").rename(folder / f"{k + 1}.dcm")
    with (cohort / "train.csv").open("a") as table:
        table.write("d,1,0,1,0,0,0,0,0\n")
    with (cohort / "train_bounding_boxes.csv").open("a") as table:
        table.write("d,7,11,1,1,9\nd,3,12,6,8,4\n")
    return cohort


def _in_files(column, row, k):
    """RAS mm of a place in the tilted study's files, by their headers: pixels from the first one's centre, slices."""
    along, down = np.array(broken_series.TILTED)
    lps = broken_series.place(k) + column * broken_series.SPACING[1] * along + row * broken_series.SPACING[0] * down
    return lps * [-1, -1, 1]


def test_scan_and_boxes_of_a_tilted_study_lie_where_its_files_say(tilted, tmp_path):
    cache, data = CtCache(tmp_path / "cache"), Competition.open(tilted)
    assert cache.fill({"d": data.images("d")}) == {}
    scan = cache.volume("d")
    assert displacement(scan, broken_series.scanned("gantry tilt")) <= 0.01
    assert "gantry tilt of 12.0 degrees" in scan.notices[0]
    pixel, large = cache.boxes("d", data.boxes())
    np.testing.assert_allclose(pixel.mean(axis=0), _in_files(7, 11, 8), atol=0.01)
    expected, steepness = broken_series.field(pixel.mean(axis=0))
    file = pydicom.dcmread(data.images("d") / "9.dcm").pixel_array[11, 7]
    assert abs(file - expected) / steepness <= 0.01
    corners = [_in_files(c, r, k) for c in (2.5, 8.5) for r in (11.5, 19.5) for k in (2.5, 3.5)]
    np.testing.assert_allclose(large, [np.min(corners, axis=0), np.max(corners, axis=0)], atol=0.01)


@pytest.mark.parametrize("grid", ["upright", "of the files"])
def test_mask_of_a_tilted_study_lies_where_it_was_drawn(tilted, tmp_path, grid):
    """Each voxel labelled by where in the world it lies."""

    def drawn(place):
        return (1 + np.floor((place - [-9, -5, -11]) / [6.1, 3.3, 7.7]).astype(int).sum(axis=-1) % 7).astype(np.uint8)

    cache, data = CtCache(tmp_path / "cache"), Competition.open(tilted)
    cache.fill({"d": data.images("d")})
    scan = cache.volume("d")
    drawn_on = scan.grid if grid == "upright" else cache.source_grid("d")
    places = drawn_on.to_world(np.stack(np.meshgrid(*map(np.arange, drawn_on.shape), indexing="ij"), axis=-1))
    path = tilted / "segmentations" / "d.nii"
    write_nifti(Volume(drawn(places), drawn_on.affine), path)
    mask = segmentation_on(scan, path, "rsna")
    assert mask.grid.matches(scan.grid, 0.01)
    index = np.stack(np.meshgrid(*map(np.arange, scan.grid.shape), indexing="ij"), axis=-1)
    near = np.rint(drawn_on.to_index(scan.grid.to_world(index))).astype(int)
    inside = ((near >= 0) & (near < drawn_on.shape)).all(axis=-1)
    expected = np.where(inside, drawn(drawn_on.to_world(near)), 0)
    assert (mask.array != expected).mean() < 1e-3  # a place halfway between two voxels may fall to either
    assert len(np.unique(mask.array[inside])) == 7
    np.testing.assert_array_equal(onto(mask, scan.grid).array, mask.array)
    assert {fault.kind for fault in verify(tilted).faults if fault.where == "d"} == {"scan"}


def test_tilted_study_is_told_of_and_its_boxes_are_judged_by_its_files(tilted):
    (fault,) = verify(tilted).faults
    assert (fault.kind, fault.where) == ("scan", "d")
    assert "repaired when it is read: gantry tilt of 12.0 degrees" in fault.detail
    with (tilted / "train_bounding_boxes.csv").open("a") as table:
        table.write("d,3,14,6,8,4\n")  # to row 22 of 20, though the upright grid has more rows
    assert {fault.kind for fault in verify(tilted).faults} == {"scan", "box outside"}


def test_cache_crop_equals_the_scan(cohort, tmp_path):
    cache = CtCache(tmp_path / "cache")
    data = Competition.open(cohort)
    studies = {uid: data.images(uid) for uid in "abc"}
    assert cache.fill(studies, workers=2) == {}
    study = read_study(studies["b"])
    scan = canonical(study.volume)
    whole = pickle.loads(pickle.dumps(cache)).volume("b")
    np.testing.assert_array_equal(whole.array, scan.array)
    assert whole.array.dtype == np.int16
    assert whole.grid.matches(scan.grid, 0)
    assert cache.source_grid("b").matches(study.volume.grid, 0)
    assert cache.open("b").slices == study.slices
    crop, expected = cache.open("b").crop([3, -2, 1], [17, 9, 50]), scan.crop([3, -2, 1], [17, 9, 50])
    np.testing.assert_array_equal(crop.array, expected.array)
    assert crop.grid.matches(expected.grid, 1e-9)
    with pytest.raises(NothingFound):
        cache.volume("x")


def test_cache_reads_only_what_changed_and_goes_on_past_a_bad_study(cohort, tmp_path):
    cache = CtCache(tmp_path / "cache")
    studies = {uid: cohort / "train_images" / uid for uid in "abc"}
    cache.fill(studies)
    before = {uid: cache.path(uid).stat().st_mtime_ns for uid in studies}
    assert cache.fill(studies) == {}
    assert before == {uid: cache.path(uid).stat().st_mtime_ns for uid in studies}
    for name in ("3.dcm", "4.dcm"):
        (studies["b"] / name).unlink()
    write_series(studies["c"], random_hu((6, 20, 24), 77), spacing=(0.5, 0.5))
    failed = cache.fill(studies)
    assert list(failed) == ["b"]
    assert "IncompleteSeries" in failed["b"]
    assert cache.path("a").stat().st_mtime_ns == before["a"]
    np.testing.assert_array_equal(cache.volume("c").array, canonical(read_study(studies["c"]).volume).array)


def test_clean_cohort_has_no_fault(cohort):
    report = verify(cohort, deep=True)
    assert report.faults == []
    assert report.counts == {"training studies": 3, "test studies": 1, "masks": 1, "boxes": 2}


def test_every_seeded_fault_is_reported_at_once(cohort):
    with (cohort / "train.csv").open("a") as table:
        table.write("d,0,0,0,0,0,0,0,0\ne,0,0,0,1,0,0,0,0\nf,2,0,0,0,0,0,0,0\nb,0,0,0,0,0,0,0,0\n")
    write_series(cohort / "train_images" / "extra", random_hu((6, 20, 24)))
    (cohort / "train_images" / "c" / "4.dcm").unlink()
    with (cohort / "train_bounding_boxes.csv").open("a") as table:
        table.write("a,20,4,6,8,3\na,2,4,6,8,77\nb,2,4,6,8,3\nz,2,4,6,8,3\na,2,4,-6,8,3\na,2,4,6,8,3\n")
    affine = read_study(cohort / "train_images" / "b").volume.affine.copy()
    affine[0, 3] += 5
    labels = np.zeros((24, 20, 6), np.uint8)
    labels[3, 3, 3] = 42
    nib.save(nib.Nifti1Image(labels, affine), cohort / "segmentations" / "b.nii")
    nib.save(nib.Nifti1Image(labels, affine), cohort / "segmentations" / "nobody.nii")
    (cohort / "segmentations" / "c.nii").write_bytes(b"broken")
    (cohort / "test.csv").write_text("row_id,StudyInstanceUID,prediction_type\nt_C1,t,C1\nt_C9,t,C9\nq_C2,t,C2\n")
    found = {(fault.kind, fault.where) for fault in verify(cohort).faults}
    assert found == {
        ("no images", "d"),
        ("no images", "e"),
        ("no images", "f"),
        ("contradiction", "e"),
        ("label value", "f"),
        ("duplicate row", "b"),
        ("duplicate row", "train_bounding_boxes.csv"),
        ("no row", "extra"),
        ("scan", "c"),
        ("box outside", "a"),
        ("box slice", "a"),
        ("box negative", "b"),
        ("box", "z"),
        ("box", "a"),
        ("mask place", "b"),
        ("mask label", "b"),
        ("mask", "nobody"),
        ("mask", "c"),
        ("test row", "test.csv:3"),
        ("test row", "test.csv:4"),
        ("submission", "t_C9"),
        ("submission", "q_C2"),
    }


def test_verify_command(cohort, tmp_path):
    def command():
        arguments = ["verify", cohort, "--json", tmp_path / "report.json"]
        line = [sys.executable, "-m", "common.dataset", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    assert command().returncode == 0
    (cohort / "train_bounding_boxes.csv").unlink()
    (cohort / "test.csv").write_bytes(b"\xff\xfe\x00")
    result = command()
    assert result.returncode == DatasetError.exit_code
    assert "train_bounding_boxes.csv" in result.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["clean"]
    assert report["faults_by_kind"]["table"] == 2
    assert "Traceback" not in result.stderr
