"""Usual slices, read by many threads at once: 16-bit values of one slice in a file of its own, as they lie there or
compressed without loss.

Everything else, and whatever is odd about such a slice, is left to `decode`, which reads the file anew and says what is
wrong.
"""

import io
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from common.errors import StudyError
from common.reading import unlocked
from common.reading.plausibility.judge import HIGHEST_HU, sampled
from common.reading.sources import Source
from common.reading.stored_values import HIGHEST_TISSUE
from common.resample import AIR_HU

TAGS = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
]
LONGEST_START = 12
"""Bytes of PixelData before its values."""
PIXEL_DATA = b"\xe0\x7f\x10\x00"
IN_ITEMS = b"\xff\xff\xff\xff"
"""Length of PixelData whose values are compressed."""


@dataclass(frozen=True)
class Plain:
    """Where the values of a slice lie: `place`, the first byte; `count` values of 16 bits, little endian, `signed` or
    not, of which `stored` bits count; HU are these plus `intercept`. `padding`: the lowest and highest value that mean
    "no measurement"; None without. `packed`: the transfer syntax of compressed values, whose items begin at `place`."""

    place: int
    count: int
    signed: bool
    stored: int
    intercept: int
    padding: tuple[int, int] | None
    packed: UID | None = None


def plain(stream: BinaryIO, start: bytes, dataset: pydicom.Dataset) -> Plain | None:
    """What to read of a file, whose header `dataset` ended where the first bytes `start` of its pixels were just read
    from `stream`; None for what needs `decode`."""
    try:
        return _plain(stream, start, dataset)
    except Exception:  # values that are missing or damaged: `decode` says which
        return None


def _plain(stream: BinaryIO, start: bytes, dataset: pydicom.Dataset) -> Plain | None:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    packed = syntax if unlocked.decodable(syntax) else None
    if isinstance(stream, io.BytesIO) or not (packed or syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)):
        return None
    explicit = syntax != ImplicitVRLittleEndian
    head = 12 if explicit else 8
    count = _whole(dataset, "Rows") * _whole(dataset, "Columns")
    length = IN_ITEMS if packed else (2 * count).to_bytes(4, "little")
    if start[:4] != PIXEL_DATA or start[head - 4 : head] != length:
        return None
    if explicit and start[4:8] not in (b"OW\0\0", b"OB\0\0"):
        return None
    stored, signed = _whole(dataset, "BitsStored"), _whole(dataset, "PixelRepresentation")
    intercept = _number(dataset, "RescaleIntercept")
    usual = (
        _words(dataset, "PhotometricInterpretation") == "MONOCHROME2"
        and _whole(dataset, "SamplesPerPixel") == 1
        and _whole(dataset, "BitsAllocated") == 16
        and 1 <= stored <= 16
        and _whole(dataset, "HighBit") == stored - 1
        and signed in (0, 1)
        and _words(dataset, "RescaleType") in ("HU", "")
        and _number(dataset, "RescaleSlope") == 1
        and abs(intercept) < 2**15
        and intercept == int(intercept)
    )
    if not usual:
        return None
    padding = None
    if "PixelPaddingValue" in dataset:
        ends = [_whole(dataset, tag, bool(signed)) for tag in TAGS if tag.startswith("PixelPadding") and tag in dataset]
        padding = min(ends), max(ends)
    place = stream.tell() - len(start) + head
    return Plain(place, count, bool(signed), stored, int(intercept), padding, packed)


def read_plain(source: Source, values: Plain, out: np.ndarray, offset: int, voxels: int | None) -> np.ndarray | None:
    """Fills `out` (rows, columns) int16 with HU less `offset`, clipped to [-1024, 32767], and gives a sample (n,) of
    those that aren't padding, with the offset, as `judge.sampled` of a volume of `voxels`. None for what needs
    `decode`: fewer bytes, values of more bits than stored, HU beyond 16 bits. May run in many threads."""
    raw = out.reshape(-1).view("<i2" if values.signed else "<u2")  # the same memory
    if values.count != out.size or not _read_into(raw.reshape(out.shape), source, values):
        return None
    low, high = int(raw.min()), int(raw.max())
    bits = values.stored - values.signed
    intercept = values.intercept - offset
    if high >= 2**bits or low < -(2**bits) * values.signed:
        return None
    # As int16, `raw` neither has other values nor overflows.
    if abs(intercept) > HIGHEST_HU or low + intercept < -HIGHEST_HU or high + max(intercept, 0) > HIGHEST_HU:
        return None
    measured = raw
    if values.padding:
        if values.padding[1] + intercept > HIGHEST_TISSUE:
            return None
        measured = raw[(raw < values.padding[0]) | (raw > values.padding[1])]
    sample = sampled(measured, voxels).astype(np.int32) + values.intercept
    out += np.int16(intercept)
    if low + intercept < AIR_HU:
        np.maximum(out, np.int16(AIR_HU), out=out)
    return sample


def _read_into(raw: np.ndarray, source: Source, values: Plain) -> bool:
    """Fills `raw` (rows, columns) with the values as stored; whether that could be done."""
    try:
        with source.open() as stream:
            stream.seek(values.place)
            if not values.packed:
                read = stream.readinto(raw.view(np.uint8))  # type: ignore[attr-defined]  # BinaryIO doesn't tell of it
                return read == raw.nbytes
            items = stream.read()
    except (OSError, StudyError):
        return False
    return unlocked.decode_into(items, values.packed, raw, values.stored)


def _whole(dataset: pydicom.Dataset, tag: str, signed: bool = False) -> int:
    """By the file's own bytes, as the others below: converting a value takes pydicom longer than reading it."""
    value = dataset.get_item(tag).value
    if not isinstance(value, bytes):
        return int(value)
    if len(value) != 2:
        raise ValueError(f"{tag} of {len(value)} bytes")
    return int.from_bytes(value, "little", signed=signed)


def _number(dataset: pydicom.Dataset, tag: str) -> float:
    return float(dataset.get_item(tag).value)


def _words(dataset: pydicom.Dataset, tag: str) -> str:
    value = dataset.get_item(tag).value if tag in dataset else b""
    return (value or b"").decode("ascii").strip(" \0") if isinstance(value, bytes | None) else str(value)
