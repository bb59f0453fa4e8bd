"""The reader of CT studies against slices written by hand, and against SimpleITK."""

import gzip
import zipfile

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from common.errors import CorruptFile, GridMismatch, IncompleteSeries, NothingFound, UnsupportedStudy
from common.masks.segmentation import segmentation_on
from common.reading.nifti import read_nifti, write_nifti
from common.reading.selftest.specimens import AXIAL, compress, random_hu, write_series, write_slice
from common.reading.sources import Source
from common.reading.study import read_layout, read_study
from common.volume import Volume


def test_order_is_by_position_not_by_file_number(tmp_path):
    hu = random_hu((5, 4, 6))
    write_series(tmp_path, hu, 2.0, names=["10", "9", "100", "1", "7"])
    study = read_study(tmp_path)
    assert study.slices == ("10", "9", "100", "1", "7")
    assert study.uid == "1.2.3"
    assert study.volume.array.dtype == np.int16
    np.testing.assert_array_equal(study.volume.array, hu.transpose(2, 1, 0))
    # LPS (-20, -30, 5) is RAS (20, 30, 5); columns run to the left, rows to posterior
    np.testing.assert_allclose(
        study.volume.affine, [[-1, 0, 0, 20], [0, -1, 0, 30], [0, 0, 2, 5], [0, 0, 0, 1]], atol=1e-12
    )


def test_slices_from_head_to_feet_give_the_same_volume(tmp_path):
    hu = random_hu((5, 4, 6))
    write_series(tmp_path / "up", hu)
    for k in range(5):
        write_slice(tmp_path / "down" / f"{5 - k}.dcm", hu[k], (-20, -30, 5 + k))
    up, down = read_study(tmp_path / "up"), read_study(tmp_path / "down")
    np.testing.assert_array_equal(up.volume.array, down.volume.array)
    assert down.slices == ("5", "4", "3", "2", "1")
    assert up.volume.grid.matches(down.volume.grid, 1e-9)


def test_non_square_pixels(tmp_path):
    write_series(tmp_path, random_hu((3, 4, 6)), spacing=(0.8, 0.5))  # DICOM: between rows first
    np.testing.assert_allclose(read_study(tmp_path).volume.spacing, [0.5, 0.8, 1.0])


def test_oblique_series_lies_where_simpleitk_puts_it(tmp_path):
    tilt, turn = np.radians(25), np.radians(-12)
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    directions = about_z @ about_x
    hu = random_hu((6, 5, 7))
    for k in range(6):
        position = np.array([-12.5, 33.25, -410.0]) + 1.25 * k * directions[:, 2]
        write_slice(tmp_path / f"{k * 7 % 6}.dcm", hu[k], position, tuple(directions[:, :2].T), (0.7, 0.4))
    volume = read_study(tmp_path).volume

    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    image = sitk.ReadImage(list(files))
    assert image.GetSize() == volume.array.shape
    for index in [(0, 0, 0), (6, 4, 5), (2, 3, 1)]:
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        ours = np.rint(volume.grid.to_index(lps * [-1, -1, 1])).astype(int)
        assert volume.array[tuple(ours)] == image[index]
        np.testing.assert_allclose(volume.grid.to_world(ours), lps * [-1, -1, 1], atol=1e-4)


def test_each_slice_has_its_own_rescale(tmp_path):
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4) * 100
    for k, (slope, intercept) in enumerate([(1, -1024), (2, -1000), (0.5, 3)]):
        write_slice(tmp_path / f"{k}.dcm", stored, (0, 0, k), slope=slope, intercept=intercept)
    array = read_study(tmp_path).volume.array
    assert array[1, 0].tolist() == [100 - 1024, 200 - 1000, 53]
    assert array[3, 2].tolist() == [1100 - 1024, 2200 - 1000, 553]


