"""Small DICOM series written by hand, slice by slice: to try the reader on, to compare readers, to break on purpose."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from common.volume import Vector

SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "bigendian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpegll": JPEGLosslessSV1,
    "jpegls": JPEGLSLossless,
    "j2k": JPEG2000Lossless,
}
"""Ways to write a series that lose nothing."""
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def write_slice(
    path: Path,
    stored: np.ndarray,
    position: Vector,
    directions: tuple = AXIAL,
    spacing: tuple[float, float] = (1.0, 1.0),
    slope: float = 1,
    intercept: float = 0,
    syntax: UID = ExplicitVRLittleEndian,
    **tags: Any,
) -> None:
    """`stored` (rows, columns) int16 or uint16; `spacing` between rows and between columns, mm; `position` and
    `directions` in LPS; `tags` replace the usual ones, None leaves a tag out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = _image(stored.dtype, stored.shape, f"1.2.3.{zlib.crc32(path.name.encode())}", CTImageStorage)
    dataset.ImageOrientationPatient = [float(f"{v:.8f}") for direction in directions for v in direction]
    dataset.ImagePositionPatient = [float(f"{v:.6f}") for v in position]
    dataset.PixelSpacing = list(spacing)
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "HU"
    for name, value in tags.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    _save(dataset, stored[None], syntax, path)


def write_series(
    folder: Path, hu: np.ndarray, step: float = 1.0, names: list[str] | None = None, **how: Any
) -> None:
    """`hu` (slices, rows, columns) int16, the first slice lowest, as `folder`/<name>.dcm, axial, from (-20, -30, 5)."""
    for k, pixels in enumerate(hu):
        name = names[k] if names else str(k + 1)
        write_slice(folder / f"{name}.dcm", pixels, (-20, -30, 5 + step * k), **how)


def write_enhanced(
    path: Path,
    stored: np.ndarray,
    positions: np.ndarray,
    directions: tuple = AXIAL,
    spacing: tuple[float, float] = (1.0, 1.0),
    rescale: list[tuple[float, float]] | None = None,
    syntax: UID = ExplicitVRLittleEndian,
    frame_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE"),
) -> None:
    """A multi-frame Enhanced CT: `stored` (frames, rows, columns), `positions` (frames, 3) LPS mm, `rescale` slope
    and intercept of each frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = _image(stored.dtype, stored.shape[1:], "1.2.3.9", EnhancedCTImageStorage)
    dataset.NumberOfFrames = len(stored)
    dataset.ImageType = list(frame_type)
    shared = Dataset()
    shared.PixelMeasuresSequence = _item(PixelSpacing=list(spacing), SliceThickness=1)
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=[float(v) for d in directions for v in d])
    shared.CTImageFrameTypeSequence = _item(FrameType=list(frame_type))
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k, position in enumerate(positions):
        slope, intercept = rescale[k] if rescale else (1, 0)
        frame = Dataset()
        frame.PlanePositionSequence = _item(ImagePositionPatient=[float(v) for v in position])
        frame.PixelValueTransformationSequence = _item(
            RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU"
        )
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    _save(dataset, stored, syntax, path)


def compress(source: Path, target: Path, process: str) -> None:
    """Compresses a single-frame file by gdcm; `process` as gdcm.TransferSyntax names it. Raises RuntimeError."""
    import gdcm

    target.parent.mkdir(parents=True, exist_ok=True)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
    if not reader.Read():
        raise RuntimeError(f"gdcm can't read {source}")
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise RuntimeError(f"gdcm can't compress {source} as {process}")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise RuntimeError(f"gdcm can't write {target}")


def random_hu(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """int16 HU between -1000 and 1500."""
    return np.random.default_rng(seed).integers(-1000, 1500, shape).astype(np.int16)


def _image(dtype: np.dtype, shape: tuple[int, int], instance: str, sop_class: UID) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(instance)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "1.2.3.1", "CT"
    dataset.PatientID, dataset.PatientName, dataset.StudyID = "specimen", "specimen", "1"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyDate = dataset.StudyTime = ""
    dataset.ReferringPhysicianName = dataset.AccessionNumber = dataset.Manufacturer = ""
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = "1.2.3.4", ""
    dataset.SeriesNumber = dataset.InstanceNumber = dataset.AcquisitionNumber = 1
    dataset.PatientPosition, dataset.SliceThickness, dataset.KVP = "HFS", 1, 120
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows, dataset.Columns = shape
    bits = 8 * np.dtype(dtype).itemsize
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = bits - 1, 1, "MONOCHROME2"
    dataset.PixelRepresentation = int(np.dtype(dtype).kind == "i")
    return dataset


def _save(dataset: Dataset, stored: np.ndarray, syntax: UID, path: Path) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    order: Any = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    dataset["PixelData"].VR = "OW" if stored.dtype.itemsize > 1 else "OB"
    if syntax == RLELossless:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    elif syntax.is_encapsulated:
        from common.reading.encode import encode

        dataset.PixelData = encapsulate([encode(np.ascontiguousarray(frame), syntax) for frame in stored])
        dataset["PixelData"].VR = "OB"
    little, implicit = syntax != ExplicitVRBigEndian, syntax.is_implicit_VR
    dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True)


def _item(**values: Any) -> Sequence:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return Sequence([item])
