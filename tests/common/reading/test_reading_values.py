"""Values that aren't HU: repaired where an exact offset explains them, refused by name, or used with a notice."""

import nibabel as nib
import numpy as np
import pydicom
import pytest

from common.dataset.cache import CtCache
from common.errors import CorruptFile, UnsupportedStudy
from common.reading.plausibility.judge import judge
from common.reading.selftest.specimens import compress, random_hu, write_series, write_slice
from common.reading.study import read_study


def neck(noise=12.0, lowest=-1024, seed=0):
    """(48, 48, 40) int16 HU: air, skin of fat (-100), muscle (50), an airway, bones of 300 to 1200."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(np.arange(48) - 23.5, np.arange(48) - 23.5, np.arange(40), indexing="ij")
    radius = np.hypot(x, y)
    hu = np.select([radius > 20, radius > 17], [-1000.0, -100.0], 50.0)
    hu[np.hypot(x, y - 9) < 3] = -980
    bone = (np.hypot(x, y + 6) < 7) & (z % 10 < 8)
    hu[bone] = rng.gamma(2.0, 150.0, int(bone.sum())).clip(0, 1300) + 200
    return np.rint(hu + rng.normal(0, noise, hu.shape)).clip(lowest, 3071).astype(np.int16)


def read_as(kind, values, folder):
    """`values` (X, Y, Z), written as they are and read: NIfTI, or DICOM with a rescale of 1 and 0."""
    if kind == "nifti unsigned":
        values = values.astype(np.uint16 if values.min() >= 0 else np.int16)
    if kind.startswith("nifti"):
        nib.save(nib.Nifti1Image(values, np.eye(4)), folder / "ct.nii.gz")
        return read_study(folder / "ct.nii.gz").volume
    if np.issubdtype(values.dtype, np.floating):
        pytest.skip("DICOM holds whole numbers")
    stored = values.astype(np.uint16 if values.min() >= 0 else np.int16)
    write_series(folder / "ct", stored.transpose(2, 1, 0))
    return read_study(folder / "ct").volume


kinds = pytest.mark.parametrize("kind", ["nifti", "dicom"])
all_kinds = pytest.mark.parametrize("kind", ["nifti", "nifti unsigned", "dicom"])


@kinds
@pytest.mark.parametrize("noise", [4.0, 30.0])
def test_a_neck_in_hu_is_read_without_a_word(tmp_path, kind, noise):
    volume = read_as(kind, neck(noise), tmp_path)
    np.testing.assert_array_equal(volume.array, neck(noise))
    assert volume.notices == ()


def _filled(value):
    hu = neck()
    hu[:4], hu[:, :4], hu[-4:] = value, value, value
    return hu


GOOD = {
    "filled with -3024": lambda: _filled(-3024),
    "filled with -2000": lambda: _filled(-2000),
    "filled with -1000": lambda: _filled(-1000),
    "filled with 0": lambda: _filled(0),
    "hardly any air": lambda: neck()[9:38, 9:33],
    "metal": lambda: np.where((neck() > 900), 3071, neck()).astype(np.int16),
    "agent in vessels": lambda: np.where(random_hu(neck().shape) > 1250, neck() + 250, neck()).astype(np.int16),
}


@kinds
@pytest.mark.parametrize("name", GOOD)
def test_scans_of_other_makes_are_read_without_a_word(tmp_path, kind, name):
    volume = read_as(kind, GOOD[name](), tmp_path)
    np.testing.assert_array_equal(volume.array, np.maximum(GOOD[name](), -1024))
    assert volume.notices == ()


@all_kinds
@pytest.mark.parametrize("offset", [1024, 1000, 1023, 2048, 8192, -1024, -1000])
def test_an_exact_offset_is_repaired_with_a_notice(tmp_path, kind, offset):
    moved = (neck(25.0).astype(int) + offset).astype(np.int16)
    volume = read_as(kind, moved, tmp_path)
    np.testing.assert_array_equal(volume.array, neck(25.0))
    assert f"{abs(offset)} {'subtracted' if offset > 0 else 'added'}" in volume.notices[0]
    assert len(volume.notices) == 1


@all_kinds
@pytest.mark.parametrize("offset", [1024, 2048])
def test_an_offset_is_found_without_any_limit_and_within_a_crop(tmp_path, kind, offset):
    """No value lies at an end of a scanner's range; what is left is hardly any air."""
    hu = neck(20.0, lowest=-1020)[9:38, 9:33].clip(None, 2000)
    volume = read_as(kind, (hu.astype(int) + offset).astype(np.int16), tmp_path)
    np.testing.assert_array_equal(volume.array, hu)
    assert f"{offset} subtracted" in volume.notices[0]