@pytest.mark.parametrize(
    ("dtype", "intercept", "padding"),
    [(np.int16, 0, -2000), (np.int16, -1024, -2000), (np.uint16, -1024, 65535)],
)
def test_padding_becomes_air(tmp_path, dtype, intercept, padding):
    stored = np.full((3, 4), 50 - intercept, dtype=dtype)
    stored[0, 0] = padding
    for k in range(2):
        write_slice(tmp_path / f"{k}.dcm", stored, (0, 0, k), intercept=intercept, PixelPaddingValue=padding)
    array = read_study(tmp_path).volume.array
    assert array[0, 0, 0] == -1024
    assert (array.reshape(-1, 2)[1:] == 50).all()


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        (JPEGLosslessSV1, "JPEGLosslessProcess14_1"),
        (JPEGLSLossless, "JPEGLSLossless"),
        (JPEG2000Lossless, "JPEG2000Lossless"),
        (RLELossless, "RLELossless"),
    ],
)
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_compressed_slices(tmp_path, syntax, name, dtype):
    hu = random_hu((2, 16, 20)) // 4  # gdcm's JPEG writer holds to the bits that are used
    intercept = 0 if dtype is np.int16 else -1024
    for k in range(2):
        write_slice(tmp_path / "raw" / f"{k}.dcm", (hu[k] - intercept).astype(dtype), (0, 0, k), intercept=intercept)
        compress(tmp_path / "raw" / f"{k}.dcm", tmp_path / "packed" / f"{k}.dcm", name)
    volume = read_study(tmp_path / "packed").volume
    np.testing.assert_array_equal(volume.array, hu.transpose(2, 1, 0))


def test_compressed_slice_that_is_cut_off_is_refused(tmp_path):
    for k in range(3):
        write_slice(tmp_path / "raw" / f"{k}.dcm", random_hu((16, 20)), (0, 0, k))
        compress(tmp_path / "raw" / f"{k}.dcm", tmp_path / "packed" / f"{k}.dcm", "JPEGLosslessProcess14_1")
    path = tmp_path / "packed" / "1.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptFile, match=r"1\.dcm"):
        read_study(tmp_path / "packed")


def test_other_files_of_a_study_are_left_out_with_a_notice(tmp_path):
    write_series(tmp_path / "ct", random_hu((3, 4, 6)))
    write_series(tmp_path / "scout", random_hu((1, 4, 6)), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(tmp_path / "mr", random_hu((2, 4, 6)), Modality="MR")
    assert read_study(tmp_path).volume.notices == ("left out: 2 x MR, 1 x CT localizer",)


def test_competition_files_name_no_modality(tmp_path):
    write_series(tmp_path, random_hu((3, 4, 6)), Modality=None, SOPClassUID=None)
    assert read_study(tmp_path).volume.array.shape == (6, 4, 3)


def test_nested_folder_with_stray_files_and_zip_of_it(tmp_path):
    hu = random_hu((4, 4, 6))
    folder = tmp_path / "study"
    write_series(folder / "a" / "b", hu)
    (folder / "notes.txt").write_text("not DICOM")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "a" / "._1.dcm").write_bytes(b"x")
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    for path in (folder, packed):
        study = read_study(path)
        np.testing.assert_array_equal(study.volume.array, hu.transpose(2, 1, 0))
        assert study.slices == ("1", "2", "3", "4")


@pytest.mark.parametrize("member", ["../1.dcm", "/etc/1.dcm", "a/../../1.dcm", "C:\\1.dcm"])
def test_zip_that_points_outside_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(member, b"x")
    with pytest.raises(UnsupportedStudy, match="outside"):
        read_study(tmp_path / "bad.zip")


def test_zip_with_a_link_and_too_large_a_zip_are_refused(tmp_path, monkeypatch):
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsupportedStudy, match="link"):
        read_study(tmp_path / "link.zip")
    monkeypatch.setattr("common.reading.sources.MAX_UNPACKED_BYTES", 100)
    with zipfile.ZipFile(tmp_path / "large.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.dcm", bytes(101))
    with pytest.raises(UnsupportedStudy, match="GiB"):
        read_study(tmp_path / "large.zip")


def _remove(folder):
    (folder / "3.dcm").unlink()
    (folder / "4.dcm").unlink()


def _double(folder):
    content = bytearray((folder / "3.dcm").read_bytes())
    content[-4] ^= 1
    (folder / "copy.dcm").write_bytes(content)


