"""`python -m common.reading.selftest.compare`: broken series, made here, as this reader and others read them.

The others are those that are installed: SimpleITK, MONAI, highdicom, dicom2nifti, dcm2niix. Every series shows a field
that rises linearly along a direction of the world, so that a voxel's value says where it was measured: the largest
distance between that and where a reader's affine puts it is the error given.
"""

import argparse
import contextlib
import io
import logging
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from common import commandline
from common.errors import StudyError
from common.reading import captured_stderr
from common.reading.selftest.broken_series import CASES, field, make_case, scanned
from common.volume import Grid, Volume

RIGHT_MM = 0.01
"""The field rises by 188 HU/mm, so that rounding to whole HU, twice where slices are interpolated, is 0.005 mm."""


@dataclass(frozen=True)
class Answer:
    """What a reader made of a series: a few words, and whether that is right (read in the right place or refused)."""

    text: str
    right: bool


def main() -> int:
    """Prints the table; exit code 1 when this project's reader is wrong in a row."""
    parser = argparse.ArgumentParser(prog="common.reading.selftest.compare", description=__doc__)
    parser.parse_args()
    logging.disable(logging.WARNING)
    rows = compare(readers())
    names = list(next(iter(rows.values())))
    print("| fault | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for fault, answers in rows.items():
        print(f"| {fault} | " + " | ".join(answer.text for answer in answers.values()) + " |")
    wrong = {name: sum(not answers[name].right for answers in rows.values()) for name in names}
    print(
        "rows wrong, of " + f"{len(rows)}: " + ", ".join(f"{name} {count}" for name, count in wrong.items())
    )
    return 1 if wrong["ours"] else 0


def compare(reading: dict[str, Callable[[Path], list[Volume]]]) -> dict[str, dict[str, Answer]]:
    """Every case of `broken_series` by every reader: fault -> reader -> Answer."""
    rows: dict[str, dict[str, Answer]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, fault in enumerate(CASES):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            path = make_case(fault, folder)
            rows[fault] = {name: _answer(read, path, fault) for name, read in reading.items()}
    return rows


def readers() -> dict[str, Callable[[Path], list[Volume]]]:
    """The readers that are installed: folder or file -> the volumes it makes of it, in RAS mm."""
    known = {
        "ours": (_ours, True),
        "SimpleITK": (_simpleitk, find_spec("SimpleITK")),
        "MONAI": (_monai, find_spec("monai")),
        "highdicom": (_highdicom, find_spec("highdicom")),
        "dicom2nifti": (_dicom2nifti, find_spec("dicom2nifti")),
        "dcm2niix": (_dcm2niix, shutil.which("dcm2niix")),
    }
    return {name: read for name, (read, there) in known.items() if there}


def _answer(read: Callable[[Path], list[Volume]], path: Path, fault: str) -> Answer:
    intact = fault.startswith("none")
    quiet = contextlib.ExitStack()
    with quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quiet.enter_context(captured_stderr.captured())
        quiet.enter_context(contextlib.redirect_stdout(io.StringIO()))
        try:
            volumes = read(path)
        except StudyError as error:
            return Answer(f"refuses ({type(error).__name__})", not intact)
        except Exception as error:
            return Answer(f"raises {type(error).__name__}", not intact)
    if not volumes:
        return Answer("nothing read", not intact)
    errors = [displacement(volume, scanned(fault)) for volume in volumes]
    said = ", says so" if any(volume.notices for volume in volumes) else ""
    parts = [
        f"{volume.array.shape[2]} slices of {volume.spacing[2]:.2f} mm "
        + ("right" if error <= RIGHT_MM else "elsewhere" if np.isinf(error) else f"OFF BY {error:.1f} mm")
        for volume, error in zip(volumes, errors)
    ]
    return Answer(" + ".join(parts) + said, max(errors) <= RIGHT_MM)


def displacement(volume: Volume, scan: Grid) -> float:
    """mm between where voxels lie and where they were measured, at most, inside of what was scanned; infinite when
    little of the volume lies there."""
    index = np.stack(np.meshgrid(*map(np.arange, volume.array.shape[:3]), indexing="ij"), axis=-1)
    world = volume.grid.to_world(index)
    true = scan.to_index(world)
    inside = ((true >= [1, 1, -1e-3]) & (true <= np.array(scan.shape) - [2, 2, 1 - 1e-3])).all(axis=-1)
    if inside.sum() < 0.5 * np.prod(np.array(scan.shape) - [3, 3, 1]):
        return float("inf")
    expected, steepness = field(world[inside])
    return float(np.abs(volume.array[inside] - expected).max() / steepness)


def _ours(path: Path) -> list[Volume]:
    from common.reading.study import read_study

    return [read_study(path).volume]


def _simpleitk(path: Path) -> list[Volume]:
    import SimpleITK as sitk

    files = [str(path)] if path.is_file() else sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path))
    image = sitk.ReadImage(files if len(files) > 1 else files[0])
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return [Volume(sitk.GetArrayFromImage(image).T, np.diag([-1.0, -1, 1, 1]) @ affine)]


def _monai(path: Path) -> list[Volume]:
    if path.is_file():
        from monai.data import NibabelReader

        reader: Any = NibabelReader()
    else:
        from monai.data import PydicomReader

        reader = PydicomReader()
    array, meta = reader.get_data(reader.read(str(path)))
    return [Volume(np.asarray(array), np.asarray(meta["affine"], dtype=float))]


def _highdicom(path: Path) -> list[Volume]:
    import highdicom
    import pydicom

    if path.is_file():
        raise NotImplementedError("no NIfTI")
    files = [pydicom.dcmread(file) for file in sorted(path.rglob("*.dcm"))]
    if len(files) == 1 and "NumberOfFrames" in files[0]:
        volume = highdicom.Image.from_dataset(files[0]).get_volume()
    else:
        volume = highdicom.get_volume_from_series(files)
    affine = np.diag([-1.0, -1, 1, 1]) @ volume.affine
    return [Volume(volume.array.transpose(2, 1, 0), affine[:, [2, 1, 0, 3]])]


def _dicom2nifti(path: Path) -> list[Volume]:
    import dicom2nifti

    if path.is_file():
        raise NotImplementedError("no NIfTI")
    with tempfile.TemporaryDirectory() as out:
        dicom2nifti.dicom_series_to_nifti(str(path), str(Path(out) / "a.nii.gz"), reorient_nifti=False)
        return list(_written(Path(out)))


def _dcm2niix(path: Path) -> list[Volume]:
    if path.is_file():
        raise NotImplementedError("no NIfTI")
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(
            ["dcm2niix", "-f", "%j", "-o", out, "-z", "n", "-w", "1", str(path)],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}")
        return list(_written(Path(out)))


def _written(folder: Path) -> Iterator[Volume]:
    import nibabel as nib

    for path in sorted(folder.glob("*.nii*")):
        image: Any = nib.load(path)
        yield Volume(np.asarray(image.dataobj), image.affine)


if __name__ == "__main__":
    commandline.run(main)
