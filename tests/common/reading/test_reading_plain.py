"""Usual slices, compressed ones too, are read by threads as the decoder reads them, and left to it where anything is
odd."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from common.errors import CorruptFile
from common.reading import header, plain, unlocked, voxels
from common.reading.selftest.specimens import random_hu, write_series
from common.reading.sources import Source, study_files
from common.reading.study import read_study

SHAPE = (10, 30, 40)
HU = random_hu(SHAPE)
OUTSIDE = np.s_[:, :4]
"""Where the values of some series are those outside of the scanned field."""


def with_outside(value: int, dtype: type = np.int16, raised: int = 0) -> np.ndarray:
    stored = HU.astype(np.int32) + raised
    stored[OUTSIDE] = value
    return stored.astype(dtype)


STRAIGHT = {
    "signed 16 bits": (HU, {}),
    "implicit": (HU, {"syntax": ImplicitVRLittleEndian}),
    "intercept": (HU + 1024, {"intercept": -1024}),
    "unsigned 12 bits": ((HU + 1024).astype(np.uint16), {"intercept": -1024, "BitsStored": 12, "HighBit": 11}),
    "signed 12 bits": (HU, {"BitsStored": 12, "HighBit": 11}),
    "below -1024 is cut off": (with_outside(-3024), {}),
    "padding": (with_outside(-2000), {"PixelPaddingValue": -2000}),
    "padding and a limit": (with_outside(-1900), {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1800}),
    "no RescaleType": (HU, {"RescaleType": None}),
}
PACKED = {
    f"{syntax.keyword}, {name}": (STRAIGHT[name][0], {**STRAIGHT[name][1], "syntax": syntax})
    for syntax in (JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)
    for name in STRAIGHT
    if name != "implicit"
}
LEFT_TO_DECODE = {
    "slope": (HU, {"slope": 0.5}),
    "fraction": (HU, {"intercept": 0.5}),
    "8 bits": ((HU // 16 + 100).astype(np.uint8), {}),
    "padding above tissue": (with_outside(3500), {"PixelPaddingValue": 3500}),
    "padding of the other sign": (
        with_outside(63536, np.uint16, 1024), {"intercept": -1024, "PixelPaddingValue": 63536},
    ),
    "run lengths": (HU, {"syntax": RLELossless}),
    "bits above": (with_outside(4100, np.uint16, 1024), {"intercept": -1024, "BitsStored": 12, "HighBit": 11}),
}  # fmt: skip


def both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[object]]:
    """How many slices were read straight; voxels and notices (or the refusal) with that and without."""
    straight: list[int] = []
    own = voxels._read_straight
    found: list[object] = []
    for read in (lambda *a: straight.append(len(done := own(*a))) or done, lambda *_: set()):
        monkeypatch.setattr(voxels, "_read_straight", read)
        try:
            volume = read_study(folder).volume
            found.append((volume.array.tolist(), volume.notices))
        except Exception as error:
            found.append((type(error), str(error)))
    return straight, found


@pytest.mark.parametrize("name", [*STRAIGHT, *PACKED])
def test_read_straight_as_the_decoder_reads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, how = {**STRAIGHT, **PACKED}[name]
    write_series(tmp_path, stored, **how)
    straight, (own, decoded) = both(tmp_path, monkeypatch)
    assert own == decoded and isinstance(own[0], list) and set(straight) == {len(stored)}


@pytest.mark.parametrize("name", LEFT_TO_DECODE)
def test_what_is_odd_is_left_to_the_decoder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, how = LEFT_TO_DECODE[name]
    write_series(tmp_path, stored, **how)
    straight, (own, decoded) = both(tmp_path, monkeypatch)
    assert own == decoded and set(straight) == {0}


def test_without_imagecodecs_gdcm_decodes_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)  # importing it fails
    unlocked._imagecodecs.cache_clear()
    try:
        write_series(tmp_path, HU, syntax=JPEG2000Lossless)
        straight, (own, decoded) = both(tmp_path, monkeypatch)
    finally:
        monkeypatch.undo()
        unlocked._imagecodecs.cache_clear()
    assert own == decoded and isinstance(own[0], list) and set(straight) == {0}


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_a_compressed_slice_that_is_damaged_is_left_to_the_decoder_which_refuses_it(
    syntax: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, HU, syntax=syntax)
    path = tmp_path / "7.dcm"
    content = path.read_bytes()
    middle = (content.index(plain.PIXEL_DATA) + len(content)) // 2
    path.write_bytes(content[:middle] + content[middle + 100 : -8] + bytes(100) + content[-8:])
    straight, (own, decoded) = both(tmp_path, monkeypatch)
    assert own == decoded and straight == [9] and isinstance(own, tuple) and own[0] is CorruptFile
    assert "7.dcm" in str(own[1])


def test_interpolated_slices_and_files_in_a_zip_are_the_decoder_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, HU)
    (tmp_path / "5.dcm").unlink()
    straight, (own, decoded) = both(tmp_path, monkeypatch)
    assert own == decoded and set(straight) == {0} and "1 slice is missing" in str(own[1])


def test_a_file_cut_off_or_changed_after_its_header_was_read_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, HU)
    whole = (tmp_path / "7.dcm").read_bytes()
    (tmp_path / "7.dcm").write_bytes(whole[:-100])
    with pytest.raises(CorruptFile, match=r"7\.dcm"):
        read_study(tmp_path)
    (tmp_path / "7.dcm").write_bytes(whole)
    own = voxels._read_straight

    def cut_off_before(*given: object) -> set[int]:
        (tmp_path / "7.dcm").write_bytes(whole[:-100])
        return own(*given)

    monkeypatch.setattr(voxels, "_read_straight", cut_off_before)
    with pytest.raises(CorruptFile, match=r"7\.dcm"):
        read_study(tmp_path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_the_place_is_that_of_the_first_value(syntax: str, tmp_path: Path) -> None:
    write_series(tmp_path, HU[:1], syntax=syntax)
    with study_files(tmp_path) as (source,):
        (item,) = header.read_header(source)
    assert item.plain is not None and item.plain.count == HU[0].size
    content = (tmp_path / "1.dcm").read_bytes()
    assert content[item.plain.place :] == HU[0].tobytes()


def test_the_sample_is_every_third_value_with_the_offset_and_without_padding(tmp_path: Path) -> None:
    path = tmp_path / "values"
    path.write_bytes(b"head" + np.array([100, -5, 7, 8, 9, -5, 11, 12], "<i2").tobytes())
    values = plain.Plain(4, 8, True, 16, -24, (-5, -5))
    out = np.empty((2, 4), np.int16)
    sample = plain.read_plain(Source("values", path=path), values, out, 24, 3 * 2**19)
    assert out.tolist() == [[52, -53, -41, -40], [-39, -53, -37, -36]]  # less 24 for the intercept, 24 for the offset
    assert sample is not None and sample.tolist() == [100 - 24, 9 - 24]  # of 100, 7, 8, 9, 11, 12
