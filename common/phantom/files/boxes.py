"""Fracture boxes as readers drew them for the competition: one on each axial slice that a fracture crosses."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from common.phantom.files.orientation import oriented
from common.volume import Volume

JOIN_MM = 4.0
"""Parts of a fracture of one bone that lie nearer to each other than this share a box."""
MARGIN_MM = (2.0, 6.0)
"""Around the fracture; real boxes are 31 x 24 mm in the median, generous beside a line of a millimetre."""
JITTER_MM = 1.0
"""Standard deviation of an edge from slice to slice; an edge never cuts into the fracture."""


@dataclass(frozen=True)
class Box:
    """`x`, `y`: column and row of the top-left corner in the axial slice, pixels; `slice_number`: n of `<n>.dcm`."""

    x: float
    y: float
    width: float
    height: float
    slice_number: int


def find_boxes(crossing: Volume, file_numbers: np.ndarray, rng: np.random.Generator) -> list[Box]:
    """`crossing` (X, Y, Z) uint8, the level where a fracture crosses bone; `file_numbers` (slices,), from the feet
    upward -> boxes by slice, one for each connected fracture region of a level on each slice it crosses."""
    volume = oriented(crossing, "LPS")
    pixel = volume.spacing[:2].mean()
    size = np.array(volume.array.shape[:2])
    boxes = []
    for level in np.unique(volume.array[volume.array > 0]):
        inside = volume.array == level
        where = ndimage.find_objects(inside.astype(np.uint8))[0]
        regions = _regions(inside[where], volume.spacing)
        left, front, lowest = (s.start for s in where)
        for region in range(1, regions.max() + 1):
            margin = rng.uniform(*MARGIN_MM, 4) / pixel
            for k in np.flatnonzero((regions == region).any(axis=(0, 1))):
                columns, rows = np.nonzero(regions[:, :, k] == region)
                slack = np.maximum(margin + rng.normal(0, JITTER_MM / pixel, 4), 0.5)
                corner = np.array([left + columns.min(), front + rows.min()])
                opposite = np.array([left + columns.max() + 1, front + rows.max() + 1])
                low, high = np.clip(corner - slack[:2], 0, size), np.clip(opposite + slack[2:], 0, size)
                x, y, width, height = (round(float(v), 5) for v in (*low, *(high - low)))
                boxes.append(Box(x, y, width, height, int(file_numbers[lowest + k])))
    return sorted(boxes, key=lambda box: (box.slice_number, box.x, box.y))


def _regions(inside: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Mask (X, Y, Z) -> number of its region at each voxel, 0 outside; gaps up to JOIN_MM don't part a region."""
    reach = np.ceil(JOIN_MM / spacing).astype(int)
    padded = np.pad(inside, [(r, r) for r in reach])
    near = ndimage.distance_transform_edt(~padded, sampling=spacing) <= JOIN_MM / 2
    numbers, _ = ndimage.label(near)
    return numbers[tuple(slice(r, -r) for r in reach)] * inside
