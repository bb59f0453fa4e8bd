"""Small DICOM studies of any orientation, and a mask whose labels are balls in the world, whatever the grid."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common.reading.selftest.specimens import AXIAL, random_hu, write_enhanced, write_slice
from common.reading.stack import LPS_TO_RAS
from common.volume import Volume

ROWS, COLUMNS, COUNT = 32, 36, 18
"""Their product is a multiple of 16: cornerstone's adapters refuse packed bits that need a byte of padding."""
SPACING = (1.5, 1.2)
"""mm between rows and between columns."""
CORNER = np.array([-17.0, 33.0, -241.0])
BALLS = {1: ((9, 8, 5), 8.0), 4: ((20, 12, 9), 7.0), 8: ((26, 22, 12), 7.5)}
"""Label -> column, row and slice of its middle, and its radius in mm; none of them a mirror of another."""


@dataclass(frozen=True)
class Place:
    """How a study's slices lie: `directions` of rows and columns (LPS), `step` mm from slice to slice, `aside` mm by
    which each slice lies further along the columns' direction (a gantry's tilt), `gone` slices left out, `jolt` mm by
    which the slices from the middle on are moved along."""

    directions: tuple = AXIAL
    step: float = 2.0
    aside: float = 0.0
    gone: tuple[int, ...] = ()
    jolt: float = 0.0
    tags: dict = field(default_factory=dict)

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.directions)

    def position(self, k: float) -> np.ndarray:
        """LPS mm of the first pixel of slice `k`."""
        along = k * self.step + (self.jolt if k >= COUNT // 2 else 0)
        return CORNER + along * self.normal + k * self.aside * np.array(self.directions[1])

    def points(self, position: np.ndarray) -> np.ndarray:
        """(rows, columns, 3) LPS mm of the pixels of a slice at `position`."""
        row, column = np.mgrid[:ROWS, :COLUMNS]
        along = column[..., None] * SPACING[1] * np.array(self.directions[0])
        return position + along + row[..., None] * SPACING[0] * np.array(self.directions[1])

    def middles(self) -> dict[int, tuple[np.ndarray, float]]:
        """Label -> LPS mm of its middle, and its radius."""
        return {
            label: (self.points(self.position(k))[row, column], radius)
            for label, ((column, row, k), radius) in BALLS.items()
        }


def turned(seed: int) -> tuple:
    """Two directions at right angles, as drawn."""
    return tuple(map(tuple, np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0].T[:2]))


def write_study(folder: Path, place: Place, enhanced: bool = False) -> list[tuple[str, int | None, np.ndarray]]:
    """Writes it, and returns each slice's SOPInstanceUID, number in its file and position."""
    hu = random_hu((COUNT, ROWS, COLUMNS))
    there = [k for k in range(COUNT) if k not in place.gone]
    if enhanced:
        positions = np.stack([place.position(k) for k in there])
        write_enhanced(folder / "all.dcm", hu[there], positions, place.directions, SPACING)
        return [("1.2.3.9", number, place.position(k)) for number, k in enumerate(there, start=1)]
    for k in there:
        tags = {"SOPInstanceUID": f"1.2.3.77.{k + 1}", **place.tags}
        write_slice(folder / f"{97 * k % 101:03}.dcm", hu[k], place.position(k), place.directions, SPACING, **tags)
    return [(f"1.2.3.77.{k + 1}", None, place.position(k)) for k in there]


def balls(volume: Volume, place: Place) -> Volume:
    """The labels on the grid of `volume`."""
    values = np.zeros(volume.array.shape, np.uint8)
    world = volume.grid.to_world(np.moveaxis(np.indices(values.shape), 0, -1)) * LPS_TO_RAS
    for label, (middle, radius) in place.middles().items():
        values[np.linalg.norm(world - middle, axis=-1) <= radius] = label
    return Volume(values, volume.affine)


def check_balls(found: dict[int, np.ndarray], slices: list, place: Place, tolerance: float) -> None:
    """`found`: label -> (n, 3) LPS mm of its pixels. None lies further out of its ball than `tolerance`, and none that
    lies as far within is lacking, on any slice that there is."""
    assert set(found) == set(BALLS)
    pixels = np.concatenate([place.points(position).reshape(-1, 3) for *_, position in slices])
    for label, (middle, radius) in place.middles().items():
        assert np.linalg.norm(found[label] - middle, axis=1).max() <= radius + tolerance, label
        within = pixels[np.linalg.norm(pixels - middle, axis=1) <= radius - tolerance]
        assert len(within) > 20
        nearest = np.abs(within[:, None] - found[label][None]).max(axis=-1).min(axis=1)
        assert nearest.max() < 1e-3, label
