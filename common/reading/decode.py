"""Pixels of DICOM files as HU."""

import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array
from pydicom.uid import UID, ImplicitVRLittleEndian, JPEGExtended12Bit, JPEGTransferSyntaxes, RLELossless

from common.errors import CorruptFile, StudyError, UnsupportedStudy
from common.reading import captured_stderr, codestream, gdcm_frame
from common.reading.multi_frame import Groups
from common.reading.parse import brief, opened, parse
from common.reading.plausibility.judge import HIGHEST_HU, refuse_beyond, sampled
from common.reading.slice import Slice, with_comma
from common.reading.sources import Source
from common.reading.stored_values import HIGHEST_TISSUE, meaningful, padded
from common.resample import AIR_HU

T = TypeVar("T")

TAGS: list[str | int] = [
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    0x60000102,  # OverlayBitPosition of the first overlay
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
]
COMPLAINTS = ("Corrupt JPEG data", "inconsistent with stream length", "remature end", "unknown marker")
"""What libjpeg and openjpeg print about streams that they go on decoding."""


class Decoder:
    """Turns slices into HU; keeps the last multi-frame file open.

    `offset`: what is to be subtracted from what the files call HU; `voxels`: of the whole volume, then `seen` keeps a
    sample of its values (n,) as the files have them, without padding; `beyond`: how many values were kept that need
    more bits than the header promises."""

    def __init__(self, offset: int = 0, voxels: int | None = None) -> None:
        self._source: Source | None = None
        self._dataset: pydicom.Dataset | None = None
        self.offset, self.voxels = offset, voxels
        self.seen: list[np.ndarray] = []
        self.beyond = 0

    def hounsfield(self, item: Slice) -> np.ndarray:
        """(rows, columns) int16 HU of a slice, clipped to [-1024, 32767], rounded to whole HU.

        Rescale slope and intercept are the slice's own. Compressed pixels are decoded by gdcm, run length by
        pydicom. Raises CorruptFile, UnsupportedStudy.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                hu, padding, beyond = _hounsfield(item, self._parsed(item))
            except StudyError:
                raise
            except Exception as error:  # damaged values raise anything when they are looked at
                raise CorruptFile(
                    f"{item.name}: damaged DICOM ({brief(error)}); copy the study again"
                ) from None
        self.beyond += beyond
        if self.voxels:
            self.seen.append(sampled(hu if padding is None else hu[~padding], self.voxels))
        hu = hu - self.offset
        if padding is not None:
            hu[padding & (hu > HIGHEST_TISSUE)] = AIR_HU
        if hu.max() > HIGHEST_HU:
            refuse_beyond(item.name, hu)
        return np.clip(hu, AIR_HU, HIGHEST_HU).astype(np.int16)

    def _parsed(self, item: Slice) -> pydicom.Dataset:
        if item.frame is not None and item.source == self._source and self._dataset is not None:
            return self._dataset
        with opened(item.source) as stream:
            dataset = parse(item.source, stream, TAGS, force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        if item.frame is not None:
            self._source, self._dataset = item.source, dataset
        return dataset


def _hounsfield(item: Slice, dataset: pydicom.Dataset) -> tuple[np.ndarray, np.ndarray | None, int]:
    """What the file calls HU, unclipped; where it is padding; how many values need more bits than promised."""
    slope, intercept = _rescale(item, dataset)
    raw = _pixels(item, dataset)
    padding = padded(raw, dataset)
    raw, beyond = meaningful(item.name, raw, dataset, padding)
    if slope == 1 and intercept == int(intercept):
        return raw.astype(np.int32) + int(intercept), padding, beyond
    return np.rint(raw * slope + intercept), padding, beyond


def _rescale(item: Slice, dataset: pydicom.Dataset) -> tuple[float, float]:
    if item.frame is None:
        found = [dataset.get(tag) for tag in ("RescaleSlope", "RescaleIntercept", "RescaleType")]
    else:
        groups = Groups(dataset, item.frame)
        tags = ("RescaleSlope", "RescaleIntercept", "RescaleType")
        found = [groups.value("PixelValueTransformationSequence", tag) for tag in tags]
    kind = str(found[2] or "HU").upper()
    if kind not in ("HU", "HU_MOD", "US"):
        raise UnsupportedStudy(f"{item.name}: values are `{kind}`, not HU; give the series in HU")
    try:
        slope, intercept = float(found[0]), float(found[1])
    except (TypeError, ValueError):
        if comma := with_comma(RescaleSlope=found[0], RescaleIntercept=found[1]):
            raise CorruptFile(f"{item.name}: {comma}") from None
        raise UnsupportedStudy(
            f"{item.name}: no RescaleSlope and RescaleIntercept, so its values can't be brought to HU; "
            "export the original CT series"
        ) from None
    if not (1e-4 <= slope <= 1e4 and abs(intercept) <= 1e5):
        raise CorruptFile(f"{item.name}: RescaleSlope {slope}, RescaleIntercept {intercept} give no HU")
    return slope, intercept


def _pixels(item: Slice, dataset: pydicom.Dataset) -> np.ndarray:
    """(rows, columns), as stored."""
    if "PixelData" not in dataset:
        raise UnsupportedStudy(f"{item.name}: holds no pixels; give the CT images themselves")
    if dataset.get("SamplesPerPixel", 1) != 1 or dataset.get("PhotometricInterpretation") != "MONOCHROME2":
        raise UnsupportedStudy(
            f"{item.name}: {dataset.get('PhotometricInterpretation')} with {dataset.get('SamplesPerPixel')} "
            "samples per pixel; CT in MONOCHROME2 is read"
        )
    bits, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    if (
        allocated not in (8, 16, 32)
        or not 1 <= bits <= allocated
        or int(dataset.get("HighBit", bits - 1)) != bits - 1
    ):
        raise CorruptFile(
            f"{item.name}: {bits} bits stored of {allocated}, up to bit {dataset.get('HighBit')}, make no CT; "
            "export the series again"
        )
    if dataset.PixelRepresentation not in (0, 1):
        raise CorruptFile(f"{item.name}: PixelRepresentation {dataset.PixelRepresentation}, expected 0 or 1")
    if (int(dataset.Columns), int(dataset.Rows)) != item.shape:
        raise CorruptFile(f"{item.name}: its header changed while it was read; copy the study again")
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise UnsupportedStudy(f"{item.name}: transfer syntax {syntax} isn't known here; {_CONVERT}")
    if syntax.is_encapsulated:
        pixels = _decoded(item, dataset, syntax)
    else:
        pixels = _attempt(
            item, syntax, lambda: pixel_array(dataset, **_as_stored(item))
        )
    if pixels.shape != item.shape[::-1]:
        raise CorruptFile(
            f"{item.name}: decoded to {pixels.shape}, expected {item.shape[::-1]}; copy the study again"
        )
    return pixels


def _decoded(item: Slice, dataset: pydicom.Dataset, syntax: UID) -> np.ndarray:
    frames = int(dataset.get("NumberOfFrames") or 1)
    stream = _attempt(
        item, syntax, lambda: get_frame(dataset.PixelData, item.frame or 0, number_of_frames=frames)
    )
    promise, asked = _inspect(item, dataset, stream, syntax), _as_stored(item)
    if syntax == RLELossless:
        return _attempt(
            item, syntax, lambda: pixel_array(dataset, decoding_plugin="pydicom", **asked)
        )
    with captured_stderr.captured() as messages:
        if syntax == JPEGExtended12Bit and promise and (bits := promise.bits) > 8:
            pixels = _attempt(item, syntax, lambda: gdcm_frame.decode(stream, dataset, bits))
        else:
            if syntax in JPEGTransferSyntaxes and promise and promise.bits > int(dataset.BitsStored):
                asked["bits_stored"] = promise.bits  # gdcm takes off what lies above
            pixels = _attempt(item, syntax, lambda: pixel_array(dataset, decoding_plugin="gdcm", **asked))
    complaint = next((line for line in messages if any(text in line for text in COMPLAINTS)), None)
    if complaint:
        raise CorruptFile(f"{item.name}: {syntax.name} stream is damaged ({complaint}); copy the study again")
    return pixels


def _as_stored(item: Slice) -> dict:
    """What pydicom is asked for: a slice's values as they are stored. By itself it takes off the bits above BitsStored
    without a word; `meaningful` looks at them."""
    return {"raw": True, "index": item.frame, "correct_unused_bits": False}


def _inspect(item: Slice, dataset: pydicom.Dataset, stream: bytes, syntax: UID) -> codestream.Promise | None:
    try:
        promise = codestream.inspect(stream, syntax, item.shape[0] * item.shape[1])
    except codestream.Damaged as error:
        raise CorruptFile(f"{item.name}: {syntax.name}: {error}; copy the study again") from None
    if promise is None:
        return None
    if (promise.columns, promise.rows, promise.components) != (*item.shape, 1):
        raise CorruptFile(
            f"{item.name}: its {syntax.name} stream holds {promise.columns} x {promise.rows} pixels of "
            f"{promise.components} values, its header says {item.shape[0]} x {item.shape[1]} of 1"
        )
    if promise.bits > int(dataset.BitsAllocated):
        raise CorruptFile(
            f"{item.name}: its stream has {promise.bits} bits, its header {dataset.BitsAllocated}"
        )
    if syntax == JPEGExtended12Bit and promise.bits not in (8, 12):
        raise CorruptFile(
            f"{item.name}: its {syntax.name} stream has {promise.bits} bits, it can have 8 or 12"
        )
    if promise.signed and not dataset.PixelRepresentation:
        raise CorruptFile(
            f"{item.name}: its {syntax.name} stream holds signed values, its header says unsigned, so its HU are "
            "uncertain; export the series again"
        )
    return promise


def _attempt(item: Slice, syntax: UID, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except NotImplementedError as error:
        raise UnsupportedStudy(
            f"{item.name}: {syntax.name} isn't decoded here ({error}); {_CONVERT}"
        ) from None
    except Exception as error:  # a decoder on damaged bytes may raise anything
        if "is not available" in str(error) or "does not support" in str(error):
            raise UnsupportedStudy(f"{item.name}: {syntax.name} isn't decoded here; {_CONVERT}") from None
        raise CorruptFile(
            f"{item.name}: pixels can't be decoded from {syntax.name} ({brief(error)}); copy the study again"
        ) from None


_CONVERT = "convert the series to uncompressed (gdcmconv --raw)"
