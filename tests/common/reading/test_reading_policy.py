"""What is repaired and what is refused: one test for each row of the tables in docs/reading.md.

`broken_series` writes series of a field that rises by 188 HU/mm along a direction of the world, so that every voxel
tells where it was measured; `displacement` is the largest distance between that and where the reader puts it.
"""

import gzip
import struct
import zipfile
import zlib

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from common.errors import CorruptFile, IncompleteSeries, NothingFound, UnsupportedStudy
from common.reading.nifti import read_nifti
from common.reading.selftest import broken_series
from common.reading.selftest.broken_series import CASES, SPACING, TILTED, make_case, pixels, place, scanned, write
from common.reading.selftest.compare import displacement
from common.reading.selftest.specimens import (
    AXIAL,
    SYNTAXES,
    compress,
    random_hu,
    write_enhanced,
    write_series,
    write_slice,
)
from common.reading.study import read_layout, read_study


def measured(volume, fault="none"):
    """mm between where voxels lie and where they were measured."""
    return displacement(volume, scanned(fault))


# What a study can be


def test_folder_with_stray_files_dicomdir_and_names_without_suffix(tmp_path):
    write(tmp_path / "DICOM" / "00001", range(12))
    for file in sorted((tmp_path / "DICOM" / "00001").iterdir()):
        file.rename(file.with_name("IM" + file.stem))
    (tmp_path / "DICOMDIR").write_bytes((tmp_path / "DICOM" / "00001" / "IM00").read_bytes())
    (tmp_path / "README.TXT").write_text("not DICOM")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    study = read_study(tmp_path)
    assert measured(study.volume) <= 0.01
    assert study.slices[0] == "IM00"
    assert study.volume.notices == ()


def test_zip_whose_members_have_the_same_name_is_read_member_by_member(tmp_path):
    write(tmp_path / "a", range(12))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "a").iterdir()):
            with pytest.warns(UserWarning) if file.stem != "00" else _nothing():
                archive.write(file, "same.dcm")
    assert measured(read_study(tmp_path / "a.zip").volume) <= 0.01


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *args):
        return None


def test_zip_with_a_member_without_a_name_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", b"1")
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes().replace(b"x", b"\0"))
    with pytest.raises(CorruptFile, match="without a name"):
        read_study(tmp_path / "a.zip")