@kinds
def test_rescaled_twice_and_cut_off_at_air_keeps_what_is_left(tmp_path, kind):
    """Muscle of 50 stands at -974 then, all below water is lost."""
    volume = read_as(kind, (neck().astype(int) - 1024).clip(-1024, None).astype(np.int16), tmp_path)
    np.testing.assert_array_equal(volume.array, neck().clip(0, None))
    assert "1024 added" in volume.notices[0] and "cut off at 0 below" in volume.notices[1]


def test_fractions_keep_their_offset_repaired(tmp_path):
    hu = (neck() + np.random.default_rng(1).normal(0, 3, neck().shape)).astype(np.float32)
    volume = read_as("nifti", hu + np.float32(1024), tmp_path)
    assert volume.array.dtype == np.float32
    assert np.abs(volume.array - hu.clip(-1024, None)).max() < 1e-3


@kinds
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda hu: hu.clip(0, None), "cut off at 0 below"),
        (lambda hu: hu.clip(-200, None), "cut off at -200 below"),
        (lambda hu: hu.clip(None, 700), "cut off at 700 above"),
        (lambda hu: hu // 16 * 16, "about 16 HU from one to the next"),
        (lambda hu: (hu + 260).clip(-740, None), "soft tissue lies at 31"),
    ],
    ids=["at 0", "at -200", "at 700", "16 HU", "cone beam"],
)
def test_what_is_usable_with_doubt_is_read_with_a_notice(tmp_path, kind, change, says):
    values = change(neck().astype(int)).astype(np.int16)
    volume = read_as(kind, values, tmp_path)
    np.testing.assert_array_equal(volume.array, values)
    assert any(says in notice for notice in volume.notices), volume.notices


def _window(hu):
    return ((hu + 450.0) / 1500).clip(0, 1)


def _mr(tissue):
    """Dark bone, broad tissues with an uneven coil, noise of a magnitude picture."""
    hu, rng = neck(), np.random.default_rng(2)
    values = np.select([hu < -500, hu < -20, hu < 200], [0.0, 2.2 * tissue, tissue], 0.25 * tissue)
    coil = np.linspace(0.6, 1.4, 48)[:, None, None]
    noise = rng.normal(0, 0.06 * tissue, (2, *hu.shape))
    return np.rint(np.hypot(values * coil + noise[0], noise[1])).astype(np.int16)


BAD = {
    "sign lost, 12 bits": (lambda hu: hu & 0xFFF, "sign looks lost"),
    "sign lost, 16 bits": (lambda hu: (hu & 0xFFFF).astype(np.uint16), "sign looks lost"),
    "8 bits": (lambda hu: (_window(hu) * 255).astype(np.uint8), "window of 8 bits"),
    "min-max": (lambda hu: ((hu - hu.min()) / (hu.max() - hu.min())).astype(np.float32), "min-max"),
    "-1 to 1": (lambda hu: (2 * _window(hu) - 1).astype(np.float32), "min-max"),
    "z-scores": (lambda hu: ((hu - hu.mean()) / hu.std()).astype(np.float32), "z-scores"),
    "percent": (lambda hu: np.rint(100 * _window(hu)).astype(np.uint8), "percent"),
    "x 10": (lambda hu: hu * 10, "another scale"),
    "/ 1000": (lambda hu: (hu / 1000).astype(np.float32), "divided by 1000"),
    "4095 levels": (lambda hu: np.rint(_window(hu) * 4095), "can't be HU"),
    "a mask": (lambda hu: np.where(hu > 300, 3, 0).astype(np.uint8), "labels of a mask"),
    "MR of 300": (lambda hu: _mr(300), "MR"),
    "MR of 60": (lambda hu: _mr(60), "can't be HU"),
    "MR of 1000": (lambda hu: _mr(1000), "can't be HU"),
    "offset of 600": (lambda hu: hu + 600, "no offset that is known"),
}


@kinds
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_hu_is_refused_with_what_it_looks_like(tmp_path, kind, name):
    change, says = BAD[name]
    values = change(neck().astype(np.int32))
    if values.dtype == np.int32 or (values.dtype == np.float64 and (values == np.rint(values)).all()):
        values = values.astype(np.int16)
    with pytest.raises(UnsupportedStudy, match=says) as caught:
        read_as(kind, values, tmp_path)
    assert str(tmp_path) in str(caught.value) and "give the CT in HU" in str(caught.value)


