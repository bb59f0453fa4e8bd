"""Compressed slices as imagecodecs decodes them are gdcm's bit for bit, or left to it: what it refuses, always."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from common.errors import StudyError
from common.reading import lossless_jpeg, unlocked
from common.reading.decode import _decoded
from common.reading.header import read_header
from common.reading.selftest.specimens import write_slice
from common.reading.sources import Source

SYNTAXES = [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless]


def picture(bits: int, signed: bool, seed: int = 0) -> np.ndarray:
    """(23, 31): noise on a slope, air beside it, and both ends of the range."""
    span, half = 2**bits, 2 ** (bits - 1)
    y, x = np.mgrid[:23, :31]
    values = span * (0.3 + 0.01 * y + 0.005 * x) + np.random.default_rng(seed).normal(0, span / 500, (23, 31))
    values[:, :8] = span // 8
    values[3, 10:13] = 0, span - 1, half
    return (np.rint(values) - half * signed).astype(np.int16 if signed else np.uint16)


def sliced(path: Path, values: np.ndarray, stored: int, syntax: UID, stream: bytes | None = None) -> pydicom.Dataset:
    """A slice of `stored` bits in a file; with `stream` where that isn't what `write_slice` makes of `values`."""
    write_slice(path, values, (0, 0, 0), BitsStored=stored, HighBit=stored - 1, syntax=syntax)
    dataset = pydicom.dcmread(path)
    if stream is not None:
        dataset.PixelData = encapsulate([stream])
        dataset.save_as(path)
    return dataset


def by_gdcm(path: Path, dataset: pydicom.Dataset, syntax: UID) -> np.ndarray | None:
    """None for what it refuses."""
    header = read_header(Source("slice", path=path))
    assert isinstance(header, list)
    try:
        return _decoded(header[0], dataset, syntax)
    except StudyError:
        return None


def by_threads(dataset: pydicom.Dataset, syntax: UID) -> np.ndarray | None:
    """None for what is left to gdcm."""
    out = np.empty((dataset.Rows, dataset.Columns), np.int16 if dataset.PixelRepresentation else np.uint16)
    items = dataset.PixelData + unlocked.NO_MORE_ITEMS
    return out if unlocked.decode_into(items, syntax, out, dataset.BitsStored) else None


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [9, 12, 13, 16])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_streams_of_so_many_bits_are_gdcm_s(syntax: UID, bits: int, signed: bool, tmp_path: Path) -> None:
    values, path = picture(bits, signed), tmp_path / "a"
    pattern = values.view(np.uint16) & (2**bits - 1)  # JPEG knows no sign
    if syntax == JPEGLosslessSV1:
        stream = imagecodecs.jpeg8_encode(pattern, lossless=True, predictor=1, bitspersample=bits)
    elif syntax == JPEG2000Lossless:
        stream = imagecodecs.jpeg2k_encode(values, codecformat="J2K", bitspersample=bits, reversible=True)
    else:
        dataset = sliced(path, values, bits, pydicom.uid.ExplicitVRLittleEndian)
        dataset.compress(JPEGLSLossless, encoding_plugin="pyjpegls")
        stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset = sliced(path, values, bits, syntax, stream)
    decoded, own = by_gdcm(path, dataset, syntax), by_threads(dataset, syntax)
    assert decoded is not None and own is not None
    np.testing.assert_array_equal(decoded, values)
    np.testing.assert_array_equal(own, values)


def test_jpeg2000_whose_sign_is_not_the_header_s(tmp_path: Path) -> None:
    """Some scanners write signed values of 16 bits as if they had no sign; with fewer bits gdcm fills a sign in, and a
    signed stream under an unsigned header is refused."""
    cases = [(16, False, True, False), (13, False, True, True), (16, True, False, True)]
    for bits, own_sign, header_sign, left in cases:
        values, path = picture(bits, own_sign), tmp_path / "a"
        stream = imagecodecs.jpeg2k_encode(values, codecformat="J2K", bitspersample=bits, reversible=True)
        other = values.view(np.int16 if header_sign else np.uint16)
        dataset = sliced(path, other, 16, JPEG2000Lossless, stream)
        own, decoded = by_threads(dataset, JPEG2000Lossless), by_gdcm(path, dataset, JPEG2000Lossless)
        assert (own is None) == left and (decoded is None) == own_sign
        assert own is None or (np.array_equal(own, other) and np.array_equal(own, decoded))