def test_zip_that_lies_about_its_size_takes_no_more_than_it_says(tmp_path):
    """The directory says 132 bytes, the member unpacks to 300 MB."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.dcm", bytes(128) + b"DICM" + bytes(300_000_000))
    content = bytearray(path.read_bytes())
    directory = content.rfind(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 132)
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"1\.dcm"):
        read_study(path)


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_transfer_syntaxes(tmp_path, syntax, dtype):
    intercept = 0 if dtype is np.int16 else -1024
    hu = random_hu((3, 16, 20)) // 4  # gdcm's JPEG writer holds to the bits that are used
    write_series(tmp_path, (hu - intercept).astype(dtype), syntax=syntax, intercept=intercept)
    np.testing.assert_array_equal(read_study(tmp_path).volume.array, hu.transpose(2, 1, 0))


def test_baseline_jpeg_within_its_loss(tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(40)) * 2 + 40
    for k in range(2):
        write_slice(tmp_path / "raw" / f"{k}", smooth.astype(np.uint8), (0, 0, k), slope=16, intercept=-1024)
        compress(tmp_path / "raw" / f"{k}", tmp_path / "packed" / f"{k}", "JPEGBaselineProcess1")
    volume = read_study(tmp_path / "packed").volume
    assert np.abs(volume.array[:, :, 0].T - (smooth * 16 - 1024)).max() <= 32
    assert volume.notices == ("the files were compressed with loss",)


def test_extended_jpeg_of_sixteen_bits_is_refused(tmp_path):
    """There is no such thing, but gdcm writes it, and reads it back with 4095 for some zeros."""
    for k in range(2):
        write_slice(tmp_path / "raw" / f"{k}", _smooth_slice(12), (0, 0, k), BitsStored=12, HighBit=11)
        compress(tmp_path / "raw" / f"{k}", tmp_path / "packed" / f"{k}", "JPEGExtendedProcess2_4")
    with pytest.raises(CorruptFile, match="stream has 16 bits, it can have 8 or 12"):
        read_study(tmp_path / "packed")


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless]
)
def test_multi_frame_each_frame_with_its_rescale(tmp_path, syntax):
    hu = random_hu((5, 20, 24))
    positions = np.array([place(k) for k in (4, 2, 0, 1, 3)])
    rescale = [(1, 10), (2, 0), (1, -5), (0.5, 100), (1, 0)]
    write_enhanced(tmp_path / "all", hu, positions, AXIAL, SPACING, rescale, syntax)
    study = read_study(tmp_path)
    for index, frame in enumerate((2, 3, 1, 4, 0)):
        slope, intercept = rescale[frame]
        expected = np.maximum(np.rint(hu[frame] * slope + intercept), -1024)
        np.testing.assert_array_equal(study.volume.array[:, :, index].T, expected)
    assert study.slices == ("all#3", "all#4", "all#2", "all#5", "all#1")
    np.testing.assert_allclose(study.volume.affine, scanned("none").affine, atol=1e-9)


def test_twelve_bits_of_sixteen_signed_without_their_sign_above(tmp_path):
    stored = np.array([[0x0FFF, 0x0800, 0x07FF, 0xFFFE]], np.uint16).view(np.int16)
    for k in range(2):
        write_slice(tmp_path / f"{k}", stored, (0, 0, k), BitsStored=12, HighBit=11)
    assert read_study(tmp_path).volume.array[:, 0, 0].tolist() == [-1, -1024, 2047, -2]


def test_overlay_in_the_unused_bits_is_taken_off_when_the_header_tells_of_it(tmp_path):
    stored = np.array([[1000, 1000 | 0x8000]], np.uint16)
    for k in range(2):
        write_slice(tmp_path / "a" / f"{k}", stored, (0, 0, k), intercept=-1024, BitsStored=12, HighBit=11)
    with pytest.raises(CorruptFile, match="more than the 12 bits"):
        read_study(tmp_path / "a")
    for path in (tmp_path / "a").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.add_new(0x60000102, "US", 15)
        dataset.save_as(path)
    assert read_study(tmp_path / "a").volume.array[:, 0, 0].tolist() == [-24, -24]


def test_padding_range_and_padding_written_with_the_other_sign(tmp_path):
    stored = np.array([[60000, 60005, 63536, 1024]], np.uint16)
    for k in range(2):
        write_slice(tmp_path / "a" / f"{k}", stored, (0, 0, k), intercept=-1024, PixelPaddingValue=60000)
        dataset = pydicom.dcmread(tmp_path / "a" / f"{k}")
        dataset.add_new("PixelPaddingRangeLimit", "US", 63536)
        dataset.save_as(tmp_path / "a" / f"{k}")
        path = tmp_path / "b" / f"{k}"
        write_slice(path, stored[:, 2:], (0, 0, k), intercept=-1024, PixelPaddingValue=63536)
        path.write_bytes(path.read_bytes().replace(b"\x28\x00\x20\x01US", b"\x28\x00\x20\x01SS"))
    assert read_study(tmp_path / "a").volume.array[:, 0, 0].tolist() == [-1024, -1024, -1024, 0]
    assert read_study(tmp_path / "b").volume.array[:, 0, 0].tolist() == [-1024, 0]


@pytest.mark.parametrize(
    ("directions", "normal"),
    [
        (((0, 1, 0), (0, 0, -1)), (-1, 0, 0)),  # sagittal, rows to posterior
        (((1, 0, 0), (0, 0, -1)), (0, 1, 0)),  # coronal
        (((0.8, 0.6, 0), (-0.48, 0.64, 0.6)), (0.36, -0.48, 0.8)),  # oblique
    ],
    ids=["sagittal", "coronal", "oblique"],
)
def test_other_planes_lie_where_they_were_measured(tmp_path, directions, normal):
    for k in range(6):
        position = np.array([1.0, -2, 3]) + 1.5 * k * np.array(normal)
        write_slice(tmp_path / f"{k}", pixels(position, directions), position, directions, SPACING)
    volume = read_study(tmp_path).volume
    index = np.stack(np.meshgrid(*map(np.arange, volume.array.shape), indexing="ij"), axis=-1)
    expected, steepness = broken_series.field(volume.grid.to_world(index))
    assert np.abs(volume.array - np.maximum(expected, -1024)).max() / steepness <= 0.01
    np.testing.assert_allclose(volume.spacing, [0.75, 0.5, 1.5], atol=1e-6)


# Faults of a series


def test_one_missing_slice_is_interpolated_and_flagged(tmp_path):
    study = read_study(make_case("one slice missing", tmp_path))
    assert study.volume.array.shape[2] == 12
    assert measured(study.volume) <= 0.01
    assert "1 slice is missing" in study.volume.notices[0]
    assert study.slices[5] == "" and study.slices.count("") == 1
    assert study.slices[6] == "05"  # files are numbered without a hole


def test_two_missing_slices_in_a_row_among_many(tmp_path):
    write(tmp_path, [k / 4 for k in range(45) if k not in (20, 21)])
    volume = read_study(tmp_path).volume
    assert volume.array.shape[2] == 45
    assert measured(volume) <= 0.01
    assert "2 slices are missing" in volume.notices[0]


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ([0, 1, 2, 6, 7, 8, 9, 10, 11], "3 slices are missing"),
        ([0, 1, 3, 4, 6, 7, 8, 10, 11], "3 slices are missing"),
        ([0, 3, 6, 12, 15], "1 slice is missing"),  # the hole would be 12 mm wide
    ],
)
def test_many_missing_slices_and_wide_holes_are_refused(tmp_path, numbers, says):
    write(tmp_path, numbers)
    with pytest.raises(IncompleteSeries, match=says):
        read_study(tmp_path)


def test_fewer_slices_than_the_header_counts_are_told_of(tmp_path):
    write(tmp_path / "whole", range(12), ImagesInAcquisition=12)
    assert read_study(tmp_path / "whole").volume.notices == ()
    for number, places in enumerate((range(2, 12), range(10))):
        folder = tmp_path / str(number)
        write(folder, places, ImagesInAcquisition=12)
        assert read_study(folder).volume.notices == (
            "the header counts 12 images of this acquisition, 10 are there: the series may be incomplete at an end; "
            "compare with the archive",
        )
        assert read_layout(folder).repairs == ()


def test_what_the_header_may_count_otherwise_is_no_sign_of_missing_slices(tmp_path):
    def notices(name, numbers=range(10), **tags):
        write(tmp_path / name, numbers, **tags)
        return read_study(tmp_path / name).volume.notices

    assert notices("three reconstructions", ImagesInAcquisition=30) == ()
    assert notices("none counted", ImagesInAcquisition=0) == ()
    assert len(notices("a hole", [0, 1, 2, 3, 5, 6, 7, 8, 9], ImagesInAcquisition=10)) == 1  # the hole's own
    write(tmp_path / "numbered anew", range(2), name="z{:d}", ImagesInAcquisition=12, AcquisitionNumber=2)
    assert notices("numbered anew", range(2, 12), ImagesInAcquisition=12) == ()
    write(tmp_path / "scout", [20], name="z{:d}", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert notices("scout", ImagesInAcquisition=11) == ("left out: 1 x CT localizer",)
    write(tmp_path / "two", range(5), name="z{:d}", SeriesInstanceUID="1.2.3.2", ImagesInAcquisition=15)
    assert ["2 CT series" in text for text in notices("two", ImagesInAcquisition=15)] == [True]
    write_series(tmp_path / "odd", random_hu((4, 5, 6)), ImagesInAcquisition=7777)
    for path in (tmp_path / "odd").iterdir():
        path.write_bytes(path.read_bytes().replace(b"7777", b"1e\\9"))
    assert read_study(tmp_path / "odd").volume.notices == ()


def test_doubled_slice_with_the_same_pixels_is_dropped(tmp_path):
    volume = read_study(make_case("slice doubled, same pixels", tmp_path)).volume
    assert measured(volume) <= 0.01
    assert volume.array.shape[2] == 12
    assert volume.notices == ("1 doubled slice with the same pixels dropped",)


def test_doubled_slice_with_other_pixels_is_refused(tmp_path):
    with pytest.raises(IncompleteSeries, match=r"05\.dcm and other\.dcm lie at the same place but differ"):
        read_study(make_case("slice doubled, other pixels", tmp_path))


def test_slightly_uneven_spacing_is_resampled_evenly(tmp_path):
    volume = read_study(make_case("uneven by a tenth", tmp_path)).volume
    assert measured(volume) <= 0.01
    np.testing.assert_allclose(volume.spacing, [0.75, 0.5, 2.0], atol=1e-6)
    assert "gaps of 1.80 to 2.20 mm: resampled to 2.000 mm" in volume.notices[0]


def test_very_uneven_spacing_is_refused(tmp_path):
    with pytest.raises(IncompleteSeries, match=r"gap between 03\.dcm and 04\.dcm is 3\.000 mm, usual 2\.000"):
        read_study(make_case("uneven by a half", tmp_path))


def test_gantry_tilt_is_resampled_into_an_upright_grid(tmp_path):
    study = read_study(make_case("gantry tilt", tmp_path))
    volume = study.volume
    assert displacement(volume, scanned("gantry tilt")) <= 0.01
    axes = volume.affine[:3, :3] / volume.spacing
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-7)
    assert volume.spacing[2] == pytest.approx(2 * np.cos(np.radians(12)), abs=1e-6)
    assert "gantry tilt of 12.0 degrees: resampled into an upright grid" in volume.notices[0]
    # pixels of the files are still to be found: the last slice's first pixel lies 11 steps up
    assert study.file_grid.shape == (24, 20, 12)
    np.testing.assert_allclose(study.file_grid.to_world([0, 0, 11]), place(11) * [-1, -1, 1], atol=1e-5)
    assert read_layout(tmp_path).grid.matches(volume.grid, 1e-9)


def test_tilt_by_whole_pixels_moves_values_unchanged(tmp_path):
    """Rows lie 0.6 mm apart and each slice starts 1.2 mm further along them: two pixels."""
    sine, step = 0.6, 2.0
    directions = ((1.0, 0.0, 0.0), (0.0, 0.8, -sine))
    hu = random_hu((3, 8, 6))
    for k in range(3):
        write_slice(tmp_path / f"{k}", hu[k], (0, 0, step * k), directions, (0.6, 0.6))
    volume = read_study(tmp_path).volume
    assert volume.array.shape == (6, 12, 3)
    for k in range(3):
        # up along z is against the rows' direction (-0.6 of z): slice k starts 2k pixels before the first one
        start = 4 - 2 * k
        np.testing.assert_array_equal(volume.array[:, start : start + 8, k], hu[k].T)
        assert (np.delete(volume.array[:, :, k], range(start, start + 8), axis=1) == -1024).all()


def test_slices_too_far_aslant_or_beside_the_line_are_refused(tmp_path):
    for k in range(6):
        write_slice(
            tmp_path / "aslant" / f"{k}",
            pixels(place(0)),
            place(0) + np.array([0, 3.0 * k, 2.0 * k]),
            AXIAL,
            SPACING,
        )
        write_slice(
            tmp_path / "beside" / f"{k}",
            pixels(place(k)),
            place(k) + np.array([5.0 * (k == 3), 0, 0]),
            AXIAL,
            SPACING,
        )
    with pytest.raises(UnsupportedStudy, match="56 degrees aslant"):
        read_study(tmp_path / "aslant")
    with pytest.raises(UnsupportedStudy, match=r"3: lies 5\.0 mm beside"):
        read_study(tmp_path / "beside")


def test_slice_of_another_matrix_within_the_series_is_refused(tmp_path):
    with pytest.raises(IncompleteSeries, match=r"06b\.dcm: 24 x 16 pixels of 0\.750 mm, the rest"):
        read_study(make_case("a slice of another matrix", tmp_path))


def test_truncated_file_is_refused(tmp_path):
    with pytest.raises(CorruptFile, match=r"05\.dcm"):
        read_study(make_case("truncated file", tmp_path))


def test_file_cut_off_before_its_pixels_is_refused(tmp_path):
    write(tmp_path, range(12))
    dataset = pydicom.dcmread(tmp_path / "07.dcm")
    del dataset.PixelData
    dataset.save_as(tmp_path / "07.dcm")
    with pytest.raises(CorruptFile, match=r"07\.dcm: cut off before its pixels"):
        read_study(tmp_path)


def _smooth_slice(bits):
    y, x = np.mgrid[:128, :128]
    body = np.where(np.hypot(y - 64, x - 64) < 45, 1100.0, 60.0)
    noisy = body + np.random.default_rng(0).normal(0, 10, body.shape)
    return noisy.astype(np.uint16) if bits > 8 else (noisy / 16).astype(np.uint8)


def with_stream(path, change):
    """A compressed file's only frame, its stream replaced by `change(stream)`."""
    dataset = pydicom.dcmread(path)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([bytes(change(stream))])
    dataset.save_as(path)