def test_what_holds_no_neck_is_not_judged(tmp_path):
    for number, values in enumerate((np.full((30, 30, 30), 40), random_hu((30, 30, 30)), neck()[:, :, :5] * 10)):
        (tmp_path / str(number)).mkdir()
        read_as("nifti", values.astype(np.int16), tmp_path / str(number))


def test_which_offset_it_was_is_told_by_a_limit_else_by_air():
    """Blanked outside of the body, without air; then with air of -1000 and nothing cut off."""
    body = np.where(neck() < -300, -1024, neck()).astype(int)
    body[body < -1024] = -1024
    for offset in (1000, 1024, 1023, 2000, 2048):
        assert judge((body + offset).ravel(), body.shape).offset == offset
    free = neck(15.0, lowest=-3000).astype(int)
    free[0, 0, 0] = -1100
    for offset in (1000, 1024):
        assert judge((free + offset).ravel(), free.shape).offset == offset


def _tissue(centre, deviation, others=0, apart=0):
    """20,000 dark voxels of noise, 20,000 about `centre`, `others` of these `apart` from it, a few far above."""
    rng = np.random.default_rng(3)
    dark, tissue = np.abs(rng.normal(0, 12, 20_000)), rng.normal(centre, deviation, 20_000).clip(1)
    tissue[:100] = np.linspace(centre + 500, centre + 2000, 100)
    tissue[100 : 100 + others] += apart
    return np.rint(np.concatenate([dark, tissue])).astype(int)


@pytest.mark.parametrize(
    "values",
    [_tissue(1060, 170), _tissue(1060, 30, 9000, -280), _tissue(1060, 40, 8000, 700), _tissue(40, 8)],
    ids=["broad", "two apart", "much above it", "where muscle is"],
)
def test_an_mr_whose_tissue_lies_where_muscle_might_is_refused(values):
    with pytest.raises(UnsupportedStudy, match="MR"):
        judge(values, (40, 40, 25))


def test_padding_of_the_header_is_no_part_of_the_judgement_and_becomes_air(tmp_path):
    """An unsigned series with its intercept left out, padded with 65535."""
    stored = (neck().astype(int) + 1024).astype(np.uint16)
    stored[:20] = 65535
    write_series(tmp_path / "ct", stored.transpose(2, 1, 0), PixelPaddingValue=65535)
    volume = read_study(tmp_path / "ct").volume
    assert (volume.array[:20] == -1024).all()
    np.testing.assert_array_equal(volume.array[20:], neck()[20:])


def test_a_cohort_reads_by_the_same_judgement(tmp_path):
    for name, values in (("a", neck().astype(int) + 1024), ("b", neck().astype(int) & 0xFFF)):
        write_series(tmp_path / name, values.astype(np.uint16).transpose(2, 1, 0))
    cache = CtCache(tmp_path / "cache")
    failed = cache.fill({"a": tmp_path / "a", "b": tmp_path / "b"})
    assert list(failed) == ["b"] and "sign looks lost" in failed["b"]
    assert "1024 subtracted" in cache.volume("a").notices[0]
    assert cache.volume("a").array.min() == -1024 and np.median(cache.volume("a").array[24, 10:14]) < 100


# Bits above those that the header promises


def _beyond(folder, count, process=None, value=4868):
    """Two slices of 1000 pixels and more, `count` of each above 12 bits."""
    stored = np.full((40, 50), 1100, np.uint16)
    stored.reshape(-1)[:count] = value
    for k in range(2):
        path = folder / f"{k}.dcm"
        write_slice(path, stored, (0, 0, k), intercept=-1024)
        if process:
            compress(path, path, process)
        dataset = pydicom.dcmread(path)
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.save_as(path)
    return folder


PROCESSES = [None, "RLELossless", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"]


@pytest.mark.parametrize("process", PROCESSES)
def test_a_few_values_of_one_bit_more_are_kept_with_a_notice(tmp_path, process):
    """4868 - 1024 is 3844 HU: metal, or its rim; 772 - 1024 would be fat."""
    volume = read_study(_beyond(tmp_path, 2, process)).volume
    assert volume.array[:3, 0, 0].tolist() == [3844, 3844, 76]
    assert any("4 values need one bit more than the header promises" in notice for notice in volume.notices)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize(("count", "value"), [(200, 4868), (1, 0x8000 | 1100)])
def test_many_of_them_or_higher_bits_are_refused(tmp_path, process, count, value):
    with pytest.raises(CorruptFile, match=f"0.dcm: {count} values need more than the 12 bits.*up to {value}"):
        read_study(_beyond(tmp_path, count, process, value))