@pytest.mark.parametrize("how", ["predictor", "not reversible", "8 bits", "in boxes", "near-lossless", "other items"])
def test_unusual_streams_are_left_to_gdcm(how: str, tmp_path: Path) -> None:
    values, syntax, after = picture(12, False), JPEG2000Lossless, b""
    if how == "predictor":
        syntax, stream = JPEGLosslessSV1, imagecodecs.jpeg8_encode(values, lossless=True, predictor=2, bitspersample=12)
    elif how == "not reversible":
        stream = imagecodecs.jpeg2k_encode(values, 60, codecformat="J2K", bitspersample=12, reversible=False)
    elif how == "8 bits":
        stream = imagecodecs.jpeg2k_encode((values >> 4).astype(np.uint8), codecformat="J2K", reversible=True)
    elif how == "in boxes":
        stream = imagecodecs.jpeg2k_encode(values, codecformat="JP2", bitspersample=12, reversible=True)
    elif how == "near-lossless":
        syntax, stream = JPEGLSLossless, imagecodecs.jpegls_encode(values, level=3)
    else:
        stream, after = imagecodecs.jpeg2k_encode(values, codecformat="J2K", reversible=True), b"\xfc\xff\xfc\xffOB\0\0"
    out = np.empty_like(values)
    items = encapsulate([stream]) + unlocked.NO_MORE_ITEMS
    assert not unlocked.decode_into(items + after, syntax, out, 12)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_damage_that_gdcm_refuses_is_never_read(syntax: UID, tmp_path: Path) -> None:
    """Bytes lost, blank, changed or inserted anywhere after the headers."""
    path, chance = tmp_path / "a", np.random.default_rng(1)
    values = picture(12, True)
    dataset = sliced(path, values, 16, syntax)
    whole = get_frame(dataset.PixelData, 0, number_of_frames=1)
    start = whole.index(b"\xff\x93" if syntax == JPEG2000Lossless else b"\xff\xda") + 10
    refused = 0
    for _ in range(150):
        place, count = int(chance.integers(start, len(whole))), int(chance.choice([1, 2, 8, 30, 100]))
        filling = [b"", bytes(count), chance.bytes(count), chance.bytes(2 * count)][int(chance.integers(4))]
        damaged = whole[:place] + filling + whole[place + count :]
        dataset.PixelData = encapsulate([damaged])
        decoded, own = by_gdcm(path, dataset, syntax), by_threads(dataset, syntax)
        refused += decoded is None
        assert own is None or (decoded is not None and np.array_equal(own, decoded))
    assert refused > 50


def test_a_byte_lost_of_jpeg2000_is_left_to_gdcm_which_refuses_it(tmp_path: Path) -> None:
    """To OpenJPEG the end marker's first byte is the last of the picture's then, where a byte follows it."""
    path = tmp_path / "a"
    for seed in range(20):
        dataset = sliced(path, picture(12, True, seed), 16, JPEG2000Lossless)
        whole = get_frame(dataset.PixelData, 0, number_of_frames=1)
        if whole.endswith(b"\xff\xd9"):  # of even length
            break
    lost = whole[:-4] + whole[-3:] + b"\0"
    assert imagecodecs.jpeg2k_decode(lost).shape == (23, 31)
    dataset.PixelData = encapsulate([lost])
    assert by_gdcm(path, dataset, JPEG2000Lossless) is None and by_threads(dataset, JPEG2000Lossless) is None


# By hand: codes 0 for no difference, 10 for one of one bit, 11 is no code


def lossless(data: bytes, columns: int = 2) -> bytes:
    frame = struct.pack(">BHHB3B", 16, 2, columns, 1, 1, 0x11, 0)
    table = bytes([0, 1, 1, *[0] * 14, 0, 1])
    parts = [(0xC3, frame), (0xC4, table), (0xDA, bytes([1, 1, 0, 1, 0, 0]))]
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in parts)
    return b"\xff\xd8" + head + data + b"\xff\xd9"


def test_a_picture_fills_its_stream_to_the_last_bit() -> None:
    pixels = np.array([[32768, 32769], [32768, 32768]], np.uint16)  # 0, 10 1; 0, 0; and two ones to fill the byte
    stream = lossless(b"\x53")
    np.testing.assert_array_equal(imagecodecs.jpeg8_decode(stream), pixels)
    assert lossless_jpeg.fills(stream, pixels)
    assert lossless_jpeg.fills(stream + b"\0", pixels) and lossless_jpeg.fills(stream + b"\xff", pixels)
    for data in (b"\x52", b"\x53\x53", b"\x5b"):  # not filled up with ones; goes on; one bit more
        assert not lossless_jpeg.fills(lossless(data), pixels)
    assert not lossless_jpeg.fills(stream, np.full_like(pixels, 32768))
    assert not lossless_jpeg.fills(stream[:-2], pixels)


def test_what_is_no_code_is_noticed_though_a_decoder_takes_it_for_no_difference() -> None:
    """Four pixels without a difference take four bits, 0000, and ones fill the byte. Then, for the last, there's 11."""
    pixels = np.array([[32768, 32768], [32768, 32768]], np.uint16)
    assert lossless_jpeg.fills(lossless(b"\x0f"), pixels)
    decoded = imagecodecs.jpeg8_decode(lossless(b"\x1f"))
    np.testing.assert_array_equal(decoded, pixels)
    assert not lossless_jpeg.fills(lossless(b"\x1f"), decoded)


def test_a_byte_of_ones_and_the_largest_difference() -> None:
    values = np.array([[0, 65535, 0, 32768], [32768, 0, 32768, 65535]], np.uint16).repeat(3, axis=0)
    stream = imagecodecs.jpeg8_encode(values, lossless=True, predictor=1, bitspersample=16)
    assert lossless_jpeg.fills(stream, values)
    noise = np.random.default_rng(0).integers(0, 2**16, (70, 9)).astype(np.uint16)
    stream = imagecodecs.jpeg8_encode(noise, lossless=True, predictor=1, bitspersample=16)
    assert b"\xff\0" in stream[100:] and lossless_jpeg.fills(stream, noise)
    noise[69, 8] ^= 1
    assert not lossless_jpeg.fills(stream, noise)