@pytest.mark.parametrize(
    "process",
    ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless", "JPEGBaselineProcess1"],
)
@pytest.mark.parametrize(
    "damage", ["cut at 0.5", "cut at 0.8", "cut at 0.95", "cut but ended", "blank in the middle", "bytes lost"]
)
def test_damaged_compressed_stream_is_refused(tmp_path, process, damage):
    bits = 8 if process == "JPEGBaselineProcess1" else 12
    if bits == 8 and damage == "blank in the middle":
        pytest.skip("zeros are pixels of a kind in a baseline stream; not every blank stretch shows")
    for k in range(2):
        tags = {"BitsStored": bits, "HighBit": bits - 1}
        write_slice(tmp_path / "raw" / f"{k}", _smooth_slice(bits), (0, 0, k), intercept=-1024, **tags)
        compress(tmp_path / "raw" / f"{k}", tmp_path / "packed" / f"{k}", process)
    assert read_study(tmp_path / "packed").volume.array.shape == (128, 128, 2)
    ways = {
        **{f"cut at {part}": lambda s, part=part: s[: int(part * len(s))] for part in (0.5, 0.8, 0.95)},
        "bytes lost": lambda s: s[: len(s) // 2] + s[len(s) // 2 + len(s) // 20 :],
        "cut but ended": lambda s: s[: len(s) // 2] + b"\xff\xd9",
        "blank in the middle": lambda s: (
            s[: len(s) // 2] + bytes(len(s) // 5) + s[len(s) // 2 + len(s) // 5 :]
        ),
    }
    with_stream(tmp_path / "packed" / "1", ways[damage])
    with pytest.raises(CorruptFile, match="1: "):
        read_study(tmp_path / "packed")


@pytest.mark.parametrize("lost", [20, 400])
@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.8])
def test_run_length_stream_that_lost_or_gained_bytes_is_refused(tmp_path, part, lost):
    """pydicom cuts off what such a stream fills too much, and reads on."""
    for k in range(2):
        write_slice(tmp_path / f"{k}", _smooth_slice(12), (0, 0, k), intercept=-1024, syntax=RLELossless)
    whole = (tmp_path / "1").read_bytes()
    for change in (
        lambda s: s[: int(part * len(s))] + s[int(part * len(s)) + lost :],
        lambda s: s[: int(part * len(s))] + bytes(2 * lost) + s[int(part * len(s)) :],
    ):
        (tmp_path / "1").write_bytes(whole)
        with_stream(tmp_path / "1", change)
        with pytest.raises(CorruptFile, match="1: "):
            read_study(tmp_path)


def test_run_length_stream_with_zeros_after_the_picture_is_read(tmp_path):
    for k in range(2):
        write_slice(tmp_path / f"{k}", _smooth_slice(12), (0, 0, k), intercept=-1024, syntax=RLELossless)
    with_stream(tmp_path / "1", lambda s: s + bytes(6))
    array = read_study(tmp_path).volume.array
    np.testing.assert_array_equal(array[:, :, 1], array[:, :, 0])
    with_stream(tmp_path / "1", lambda s: s + b"\x01\x02\x03\x04")
    with pytest.raises(CorruptFile, match="segment 2 of its stream goes on after the picture"):
        read_study(tmp_path)


def test_stream_of_another_size_than_the_header_says_is_refused_before_it_is_decoded(tmp_path):
    for k in range(2):
        write_slice(tmp_path / "raw" / f"{k}", random_hu((16, 20)) // 4, (0, 0, k))
        compress(tmp_path / "raw" / f"{k}", tmp_path / f"j2k{k}.dcm", "JPEG2000Lossless")
    (tmp_path / "raw").rename(tmp_path / ".raw")

    def promise_more(stream):
        place = stream.find(b"\xff\x51") + 6
        return stream[:place] + struct.pack(">2I", 60_000, 60_000) + stream[place + 8 :]

    with_stream(tmp_path / "j2k1.dcm", promise_more)
    with pytest.raises(CorruptFile, match="stream holds 60000 x 60000 pixels"):
        read_study(tmp_path)


def test_deflated_file_that_never_ends_is_refused(tmp_path, monkeypatch):
    write_series(tmp_path, random_hu((2, 4, 6)), syntax=DeflatedExplicitVRLittleEndian)
    content = (tmp_path / "1.dcm").read_bytes()
    (length,) = struct.unpack("<I", content[140:144])
    unpacked = zlib.decompress(content[144 + length :], -15)
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(unpacked + bytes(5_000_000)) + packer.flush()
    (tmp_path / "1.dcm").write_bytes(content[: 144 + length] + bomb)
    monkeypatch.setattr("common.reading.parse.MAX_FILE_BYTES", 1_000_000)
    with pytest.raises(UnsupportedStudy, match="unpacks to more"):
        read_study(tmp_path)
    (tmp_path / "1.dcm").write_bytes(content[:-20])
    with pytest.raises(CorruptFile, match=r"1\.dcm"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("tags", "error", "says"),
    [
        ({"Modality": "MR"}, UnsupportedStudy, "3 x MR"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, UnsupportedStudy, "RGB"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, UnsupportedStudy, "MONOCHROME1"),
        ({"RescaleSlope": None}, UnsupportedStudy, "RescaleSlope"),
        ({"RescaleType": "OD"}, UnsupportedStudy, "`OD`, not HU"),
        ({"RescaleSlope": 0}, CorruptFile, "give no HU"),
        ({"RescaleIntercept": 40000}, CorruptFile, "can't be HU"),
        ({"ImageOrientationPatient": None}, UnsupportedStudy, "CT without position"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, CorruptFile, "right angles"),
        ({"PixelSpacing": [0, 1]}, CorruptFile, "impossible geometry"),
        ({"NumberOfFrames": 2}, UnsupportedStudy, "not an Enhanced CT"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, UnsupportedStudy, "3 x CT localizer"),
        ({"BitsStored": 40}, CorruptFile, "40 bits stored of 16"),
        ({"Rows": 20_000, "Columns": 20_000}, UnsupportedStudy, "at most 8192"),
        ({"Rows": 8000, "Columns": 8000}, CorruptFile, "can't be decoded"),
    ],
)
def test_what_is_not_a_whole_plain_ct_is_refused(tmp_path, tags, error, says):
    write_series(tmp_path, random_hu((3, 4, 6)), **tags)
    with pytest.raises(error, match=says):
        read_study(tmp_path)


def test_series_without_pixels_and_single_slice_are_refused(tmp_path):
    write(tmp_path / "one", [0])
    with pytest.raises(UnsupportedStudy, match="a single slice"):
        read_study(tmp_path / "one")
    write(tmp_path / "none", range(3))
    for path in (tmp_path / "none").iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.PixelData
        dataset.save_as(path)
    with pytest.raises(UnsupportedStudy, match="holds no pixels"):
        read_study(tmp_path / "none")


def test_volume_larger_than_what_is_read_is_refused_before_memory_is_asked_for(tmp_path):
    """Headers of 20 frames of 8000 x 8000, no pixels behind them."""
    positions = np.array([place(k) for k in range(20)])
    write_enhanced(tmp_path / "a", np.zeros((20, 2, 2), np.int16), positions, AXIAL, SPACING)
    dataset = pydicom.dcmread(tmp_path / "a")
    dataset.Rows = dataset.Columns = 8000
    dataset.save_as(tmp_path / "a")
    with pytest.raises(UnsupportedStudy, match="voxels, at most"):
        read_study(tmp_path)


def test_jpeg2000_of_signed_values_under_an_unsigned_header_is_refused(tmp_path):
    write_series(tmp_path, random_hu((2, 16, 20)), syntax=JPEG2000Lossless)
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PixelRepresentation = 0
        dataset.save_as(path)
    with pytest.raises(CorruptFile, match="signed values, its header says unsigned"):
        read_study(tmp_path)


def test_tilted_series_with_a_hole_is_repaired_in_the_upright_grid(tmp_path):
    write(tmp_path, [k for k in range(12) if k != 7], TILTED)
    volume = read_study(tmp_path).volume
    assert displacement(volume, scanned("gantry tilt")) <= 0.01
    assert len(volume.notices) == 2


# NIfTI


def _nifti(path, array, affine=None):
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


@pytest.mark.parametrize("shape", [(32767, 32767, 1000), (10_000, 10_000, 10_000)])
@pytest.mark.parametrize("packed", [True, False])
def test_nifti_that_promises_a_trillion_voxels_is_refused_before_memory_is_asked_for(tmp_path, shape, packed):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    content = bytearray(image.to_bytes())
    struct.pack_into("<3h", content, 42, *shape)
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(UnsupportedStudy, match="promises"):
        read_nifti(path)


def test_nifti_that_goes_on_and_on_after_its_voxels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("common.reading.nifti.MOST_AFTER_VOXELS", 1000)
    content = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)).to_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(900)))
    assert read_nifti(tmp_path / "a.nii.gz").array.shape == (2, 2, 2)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(10_000_000)))
    with pytest.raises(CorruptFile, match="goes on"):
        read_nifti(tmp_path / "a.nii.gz")


