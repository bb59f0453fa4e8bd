"""Masks made elsewhere: every scheme is read, what can't be true is refused and the refusal says what would help."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from fake_neck import VALUES, moved, neck, renamed, turned
from scipy import ndimage

from common.config import DataSettings
from common.dataset.cache import CtCache
from common.dataset.verify_scans import Job, check_study
from common.errors import ConfigError, GridMismatch, NothingFound, UnsupportedStudy
from common.masks.files import digest, level_in_name
from common.masks.schemes import SCHEMES
from common.masks.segmentation import overlap_of, segmentation_on
from common.outputs import store
from common.reading.nifti import write_nifti
from common.volume import Volume
from stage1_segment.training.samples import write_sample
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.masks import Masks
from stage2_classify.settings import CropSettings

CT, MASK = neck()
OURS = np.minimum(MASK.array, 8)
NUMBERS = {  # of C1..C7, T1, T2, from the tools' own tables
    "merged": (1, 2, 3, 4, 5, 6, 7, 8, 8),
    "rsna": (1, 2, 3, 4, 5, 6, 7, 8, 9),
    "verse": (1, 2, 3, 4, 5, 6, 7, 8, 9),
    "spineps": (1, 2, 3, 4, 5, 6, 7, 8, 9),
    "vertebrae_pp": (1, 2, 3, 4, 5, 6, 7, 8, 9),
    "totalsegmentator": (50, 49, 48, 47, 46, 45, 44, 43, 42),
    "totalsegmentator_v1": (41, 40, 39, 38, 37, 36, 35, 34, 33),
    "vertebrae_mr": (25, 24, 23, 22, 21, 20, 19, 18, 17),
}


def written(tmp_path, mask, name="mask.nii.gz"):
    write_nifti(mask, tmp_path / name)
    return tmp_path / name


def levels_of(mask):
    return sorted(set(np.unique(mask.array).tolist()) - {0})


def folder_of(tmp_path, mask=MASK, names=VALUES, name="parts"):
    folder = tmp_path / name
    folder.mkdir()
    for value, level in enumerate(names, start=1):
        written(folder, mask.with_array((mask.array == value).astype(np.uint8)), f"vertebrae_{level}.nii.gz")
    return folder


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_read(tmp_path, scheme):
    read = segmentation_on(CT, written(tmp_path, renamed(MASK, NUMBERS[scheme])), scheme)
    np.testing.assert_array_equal(read.array, OURS)
    assert read.notices == ()


@pytest.mark.parametrize(
    ("scheme", "others"),
    [
        ("totalsegmentator", (1, 31, 51, 79, 117)),
        ("totalsegmentator_v1", (1, 22, 42, 43, 104)),
        ("verse", (20, 25, 26, 27, 101, 119, 201, 219, 33)),
        ("spineps", (101, 126, 207)),
        ("vertebrae_pp", (20, 24)),
        ("vertebrae_mr", (1, 6)),
    ],
)
def test_what_is_no_vertebra_of_neck_or_chest_is_background(tmp_path, scheme, others):
    array = renamed(MASK, NUMBERS[scheme]).array.copy()
    for k, value in enumerate(others):
        array[:4, 4 * k : 4 * k + 4, :4] = value
    np.testing.assert_array_equal(segmentation_on(CT, written(tmp_path, MASK.with_array(array)), scheme).array, OURS)


def test_t13_of_verse_is_thoracic(tmp_path):
    array = np.where(MASK.array == 9, 28, MASK.array)
    np.testing.assert_array_equal(segmentation_on(CT, written(tmp_path, MASK.with_array(array)), "verse").array, OURS)


@pytest.mark.parametrize(
    ("drawn", "read_as", "fits"),
    [
        ("totalsegmentator_v1", "totalsegmentator", "totalsegmentator_v1"),
        ("vertebrae_pp", "totalsegmentator", "vertebrae_pp"),
        ("rsna", "totalsegmentator", "rsna"),
        ("rsna", "totalsegmentator_v1", "rsna"),
        ("rsna", "merged", "rsna"),
        ("totalsegmentator", "totalsegmentator_v1", "totalsegmentator"),
        ("totalsegmentator", "rsna", "totalsegmentator"),
        ("totalsegmentator", "verse", "totalsegmentator"),
        ("totalsegmentator_v1", "merged", "totalsegmentator_v1"),
        ("vertebrae_mr", "rsna", "vertebrae_mr"),
        ("vertebrae_mr", "verse", "vertebrae_mr"),
        ("vertebrae_mr", "totalsegmentator", "vertebrae_mr"),
    ],
)
def test_a_scheme_that_would_fit_is_named(tmp_path, drawn, read_as, fits):
    path = written(tmp_path, renamed(MASK, NUMBERS[drawn]))
    with pytest.raises(UnsupportedStudy, match=rf"`{fits}`.* would fit \(C1-C7 down the spine\)") as refused:
        segmentation_on(CT, path, read_as)
    assert str(path) in str(refused.value) and f"`{read_as}`" in str(refused.value)


def test_chest_labels_do_not_pass_for_a_neck_under_the_second_table(tmp_path):
    """T3 and T4 of the second table are C1 and C2 of the first: read so, they lie below a whole neck."""
    values = (50, 49, 48, 47, 46, 45, 44, 41, 40)
    with pytest.raises(UnsupportedStudy, match=r"C1-C2 lie below what looks like a neck.*--scheme totalsegmentator$"):
        segmentation_on(CT, written(tmp_path, renamed(MASK, values)), "totalsegmentator_v1")


def test_a_chest_alone_holds_no_level_and_is_no_neck_of_the_first_table(tmp_path):
    """T1..T9 of the second table: T3..T9 are 41..35, C1..C7 of the first, but T2 and T1 stand above them."""
    path = written(tmp_path, renamed(MASK, (43, 42, 41, 40, 39, 38, 37, 36, 35)))
    read = segmentation_on(CT, path, "totalsegmentator")
    assert levels_of(read) == [8] and "no cervical level" in read.notices[0]


def test_an_empty_mask_and_one_of_another_part_are_no_level_in_view(tmp_path):
    empty = segmentation_on(CT, written(tmp_path, MASK.with_array(np.zeros_like(MASK.array))), "rsna")
    assert levels_of(empty) == [] and empty.notices == ()
    lumbar = MASK.with_array(np.where(MASK.array > 5, MASK.array + 14, 0).astype(np.uint8))
    read = segmentation_on(CT, written(tmp_path, lumbar), "verse")
    assert levels_of(read) == [] and "no cervical level" in read.notices[0]


@pytest.mark.parametrize("scheme", ["rsna", "merged", "verse", "vertebrae_pp", "totalsegmentator"])
@pytest.mark.parametrize("name", ["vertebrae_C3.nii.gz", "C3.nii", "mask.nii.gz"])
def test_one_vertebra_as_a_yes_or_no_mask_is_not_answered_as_c1(tmp_path, scheme, name):
    path = written(tmp_path, MASK.with_array((MASK.array == 3).astype(np.uint8)), name)
    with pytest.raises(UnsupportedStudy, match=r"nothing but 1.*one file per vertebra"):
        segmentation_on(CT, path, scheme)


@pytest.mark.parametrize("value", [1, 255])
def test_all_vertebrae_as_a_yes_or_no_mask_are_refused(tmp_path, value):
    for name in ("bone.nii.gz", "vertebrae_C1.nii.gz"):
        path = written(tmp_path, MASK.with_array((MASK.array > 0).astype(np.uint8) * np.uint8(value)), name)
        with pytest.raises(UnsupportedStudy):
            segmentation_on(CT, path, "rsna")


def test_c1_alone_is_read_where_its_name_or_the_end_of_the_scan_says_so(tmp_path):
    alone = MASK.with_array((MASK.array == 1).astype(np.uint8))
    assert levels_of(segmentation_on(CT, written(tmp_path, alone, "vertebrae_C1.nii.gz"), "rsna")) == [1]
    path = written(tmp_path, alone, "head.nii.gz")
    with pytest.raises(UnsupportedStudy):
        segmentation_on(CT, path, "rsna")
    head = CT.crop((0, 0, 75), CT.array.shape)  # ends 17 mm below C1
    assert levels_of(segmentation_on(head, path, "rsna")) == [1]


def test_a_level_larger_than_a_vertebra_is_refused(tmp_path):
    array = np.where((MASK.array > 1) & (MASK.array < 8), 2, MASK.array).astype(np.uint8)
    with pytest.raises(UnsupportedStudy, match=r"what it calls C2 is 1\d\d mm tall"):
        segmentation_on(CT, written(tmp_path, MASK.with_array(array)), "rsna")


def test_upside_down_is_refused(tmp_path):
    path = written(tmp_path, turned(MASK, (2,)))
    with pytest.raises(GridMismatch, match=r"lies \d+ mm above C1; C1 must lie on top"):
        segmentation_on(CT, path, "rsna")
    upward = renamed(MASK, (7, 6, 5, 4, 3, 2, 1, 0, 0))  # counted from below
    with pytest.raises(GridMismatch, match="C7 lies 108 mm above C1"):
        segmentation_on(CT, written(tmp_path, upward), "rsna")


def test_a_spine_that_runs_aside_is_refused(tmp_path):
    affine = MASK.affine[:, [0, 2, 1, 3]]  # a header that has the patient's height along A
    affine[:3, 3] = [-50.0, -100.0, -70.0]
    scan = Volume(CT.array, affine)
    with pytest.raises(GridMismatch, match="runs aside"):
        segmentation_on(scan, written(tmp_path, Volume(MASK.array, affine)), "rsna")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((1, 2, 4, 3, 5, 6, 7, 8, 9), "C4 lies 18 mm above C3"),
        ((2, 3, 4, 5, 6, 7, 1, 0, 0), "C2 lies 108 mm above C1"),
        ((1, 2, 3, 4, 5, 6, 8, 7, 0), "the thoracic part lies 18 mm above C7"),
    ],
)
def test_levels_out_of_order_are_refused(tmp_path, values, says):
    with pytest.raises((UnsupportedStudy, GridMismatch), match=says):
        segmentation_on(CT, written(tmp_path, renamed(MASK, values)), "rsna")


def test_levels_that_are_missing_are_no_fault(tmp_path):
    for values, left in {(1, 2, 0, 0, 5, 6, 7, 8, 0): [1, 2, 5, 6, 7, 8], (0, 0, 0, 4, 0, 0, 0, 0, 0): [4]}.items():
        read = segmentation_on(CT, written(tmp_path, renamed(MASK, values)), "rsna")
        assert levels_of(read) == left and read.notices == ()


@pytest.mark.parametrize("mm", [(10, 0, 0), (-20, 0, 0), (40, 0, 0), (0, 10, 0), (0, -40, 0), (0, 0, 10), (0, 0, -27)])
def test_a_mask_beside_the_bone_is_refused(tmp_path, mm):
    ways = (("left", "right"), ("behind", "in front"), ("lower", "higher"))
    (back,) = [(abs(v), way[v < 0]) for v, way in zip(mm, ways) if v]
    with pytest.raises(GridMismatch, match="beside the bone") as refused:
        segmentation_on(CT, written(tmp_path, moved(MASK, mm)), "rsna")
    said = re.search(r"more of it (\d+) mm (.*?)\)", str(refused.value))
    assert said[2] == back[1] and abs(int(said[1]) - back[0]) <= 2


@pytest.mark.parametrize("axes", [(1,), (0, 1)])
def test_a_mask_front_to_back_is_refused(tmp_path, axes):
    with pytest.raises(GridMismatch, match=r"front to back|beside the bone"):
        segmentation_on(CT, written(tmp_path, turned(MASK, axes)), "rsna")


def test_a_mask_that_is_flipped_where_it_lies_is_refused_and_the_turn_named(tmp_path):
    (box,) = ndimage.find_objects((MASK.array > 0).view(np.uint8))
    array = np.zeros_like(MASK.array)
    array[box] = MASK.array[box][:, ::-1]
    with pytest.raises(GridMismatch, match=r"turned front to back \(mean .*turned back\)"):
        segmentation_on(CT, written(tmp_path, MASK.with_array(array)), "rsna")


def drawn(kind):
    if kind == "generous":
        return ndimage.grey_dilation(MASK.array, size=3)
    if kind == "eroded":
        return np.where(ndimage.binary_erosion(MASK.array > 0), MASK.array, 0)
    return np.where(np.random.default_rng(1).random(MASK.array.shape) < 0.7, MASK.array, 0)


@pytest.mark.parametrize("kind", ["generous", "eroded", "holes"])
def test_true_masks_of_low_quality_are_read(tmp_path, kind):
    read = segmentation_on(CT, written(tmp_path, MASK.with_array(drawn(kind).astype(np.uint8))), "rsna")
    assert levels_of(read) == list(range(1, 9))
    assert ["drawn generously" in notice for notice in read.notices] == [True] * (kind == "generous")


def test_a_coarse_mask_is_read(tmp_path):
    affine = MASK.affine @ np.diag([3, 3, 3, 1])
    affine[:3, 3] = MASK.grid.to_world(np.ones(3))
    coarse = Volume(MASK.array[1::3, 1::3, 1::3], affine)
    assert levels_of(segmentation_on(CT, written(tmp_path, coarse), "rsna")) == list(range(1, 9))


def test_a_shift_within_the_outline_is_read(tmp_path):
    assert levels_of(segmentation_on(CT, written(tmp_path, moved(MASK, (2, 2, 2))), "rsna")) == list(range(1, 9))


def test_a_scan_without_bone_is_told_of(tmp_path):
    flat = CT.with_array(np.full_like(CT.array, 40))
    (notice,) = segmentation_on(flat, written(tmp_path, MASK), "rsna").notices
    assert "hardly more bone" in notice and "mean 40 and 40 HU" in notice


@pytest.mark.parametrize(("shift", "fine"), [(30, True), (70, False)])
def test_half_of_the_mask_must_lie_within_the_scan(tmp_path, shift, fine):
    nothing = Volume(np.zeros((100, 4, 4), np.uint8), np.eye(4))
    scan = Volume(np.zeros((100, 4, 4), np.int16), np.eye(4))
    path = written(tmp_path, moved(nothing, (shift, 0, 0)))
    assert overlap_of(moved(nothing, (shift, 0, 0)).grid, scan.grid) == pytest.approx(1 - shift / 100)
    if fine:
        assert segmentation_on(scan, path, "rsna").array.shape == (100, 4, 4)
    else:
        with pytest.raises(GridMismatch, match="30% of it lies within"):
            segmentation_on(scan, path, "rsna")


def test_a_folder_with_a_file_per_vertebra_is_read_under_any_scheme(tmp_path):
    folder = folder_of(tmp_path)
    organ = MASK.with_array((MASK.array == 0).astype(np.uint8))
    for name in ("vertebrae_L1.nii.gz", "spinal_cord.nii.gz", "rib_left_1.nii.gz"):
        written(folder, organ, name)
    for scheme in ("merged", "totalsegmentator"):
        np.testing.assert_array_equal(segmentation_on(CT, folder, scheme).array, OURS)


def test_a_folder_is_checked_like_a_file(tmp_path):
    upward = folder_of(tmp_path, names=("C7", "C6", "C5", "C4", "C3", "C2", "C1"))
    with pytest.raises(GridMismatch, match="C1 must lie on top"):
        segmentation_on(CT, upward, "merged")
    aside = folder_of(tmp_path, moved(MASK, (40, 0, 0)), name="aside")
    with pytest.raises(GridMismatch, match="beside the bone"):
        segmentation_on(CT, aside, "merged")


def test_folders_that_cannot_be_meant_are_refused(tmp_path):
    folder = folder_of(tmp_path, names=VALUES[:7])
    written(folder, MASK, "C4.nii.gz")
    with pytest.raises(UnsupportedStudy, match="both C4"):
        segmentation_on(CT, folder, "merged")
    (folder / "C4.nii.gz").unlink()
    written(folder, MASK, "vertebrae_C4.nii.gz")
    with pytest.raises(UnsupportedStudy, match="expected one vertebra"):
        segmentation_on(CT, folder, "merged")
    written(folder, MASK.with_array(((MASK.array == 3) | (MASK.array == 4)).astype(np.uint8)), "vertebrae_C4.nii.gz")
    with pytest.raises(UnsupportedStudy, match="another vertebra's"):
        segmentation_on(CT, folder, "merged")
    written(folder, moved(MASK, (2, 0, 0)).with_array((MASK.array == 4).astype(np.uint8)), "vertebrae_C4.nii.gz")
    with pytest.raises(GridMismatch, match="another grid"):
        segmentation_on(CT, folder, "merged")
    empty = tmp_path / "empty"
    empty.mkdir()
    written(empty, MASK, "mask.nii.gz")
    with pytest.raises(NothingFound, match="named by its own path"):
        segmentation_on(CT, empty, "merged")


def test_names_of_files_that_say_a_level(tmp_path):
    names = {"vertebrae_C3.nii.gz": "C3", "c7.nii": "C7", "vertebra_T12.nii.gz": "T12", "ct1.nii": None,
             "C1-C7.nii.gz": None, "1.2.826.0.1.nii.gz": None, "vertebrae_L1.nii.gz": None}  # fmt: skip
    assert {name: level_in_name(tmp_path / name) for name in names} == names


def test_what_stage_1_left_is_not_refused_but_told_of(tmp_path):
    path = written(tmp_path, turned(MASK, (2,)).with_array(OURS))
    with pytest.raises(GridMismatch):
        segmentation_on(CT, path, "merged")
    store.write_record(path, {"ct": "x", "weights": "y"})
    assert any("C1 must lie on top" in notice for notice in segmentation_on(CT, path, "merged").notices)
    written(tmp_path, turned(MASK, (2,)).with_array(np.where(OURS == 8, 0, OURS)))  # other bytes than recorded
    with pytest.raises(GridMismatch):
        segmentation_on(CT, path, "merged")


def test_what_stage_1_left_of_another_study_is_refused(tmp_path):
    path = written(tmp_path, moved(MASK, (41, 0, 0)).with_array(OURS))
    store.write_record(path, {"ct": "x", "weights": "y"})
    with pytest.raises(GridMismatch, match="beside the bone"):
        segmentation_on(CT, path, "merged")


def test_values_that_no_scheme_has_are_refused(tmp_path):
    for value, dtype in ((-3, np.int16), (70000, np.int32), (256, np.int16)):
        array = np.where(MASK.array == 9, value, MASK.array.astype(int)).astype(dtype)
        nib.save(nib.Nifti1Image(array, MASK.affine), tmp_path / "m.nii")
        with pytest.raises(UnsupportedStudy, match=f"label {value}"):
            segmentation_on(CT, tmp_path / "m.nii", "verse")
    write_nifti(MASK.with_array(MASK.array * np.float32(0.5)), tmp_path / "m.nii")
    with pytest.raises(UnsupportedStudy, match="fractions"):
        segmentation_on(CT, tmp_path / "m.nii", "verse")
    write_nifti(MASK.with_array(MASK.array.astype(np.float32)), tmp_path / "m.nii")
    np.testing.assert_array_equal(segmentation_on(CT, tmp_path / "m.nii", "rsna").array, OURS)
    with pytest.raises(ConfigError, match="totalsegmentator_v1"):
        segmentation_on(CT, tmp_path / "m.nii", "nonsense")


def cut(tmp_path, uid, masks):
    data = DataSettings(root=tmp_path, run=tmp_path / "run", workers=0)
    settings = CropSettings(size_mm=(32, 32, 16), min_volume_mm3=500)
    cache = CtCache(data.run / "cache")
    cache.fill({uid: written(tmp_path, CT, "ct.nii.gz")})
    boxes = crop_files.Competition(tmp_path).boxes()
    crop_files._make_one(uid, data, masks, settings, "vertebra3d", boxes, {})
    return crop_files.path_of(data, "vertebra3d", uid)


def test_a_cohort_refuses_before_a_crop_is_cut(tmp_path):
    written(tmp_path, renamed(MASK, NUMBERS["totalsegmentator_v1"]), "1.2.nii.gz")
    with pytest.raises(UnsupportedStudy, match="totalsegmentator_v1"):
        cut(tmp_path, "1.2", Masks(tmp_path, "totalsegmentator"))
    assert not list((tmp_path / "run").rglob("*.npz"))


def test_a_cohort_reads_folders_and_cuts_anew_when_a_file_of_one_changes(tmp_path):
    folder_of(tmp_path, name="1.2")
    masks = Masks(tmp_path, "totalsegmentator")
    crops = crop_files.load(cut(tmp_path, "1.2", masks))
    assert crops.present.all()
    before = masks.provenance("1.2")
    written(tmp_path / "1.2", MASK.with_array((MASK.array == 4).astype(np.uint8) * np.uint8(2)), "vertebrae_C4.nii.gz")
    assert masks.provenance("1.2") != before and json.dumps(before)
    assert masks.provenance("2.3")["mask"] == "absent" == digest(tmp_path / "none")


def test_training_samples_and_verify_refuse_as_well(tmp_path):
    data = CtCache(tmp_path / "cache")
    data.fill({"1.2": written(tmp_path, CT, "ct.nii.gz")})
    aside = written(tmp_path, moved(MASK, (40, 0, 0)), "1.2.nii.gz")
    with pytest.raises(GridMismatch, match="beside the bone"):
        write_sample(data, "1.2", aside, tmp_path / "sample.npz", {}, 2.0)
    assert not (tmp_path / "sample.npz").exists()
    upward = written(tmp_path, renamed(MASK, (7, 6, 5, 4, 3, 2, 1, 0, 0)), "1.3.nii.gz")
    (fault,) = check_study(Job("1.3", None, upward, None, False))
    assert fault.kind == "mask label" and "C1 must lie on top" in fault.detail


def test_a_grid_of_other_order_and_direction_changes_nothing(tmp_path):
    flipped = Volume(MASK.array[::-1, :, ::-1].transpose(2, 0, 1), MASK.affine @ _back(MASK.array.shape))
    assert flipped.grid.to_world(np.zeros(3)) == pytest.approx(MASK.grid.to_world([49, 0, 99]))
    np.testing.assert_array_equal(segmentation_on(CT, written(tmp_path, flipped), "rsna").array, OURS)


def _back(shape):
    """Index of array[::-1, :, ::-1].transpose(2, 0, 1) -> index of array."""
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[0, 1], matrix[1, 2], matrix[3, 3] = -1, -1, 1, 1
    matrix[2, 3], matrix[0, 3] = shape[2] - 1, shape[0] - 1
    return matrix