def _truncate(folder):
    path = folder / "3.dcm"
    path.write_bytes(path.read_bytes()[:-20])


def _cut_to_nothing(folder):
    (folder / "3.dcm").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "error", "names"),
    [
        (_remove, IncompleteSeries, r"2\.dcm and 5\.dcm"),
        (_double, IncompleteSeries, "same place"),
        (_truncate, CorruptFile, r"3\.dcm"),
        (_cut_to_nothing, CorruptFile, r"3\.dcm"),
    ],
)
def test_broken_series_is_refused_by_name(tmp_path, damage, error, names):
    write_series(tmp_path, random_hu((7, 4, 6)))
    damage(tmp_path)
    with pytest.raises(error, match=names) as caught:
        read_study(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_tilted_series_lies_where_its_slices_say(tmp_path):
    tilt = np.radians(10)
    directions = (AXIAL[0], (0.0, np.cos(tilt), -np.sin(tilt)))
    hu = random_hu((6, 4, 6))
    for k in range(6):
        write_slice(tmp_path / f"{k}.dcm", hu[k], (0, 0, 2 * k), directions)
    study = read_study(tmp_path)
    volume = study.volume
    assert "gantry tilt of 10.0 degrees" in volume.notices[0]
    np.testing.assert_array_equal(volume.array[:, 2:, 0], hu[0].T)
    for k in range(6):
        np.testing.assert_allclose(study.file_grid.to_world([0, 0, k]), [0, 0, 2 * k], atol=1e-6)
        # each slice's middle lies in its own slice of the upright volume
        assert volume.grid.to_index(study.file_grid.to_world([3, 2, k]))[2] == pytest.approx(k, abs=1e-6)

    write_nifti(volume, tmp_path / "tilted.nii.gz")
    np.testing.assert_allclose(read_nifti(tmp_path / "tilted.nii.gz").affine, volume.affine, atol=1e-5)


def test_positions_rounded_to_a_tenth_are_even_enough(tmp_path):
    for k in range(40):
        write_slice(tmp_path / f"{k}.dcm", random_hu((4, 6)), (0, 0, round(0.625 * k, 1)))
    assert read_study(tmp_path).volume.spacing[2] == pytest.approx(0.625, abs=0.005)


def test_the_larger_of_two_series_is_read_with_a_notice(tmp_path):
    large, small = random_hu((5, 4, 6)), random_hu((3, 4, 6), 1)
    write_series(tmp_path / "a", small, SeriesInstanceUID="1.2.3.0")
    write_series(tmp_path / "b", large)
    volume = read_study(tmp_path).volume
    np.testing.assert_array_equal(volume.array, large.transpose(2, 1, 0))
    assert "2 CT series" in volume.notices[0]


@pytest.mark.parametrize(
    ("tags", "error"),
    [
        ({"Modality": "MR"}, UnsupportedStudy),
        ({"RescaleSlope": None}, UnsupportedStudy),
        ({"PhotometricInterpretation": "MONOCHROME1"}, UnsupportedStudy),
        ({"NumberOfFrames": 2}, UnsupportedStudy),
        ({"ImageOrientationPatient": None}, UnsupportedStudy),
        ({"PixelSpacing": [0, 1]}, CorruptFile),
        ({"PixelSpacing": None}, CorruptFile),
    ],
)
def test_what_is_not_a_plain_ct_is_refused(tmp_path, tags, error):
    write_series(tmp_path, random_hu((3, 4, 6)), **tags)
    with pytest.raises(error):
        read_study(tmp_path)


def test_nothing_found(tmp_path):
    for path in (tmp_path, tmp_path / "absent", tmp_path / "absent.nii.gz"):
        with pytest.raises(NothingFound):
            read_study(path)
    write_series(tmp_path / "ct", random_hu((3, 4, 6)))
    with pytest.raises(UnsupportedStudy, match="folder"):
        read_study(tmp_path / "ct" / "1.dcm")


def test_layout_says_the_same_as_the_study(tmp_path):
    write_series(tmp_path, random_hu((3, 4, 6)))
    layout, study = read_layout(tmp_path), read_study(tmp_path)
    assert layout.grid.matches(study.volume.grid, 0)
    assert (layout.slices, layout.uid) == (study.slices, study.uid)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_round_trip(tmp_path, suffix):
    affine = np.array([[0, 0, -1.5, 10], [0.5, 0, 0, -20], [0, -0.75, 0, 30], [0, 0, 0, 1]])
    volume = Volume(random_hu((4, 5, 6)), affine)
    path = tmp_path / f"ct{suffix}"
    write_nifti(volume, path)
    study = read_study(path)
    np.testing.assert_array_equal(study.volume.array, volume.array)
    np.testing.assert_allclose(study.volume.affine, affine)
    assert study.volume.array.dtype == np.int16
    assert (study.slices, study.uid) == ((), None)
    header = nib.load(path).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    image = sitk.ReadImage(str(path))
    lps = np.array(image.TransformIndexToPhysicalPoint((3, 1, 2)))
    np.testing.assert_allclose(study.volume.grid.to_world([3, 1, 2]), lps * [-1, -1, 1], atol=1e-4)


@pytest.mark.parametrize("kind, slope, start", [(np.int16, 0.5, -3), (np.uint8, 1 / 255, 0), (np.float64, 2, 1)])
def test_values_that_a_nifti_s_header_scales(tmp_path, kind, slope, start):
    """nibabel writes what it is given as it is, and the header beside it."""
    stored = np.arange(24).reshape(2, 3, 4).astype(kind)
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(slope, start)
    nib.save(image, tmp_path / "scaled.nii.gz")
    found = read_nifti(tmp_path / "scaled.nii.gz").array
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.arange(24).reshape(2, 3, 4) * slope + start, rtol=1e-6)