def test_nifti_with_values_that_are_no_hu_is_refused_and_doubts_are_told(tmp_path):
    with pytest.raises(UnsupportedStudy, match="can't be HU"):
        read_study(_nifti(tmp_path / "a.nii", np.full((3, 3, 3), 60_000, np.uint16)))
    assert (
        "perhaps not HU"
        in read_study(_nifti(tmp_path / "b.nii", np.zeros((3, 3, 3), np.int16))).volume.notices[0]
    )
    sheared = np.eye(4)
    sheared[1, 2] = np.tan(np.radians(10))
    notices = read_study(
        _nifti(tmp_path / "c.nii", np.full((3, 3, 3), -500, np.int16), sheared)
    ).volume.notices
    assert notices == ("its axes stand 10.0 degrees off the right angle; used as they are, sheared",)


def test_nifti_infinity_impossible_affine_and_folder_are_refused(tmp_path):
    for name, array, affine in (
        ("inf.nii", np.full((3, 3, 3), np.inf, np.float32), np.eye(4)),
        ("large.nii", np.full((3, 3, 3), 1e300), np.eye(4)),
        ("far.nii", np.zeros((3, 3, 3), np.int16), np.diag([1, 1, 1000.0, 1])),
    ):
        with pytest.raises(UnsupportedStudy):
            read_study(_nifti(tmp_path / name, array, affine))
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(UnsupportedStudy, match="not a file"):
        read_study(tmp_path / "folder.nii")


# The comparison itself


def test_every_case_of_the_comparison_is_read_right_or_refused(tmp_path):
    for number, fault in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = make_case(fault, folder)
        try:
            volume = read_study(path).volume
        except (NothingFound, CorruptFile, IncompleteSeries) as error:
            assert not fault.startswith("none"), f"{fault}: {error}"
            continue
        assert displacement(volume, scanned(fault)) <= 0.01, fault
        assert fault.startswith("none") or volume.notices, fault
