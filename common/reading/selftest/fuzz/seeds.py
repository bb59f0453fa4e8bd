"""Intact inputs of every kind, small; a fuzz case is one of them with damage done to it."""

import gzip
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.uid import JPEG2000Lossless

from common.reading.selftest.specimens import SYNTAXES, compress, random_hu, write_enhanced, write_series, write_slice

SLICES, ROWS, COLUMNS = 4, 24, 20


def make_seeds(folder: Path) -> list[Path]:
    """Writes every seed below `folder`; returns folders, zips and NIfTI files."""
    hu = random_hu((SLICES, ROWS, COLUMNS))
    positions = np.array([[0.0, 0.0, 1.5 * k] for k in range(SLICES)])
    for name, syntax in SYNTAXES.items():
        write_series(folder / name, hu, 1.5, syntax=syntax)
    for k in range(SLICES):
        twelve = ((hu[k] + 1024) % 4096).astype(np.uint16)
        plain, where = folder / "plain" / f"{k}.dcm", (0, 0, k)
        write_slice(plain, twelve, where, intercept=-1024, BitsStored=12, HighBit=11)
        compress(plain, folder / "extended" / f"{k}.dcm", "JPEGExtendedProcess2_4")
        eight = (twelve >> 4).astype(np.uint8)
        write_slice(folder / "plain8" / f"{k}.dcm", eight, where, slope=16, intercept=-1024)
        compress(folder / "plain8" / f"{k}.dcm", folder / "baseline" / f"{k}.dcm", "JPEGBaselineProcess1")
    write_enhanced(folder / "enhanced" / "a.dcm", hu, positions)
    write_enhanced(folder / "enhanced_j2k" / "a.dcm", hu, positions, syntax=JPEG2000Lossless)
    tilted = ((1.0, 0.0, 0.0), (0.0, 0.9848, -0.1736))
    for k in (0, 1, 2, 4, 5):  # one slice is missing
        write_slice(folder / "tilted" / f"{k}", hu[k % SLICES], (0, 0, 2 * k), tilted, (0.5, 0.7))
    seeds = sorted(path for path in folder.iterdir() if path.is_dir())
    seeds += [_zipped(folder / name, zipfile.ZIP_DEFLATED) for name in ("explicit", "jpegll", "enhanced")]
    seeds.append(_zipped(folder / "tilted", zipfile.ZIP_STORED))
    return seeds + _nifti(folder, hu)


def _zipped(folder: Path, method: int) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"study/{file.name}")
    return path


def _nifti(folder: Path, hu: np.ndarray) -> list[Path]:
    affine = np.diag([0.5, 0.6, 1.5, 1.0])
    paths = []
    for name, kind, dtype in (
        ("one.nii", nib.Nifti1Image, np.int16),
        ("two.nii", nib.Nifti2Image, np.int16),
        ("float.nii", nib.Nifti1Image, np.float32),
        ("scaled.nii", nib.Nifti1Image, np.int16),
    ):
        image = kind(hu.astype(dtype), affine)
        if name == "scaled.nii":
            image.header.set_slope_inter(0.5, -3)
        nib.save(image, folder / name)
        packed = folder / f"{name}.gz"
        packed.write_bytes(gzip.compress((folder / name).read_bytes()))
        paths += [folder / name, packed]
    return paths
