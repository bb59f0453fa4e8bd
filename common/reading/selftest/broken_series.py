"""Series with one fault each, of a field whose values tell where they were measured."""

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from common.reading.selftest.specimens import AXIAL, write_enhanced, write_slice
from common.volume import Grid

COLUMNS, ROWS, SLICES = 24, 20, 12
STEP = 2.0
SPACING = (0.5, 0.75)
"""Between rows, between columns, mm."""
CORNER = np.array([-8.0, -5.0, -11.0])
RISE = np.array([80.0, 120.0, 120.0])
"""HU per mm along LPS x, y and z."""
MIDDLE = 1600.0
"""HU at the world's origin; the field then runs from -960 to 4200 HU."""
TILTED = ((1.0, 0.0, 0.0), (0.0, float(np.cos(np.radians(12))), float(-np.sin(np.radians(12)))))


def field(world: np.ndarray) -> tuple[np.ndarray, float]:
    """HU at world points (..., 3) RAS mm, and how steeply it rises, HU per mm."""
    return MIDDLE + np.asarray(world) @ (RISE * [-1, -1, 1]), float(np.linalg.norm(RISE))


def scanned(fault: str) -> Grid:
    """(column, row, slice) where the scanner of a case measured, sheared for the tilted gantry; holes included."""
    along, down = np.array(TILTED if fault == "gantry tilt" else AXIAL)
    affine = np.eye(4)
    affine[:3] = np.stack([along * SPACING[1], down * SPACING[0], [0, 0, STEP], CORNER], axis=1)
    return Grid((COLUMNS, ROWS, SLICES), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def pixels(position: np.ndarray, directions: tuple = AXIAL) -> np.ndarray:
    """(ROWS, COLUMNS) int16, the field on the slice whose first pixel lies at `position` (LPS mm)."""
    j, i = np.mgrid[:ROWS, :COLUMNS]
    along, down = np.array(directions)
    points = position + i[..., None] * SPACING[1] * along + j[..., None] * SPACING[0] * down
    return np.rint(MIDDLE + points @ RISE).astype(np.int16)


def place(k: float) -> np.ndarray:
    """(3,) LPS mm of the first pixel of slice `k`."""
    return CORNER + np.array([0, 0, STEP * k])


def write(
    folder: Path, numbers: Iterable[float], directions: tuple = AXIAL, name: str = "{:02d}", **tags: Any
) -> None:
    """Slices at `numbers` (fractions lie between) as `folder`/<number>.dcm."""
    for count, k in enumerate(numbers):
        position = place(k)
        path = folder / f"{name.format(count)}.dcm"
        number = {"InstanceNumber": count + 1, **tags}
        write_slice(path, pixels(position, directions), position, directions, SPACING, **number)


def make_case(fault: str, folder: Path) -> Path:
    """Writes the series of `fault`, a key of CASES, into `folder`; returns what a reader is to be given."""
    return CASES[fault](folder) or folder


def _without(*missing: int) -> Callable[[Path], None]:
    return lambda folder: write(folder, [k for k in range(SLICES) if k not in missing])


def _doubled(folder: Path) -> None:
    write(folder, range(SLICES))
    write(folder, [5], name="copy{:d}", SOPInstanceUID="1.2.3.77")


def _doubled_otherwise(folder: Path) -> None:
    write(folder, range(SLICES))
    write_slice(folder / "other.dcm", pixels(place(5)) + np.int16(300), place(5), AXIAL, SPACING)


def _two_series(folder: Path) -> None:
    write(folder, range(SLICES))
    for k in range(6):
        where = place(2 * k + 0.5)
        other: dict[str, Any] = {"SeriesInstanceUID": "1.2.3.2", "SOPInstanceUID": f"1.2.3.2.{k}"}
        write_slice(folder / f"z{k}.dcm", pixels(where), where, AXIAL, SPACING, **other)


def _truncated(folder: Path) -> None:
    write(folder, range(SLICES))
    path = folder / "05.dcm"
    path.write_bytes(path.read_bytes()[:-300])


def _uneven(by: float) -> Callable[[Path], None]:
    return lambda folder: write(folder, [k + (by if k in (4, 5, 8) else 0.0) for k in range(SLICES)])


def _other_matrix(folder: Path) -> None:
    write(folder, [k for k in range(SLICES) if k != 6])
    write_slice(folder / "06b.dcm", pixels(place(6))[:-4], place(6), AXIAL, SPACING)


def _enhanced(folder: Path) -> None:
    positions = np.array([place(k) for k in range(SLICES)])
    write_enhanced(folder / "all.dcm", np.stack([pixels(p) for p in positions]), positions, AXIAL, SPACING)


def _cut_nifti(folder: Path) -> Path:
    grid = scanned("none")
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    values = np.rint(field(grid.to_world(index))[0]).astype(np.int16)
    image = nib.Nifti1Image(values, grid.affine)
    path = folder / "cut.nii.gz"
    content = gzip.compress(image.to_bytes())
    path.write_bytes(content[: 2 * len(content) // 3])
    return path


CASES: dict[str, Callable[[Path], Path | None]] = {
    "none": lambda folder: write(folder, range(SLICES)),
    "none, multi-frame Enhanced CT": _enhanced,
    "one slice missing": _without(5),
    "a third of the slices missing": _without(3, 4, 5, 6),
    "gantry tilt": lambda folder: write(folder, range(SLICES), TILTED),
    "slice doubled, same pixels": _doubled,
    "slice doubled, other pixels": _doubled_otherwise,
    "uneven by a tenth": _uneven(0.1),
    "uneven by a half": _uneven(0.5),
    "two series in a folder": _two_series,
    "a slice of another matrix": _other_matrix,
    "truncated file": _truncated,
    "truncated .nii.gz": _cut_nifti,
    "empty folder": lambda folder: None,
}
