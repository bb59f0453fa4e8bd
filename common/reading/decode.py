"""Pixels of one DICOM file as HU."""

import warnings

import numpy as np
import pydicom
from pydicom.pixels import pixel_array
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from common.errors import CorruptFile, UnsupportedStudy
from common.reading.header import parse
from common.reading.sources import Source
from common.resample import AIR_HU

TAGS = [
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
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "PixelData",
]
HIGHEST_HU = np.iinfo(np.int16).max
HIGHEST_TISSUE = 3071
"""HU that 12-bit CT ends at; padding above it is taken for air, padding below it is left as it is."""


def hounsfield(source: Source) -> np.ndarray:
    """(rows, columns) int16 HU of a file, clipped to [-1024, 32767], rounded to whole HU.

    Rescale slope and intercept are the file's own. Compressed pixels are decoded by gdcm, run length by
    pydicom. Raises CorruptFile, UnsupportedStudy.
    """
    with source.open() as stream:
        dataset = parse(source, stream, TAGS, force=True)
    slope, intercept = _rescale(source, dataset)
    raw = _pixels(source, dataset)
    if slope == 1 and intercept == int(intercept):
        hu = raw.astype(np.int32) + int(intercept)
    else:
        hu = np.rint(raw * slope + intercept)
    padding = _padding(dataset)
    if padding is not None and padding * slope + intercept > HIGHEST_TISSUE:
        hu[raw == padding] = AIR_HU
    if hu.max() > HIGHEST_HU:
        raise CorruptFile(f"{source.name}: values up to {hu.max():.0f} can't be HU; export the series again")
    return np.clip(hu, AIR_HU, HIGHEST_HU).astype(np.int16)


def _rescale(source: Source, dataset: pydicom.Dataset) -> tuple[float, float]:
    kind = str(dataset.get("RescaleType") or "HU").upper()
    if kind not in ("HU", "HU_MOD", "US"):
        raise UnsupportedStudy(f"{source.name}: values are `{kind}`, not HU; give the series in HU")
    try:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    except (AttributeError, TypeError, ValueError):
        raise UnsupportedStudy(
            f"{source.name}: no RescaleSlope and RescaleIntercept, so its values can't be brought to HU; "
            "export the original CT series"
        ) from None
    if slope <= 0 or not np.isfinite([slope, intercept]).all():
        raise CorruptFile(f"{source.name}: RescaleSlope {slope}, RescaleIntercept {intercept} give no HU")
    return slope, intercept


def _pixels(source: Source, dataset: pydicom.Dataset) -> np.ndarray:
    if "PixelData" not in dataset:
        raise UnsupportedStudy(f"{source.name}: holds no pixels")
    if dataset.get("SamplesPerPixel", 1) != 1 or dataset.get("PhotometricInterpretation") != "MONOCHROME2":
        raise UnsupportedStudy(
            f"{source.name}: {dataset.get('PhotometricInterpretation')} with {dataset.get('SamplesPerPixel')} "
            "samples per pixel; CT in MONOCHROME2 is read"
        )
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    syntax = dataset.file_meta.TransferSyntaxUID
    plugin = "" if not syntax.is_encapsulated else "pydicom" if syntax == RLELossless else "gdcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixels = pixel_array(dataset, raw=True, decoding_plugin=plugin)
        except NotImplementedError as error:
            raise UnsupportedStudy(f"{source.name}: {syntax.name} isn't decoded here ({error})") from None
        except Exception as error:  # a decoder on damaged bytes may raise anything
            if "is not available" in str(error) or "does not support" in str(error):
                raise UnsupportedStudy(
                    f"{source.name}: {syntax.name} isn't decoded here; convert the series to uncompressed "
                    "(gdcmconv --raw)"
                ) from None
            brief = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise CorruptFile(f"{source.name}: pixels can't be decoded from {syntax.name} ({brief})") from None
    if pixels.shape != (dataset.Rows, dataset.Columns):
        raise CorruptFile(f"{source.name}: decoded to {pixels.shape}, expected {(dataset.Rows, dataset.Columns)}")
    return pixels


def _padding(dataset: pydicom.Dataset) -> float | None:
    value = dataset.get("PixelPaddingValue")
    return float(value) if isinstance(value, int | float) else None