def test_fractions_kept_in_steps(tmp_path):
    """A byte each; 0.5, from which evidence counts, stays on its side."""
    values = np.array([0, 0.25, 0.4999, 0.5, 0.51, 1], np.float32).reshape(1, 2, 3)
    write_nifti(Volume(values, np.diag([2, 1, 1, 1.0])), tmp_path / "kept.nii.gz", 255)
    kept = nib.load(tmp_path / "kept.nii.gz")
    assert kept.get_data_dtype() == np.uint8 and kept.header.get_zooms() == (2, 1, 1)
    found = read_nifti(tmp_path / "kept.nii.gz").array
    assert np.abs(found - values).max() <= 0.5 / 255 + 1e-6 and found.min() == 0 and found.max() == 1
    assert np.array_equal(found >= 0.5, values >= 0.5)


def test_damaged_nifti_is_refused(tmp_path):
    write_nifti(Volume(random_hu((20, 20, 20)), np.eye(4)), tmp_path / "a.nii.gz")
    write_nifti(Volume(random_hu((20, 20, 20)), np.eye(4)), tmp_path / "a.nii")
    packed, plain = (tmp_path / "a.nii.gz").read_bytes(), (tmp_path / "a.nii").read_bytes()
    flipped = bytearray(packed)
    flipped[len(flipped) // 2] ^= 0xFF
    damaged = {
        "cut.nii.gz": packed[: len(packed) // 2],
        "end.nii.gz": packed[:-4],
        "bit.nii.gz": bytes(flipped),
        "inside.nii.gz": gzip.compress(plain[:-2]),
        "cut.nii": plain[:-1],
        "header.nii": plain[:100],
        "empty.nii": b"",
        "text.nii.gz": b"hello",
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorruptFile, match=name):
            read_nifti(tmp_path / name)


def test_unsuitable_nifti_is_refused(tmp_path):
    nan = np.zeros((3, 3, 3), np.float32)
    nan[1, 1, 1] = np.nan
    rgb = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for array in (nan, rgb, np.zeros((3, 3, 3, 2), np.int16), np.zeros((3, 3), np.int16)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "x.nii")
        with pytest.raises(UnsupportedStudy):
            read_nifti(tmp_path / "x.nii")
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3, 1), np.int16), np.eye(4)), tmp_path / "x.nii")
    assert read_nifti(tmp_path / "x.nii").array.shape == (3, 3, 3)
    image = nib.Nifti1Image(np.zeros((3, 3, 3), np.int16), np.eye(4))
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "x.nii")
    with pytest.raises(UnsupportedStudy, match="sform"):
        read_nifti(tmp_path / "x.nii")


