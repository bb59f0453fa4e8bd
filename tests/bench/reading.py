"""Series of slices read: ours with all checks, and others."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.bench.compare import Way, lacks
from tests.bench.studies import compressed, dicom


def reading(out: Path) -> list[Way]:
    """An uncompressed series of 512 x 512."""
    return _readers(dicom(out))


def jpeg_lossless(out: Path) -> list[Way]:
    """The same, JPEG lossless (process 14, selection value 1)."""
    return _readers(compressed(out, "JPEGLosslessProcess14_1"))


def jpeg2000(out: Path) -> list[Way]:
    """The same, JPEG 2000 lossless."""
    return _readers(compressed(out, "JPEG2000Lossless"))


def _readers(folder: Path) -> list[Way]:
    return [
        Way("ours", lambda: _by_us(folder)),
        Way("SimpleITK's series reader", lambda: _by_itk(folder)),
        Way("pydicom in a loop, no checks", lambda: _by_pydicom(folder)),
        Way("dcm2niix (writes a NIfTI)", lambda: _by_dcm2niix(folder), lacks("dcm2niix")),
    ]


def _by_us(folder: Path) -> object:
    from common.reading.study import read_study

    return read_study(folder)


def _by_itk(folder: Path) -> np.ndarray:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def _by_pydicom(folder: Path) -> np.ndarray:
    import pydicom

    slices = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda one: float(one.ImagePositionPatient[2]))
    return np.stack([one.pixel_array * one.RescaleSlope + one.RescaleIntercept for one in slices])


def _by_dcm2niix(folder: Path) -> None:
    target = folder.with_name("by_dcm2niix")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    words = [sys.executable, "-m", "dcm2niix", "-z", "n", "-o", str(target), str(folder)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
