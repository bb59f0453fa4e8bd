"""DICOM series written by pydicom alone, for tests of the reader."""

import zlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def write_slice(
    path: Path,
    stored: np.ndarray,
    position: np.ndarray,
    directions: tuple = AXIAL,
    spacing: tuple[float, float] = (1.0, 1.0),
    slope: float = 1,
    intercept: float = 0,
    **tags,
) -> None:
    """`stored` (rows, columns) int16 or uint16; `spacing` between rows and between columns; `tags` replace
    the usual ones, None leaves a tag out; `transfer_syntax` and `encoded` give compressed pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"1.2.3.{zlib.crc32(path.name.encode())}"
    dataset.SOPClassUID = CTImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "1.2.3.1", "CT"
    dataset.ImageOrientationPatient = [float(f"{v:.8f}") for direction in directions for v in direction]
    dataset.ImagePositionPatient = [float(f"{v:.6f}") for v in position]
    dataset.PixelSpacing = list(spacing)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 15, 1, "MONOCHROME2"
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    for name, value in tags.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    dataset.PixelData = stored.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def write_series(folder: Path, hu: np.ndarray, step: float = 1.0, names: list[str] | None = None, **how) -> None:
    """`hu` (slices, rows, columns) int16, the first slice lowest, as `folder`/<name>.dcm, axial, from (-20, -30, 5)."""
    for k, pixels in enumerate(hu):
        name = names[k] if names else str(k + 1)
        write_slice(folder / f"{name}.dcm", pixels, (-20, -30, 5 + step * k), **how)


def random_hu(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """int16 HU between -1000 and 1500."""
    return np.random.default_rng(seed).integers(-1000, 1500, shape).astype(np.int16)
