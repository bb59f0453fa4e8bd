"""What is compared: reading a series, compressed or not; the commands as whole processes; making a synthetic study."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.bench.compare import Way

SLICES = 206
COMPRESSED = 40
"""Slices of the compressed series: decoders take long."""


def reading(out: Path) -> list[Way]:
    """An uncompressed series of 512 x 512: ours with all checks, and others."""
    return _readers(_study(out))


def jpeg_lossless(out: Path) -> list[Way]:
    """The same, JPEG lossless (process 14, selection value 1)."""
    return _readers(_compressed(out, "JPEGLosslessProcess14_1"))


def jpeg2000(out: Path) -> list[Way]:
    """The same, JPEG 2000 lossless."""
    return _readers(_compressed(out, "JPEG2000Lossless"))


def commands(out: Path) -> list[Way]:
    """Whole processes: Python alone, torch alone, and both stages' commands for one study."""
    study, made = _study(out), out / "made"
    segment = ["stage1_segment", "predict", "-i", study, "-o", made / "mask.nii.gz", "--overwrite"]
    both = ["common.cli", "predict", study, "-o", made / "both", "--overwrite"]
    return [
        Way("torch imported", _process("-c", "import torch")),
        Way("stage1_segment predict", _process("-m", *segment)),
        Way("cervical-fracture predict", _process("-m", *both)),
    ]


def synthetic(out: Path) -> list[Way]:
    """One synthetic study of 256 x 256, and a quarter of it."""
    from common.phantom.render import render
    from common.phantom.study_plan import plan_cohort

    plan = plan_cohort(1, 0, 7)[0]
    return [Way(f"{matrix} x {matrix}", lambda matrix=matrix: render(plan, matrix)) for matrix in (256, 128)]


COMPARISONS: dict[str, Callable[[Path], Sequence[Way]]] = {
    "reading": reading,
    "jpeg-lossless": jpeg_lossless,
    "jpeg2000": jpeg2000,
    "commands": commands,
    "synthetic": synthetic,
}


def _readers(folder: Path) -> list[Way]:
    from common.reading.study import read_study

    return [
        Way("ours", lambda: read_study(folder)),
        Way("SimpleITK's series reader", lambda: _by_itk(folder)),
        Way("pydicom in a loop, no checks", lambda: _by_pydicom(folder)),
        Way("dcm2niix (writes a NIfTI)", lambda: _by_dcm2niix(folder), _lacks("dcm2niix")),
    ]


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
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _lacks(package: str) -> str | None:
    return None if importlib.util.find_spec(package) else f"pip install {package}"


def _process(*words: object) -> Callable[[], object]:
    def run() -> None:
        done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
        if done.returncode not in (0, 14):
            raise RuntimeError(done.stderr)

    return run


def _study(out: Path) -> Path:
    from tests.bench_memory import _make_study

    if not (out / "scan.nii").is_file():
        _make_study(out, (512, 512, SLICES))
    return out / "dicom"


def _compressed(out: Path, process: str) -> Path:
    from common.reading.selftest.specimens import compress

    folder = out / process
    for path in sorted(_study(out).iterdir(), key=lambda path: int(path.stem))[:COMPRESSED]:
        if not (folder / path.name).is_file():
            compress(path, folder / path.name, process)
    return folder
