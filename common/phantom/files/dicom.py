"""One study as a folder of axial CT slices, written as the competition's: anonymous, `<n>.dcm`."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.valuerep import format_number_as_ds

from common.phantom.file_style import COMPRESSED, FileStyle
from common.phantom.files.orientation import oriented
from common.phantom.files.slice_file import SliceFiles
from common.reading.encode import encode
from common.volume import Volume

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
"""DICOM's patient frame points left, posterior, superior."""


def write_series(folder: Path, ct: Volume, study_uid: str, style: FileStyle) -> None:
    """Writes `ct` (X, Y, Z) int16 HU as `folder`/<n>.dcm, one file for each axial slice.

    Columns run to the left, rows to posterior, whatever the axes of `ct`. Values outside of what the style can
    store are clipped.
    """
    volume = oriented(ct, "LPS")
    slices = volume.array.shape[2]
    frames = _slices_first(volume.array)
    positions = volume.grid.to_world([[0, 0, k] for k in range(slices)]) @ RAS_TO_LPS
    directions = RAS_TO_LPS @ volume.affine[:3, :3] / volume.spacing
    files = SliceFiles(_shared(volume, directions, study_uid, style))
    compressed = style.transfer_syntax in COMPRESSED

    folder.mkdir(parents=True, exist_ok=True)
    for k, number in enumerate(style.file_numbers(slices)):
        frame = cv2.transpose(to_stored(frames[k], style))
        pixels = encapsulate([encode(frame, style.transfer_syntax)]) if compressed else frame.tobytes()
        own = {
            "SOPInstanceUID": f"{study_uid}.1.{number}",
            "InstanceNumber": str(number),
            "ImagePositionPatient": "\\".join(_decimal(v) for v in positions[k]),
            "SliceLocation": _decimal(positions[k] @ directions[:, 2]),
        }
        (folder / f"{number}.dcm").write_bytes(files.content(own, pixels, compressed))


def to_stored(hu: np.ndarray, style: FileStyle) -> np.ndarray:
    """HU (X, Y) of a slice -> stored values, int16 or uint16; outside of the circle `style.padding` when there is
    one."""
    dtype = np.dtype("<i2" if style.signed else "<u2")
    limits = np.iinfo(dtype)
    if style.slope == 1 and style.intercept == int(style.intercept):
        scaled = hu.astype(np.int32)
        scaled -= int(style.intercept)
    else:
        scaled = np.rint((hu.astype(np.float32) - np.float32(style.intercept)) / np.float32(style.slope))
    stored = np.clip(scaled, limits.min, limits.max, out=scaled).astype(dtype)
    if style.padding is not None:
        stored[_outside(stored.shape)] = style.padding
    return stored


@cache
def _outside(shape: tuple[int, int]) -> np.ndarray:
    """True (X, Y) where a pixel lies outside of the circle through a slice's edges."""
    x, y = (np.linspace(-1, 1, n) for n in shape)
    return np.hypot(x[:, None], y[None, :]) > 1


def _slices_first(hu: np.ndarray) -> np.ndarray:
    """(X, Y, Z) -> (Z, X, Y), in memory as well: OpenCV goes block by block, which takes a fraction of numpy's time."""
    x, y, z = hu.shape
    return cv2.transpose(hu.reshape(x * y, z)).reshape(z, x, y)


def _shared(volume: Volume, directions: np.ndarray, study_uid: str, style: FileStyle) -> FileDataset:
    """What all slices of a study share."""
    spacing = volume.spacing
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid.UID(study_uid)
    meta.TransferSyntaxUID = uid.UID(style.transfer_syntax)
    shared = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    shared.SOPClassUID = uid.CTImageStorage
    shared.SOPInstanceUID = study_uid
    shared.Modality = "CT"
    shared.PatientID = study_uid
    shared.SliceThickness = _decimal(spacing[2] * style.overlap)
    shared.KVP = "120"
    shared.PatientPosition = "HFS"
    shared.ConvolutionKernel = style.kernel
    shared.StudyInstanceUID = study_uid
    shared.SeriesInstanceUID = f"{study_uid}.1"
    shared.FrameOfReferenceUID = f"{study_uid}.2"
    shared.SeriesNumber = 1
    shared.ImageOrientationPatient = [_decimal(v) for v in directions[:, :2].T.ravel()]
    shared.SamplesPerPixel = 1
    shared.PhotometricInterpretation = "MONOCHROME2"
    shared.Columns, shared.Rows = volume.array.shape[:2]
    shared.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
    shared.BitsAllocated = shared.BitsStored = 16
    shared.HighBit = 15
    shared.PixelRepresentation = int(style.signed)
    if style.padding is not None:
        shared.add_new("PixelPaddingValue", "SS", style.padding)
    centres, widths = zip(*style.windows)
    shared.WindowCenter = list(centres) if len(centres) > 1 else centres[0]
    shared.WindowWidth = list(widths) if len(widths) > 1 else widths[0]
    shared.RescaleIntercept = _decimal(style.intercept)
    shared.RescaleSlope = _decimal(style.slope)
    shared.RescaleType = "HU"
    return shared


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters; zero without a sign."""
    return format_number_as_ds(float(value) + 0.0)