def test_sagittal_mask_lands_exactly_on_the_axial_scan(tmp_path):
    """Made by hand: the mask of slice k, row j, column i goes to sagittal (posterior-anterior, superior, right)."""
    hu = random_hu((5, 4, 6))
    write_series(tmp_path / "ct", hu, 2.0, spacing=(0.5, 0.25))
    scan = read_study(tmp_path / "ct").volume
    truth = (np.arange(6 * 4 * 5).reshape(6, 4, 5) % 20).astype(np.uint8)
    # sagittal axes: A (rows backward), S (slices), R (columns backward)
    sagittal = truth[::-1, ::-1, :].transpose(1, 2, 0)
    first = scan.affine @ [5, 3, 0, 1]
    affine = np.array([[0, 0, 0.25, first[0]], [0.5, 0, 0, first[1]], [0, 2.0, 0, first[2]], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.ascontiguousarray(sagittal), affine), tmp_path / "mask.nii")
    mask = segmentation_on(scan, tmp_path / "mask.nii", "rsna")
    assert mask.grid.matches(scan.grid, 0)
    np.testing.assert_array_equal(mask.array, np.minimum(truth, 8))
    # and back: the merged mask, written on the scan's grid, is found again through the sagittal one
    write_nifti(mask, tmp_path / "axial.nii.gz")
    back = segmentation_on(Volume(np.zeros((4, 5, 6), np.int16), affine), tmp_path / "axial.nii.gz", "merged")
    np.testing.assert_array_equal(back.array, np.minimum(sagittal, 8))


def test_mask_of_coarser_grid_is_taken_at_the_nearest_voxel(tmp_path):
    coarse = np.zeros((3, 2, 2), np.uint8)
    coarse[1] = 50  # C1 in TotalSegmentator
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = 0.5  # a coarse voxel covers two fine ones on each axis
    nib.save(nib.Nifti1Image(coarse, affine), tmp_path / "m.nii.gz")
    scan = Volume(np.zeros((6, 4, 4), np.int16), np.eye(4))
    mask = segmentation_on(scan, tmp_path / "m.nii.gz", "totalsegmentator")
    assert [np.unique(plane).tolist() for plane in mask.array] == [[0], [0], [1], [1], [0], [0]]


def test_mask_elsewhere_or_with_unknown_labels_is_refused(tmp_path):
    scan = Volume(np.zeros((6, 4, 4), np.int16), np.eye(4))
    away = np.eye(4)
    away[0, 3] = -6
    nib.save(nib.Nifti1Image(np.zeros((6, 4, 4), np.uint8), away), tmp_path / "m.nii.gz")
    with pytest.raises(GridMismatch):
        segmentation_on(scan, tmp_path / "m.nii.gz", "rsna")
    for value, dtype in ((20, np.uint8), (-3, np.int16), (1000, np.int32), (1.5, np.float32)):
        nib.save(nib.Nifti1Image(np.full((6, 4, 4), value, dtype), np.eye(4)), tmp_path / "m.nii.gz")
        with pytest.raises(UnsupportedStudy, match="fractions" if value == 1.5 else str(value)):
            segmentation_on(scan, tmp_path / "m.nii.gz", "rsna")


@pytest.mark.parametrize("slices", [5, 20])
def test_each_file_is_opened_for_its_header_and_for_its_pixels_and_no_more(tmp_path, monkeypatch, slices):
    """The first one's header is parsed, those of the others are alike: looked at, by their first bytes."""
    write_series(tmp_path, random_hu((slices, 8, 8)))
    opened, own, looked_at, own_start = [], Source.open, [], Source.start
    monkeypatch.setattr(Source, "open", lambda source: opened.append(source.name) or own(source))
    monkeypatch.setattr(Source, "start", lambda source, n: looked_at.append(source.name) or own_start(source, n))
    read_study(tmp_path)
    assert len(opened) == len(looked_at) == slices + 1
    assert {opened.count(name) for name in opened} == {looked_at.count(name) for name in looked_at} == {1, 2}
