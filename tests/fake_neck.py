"""A small neck of blocks: C1-C7, T1 and T2, bodies in front of arches, discs between them, in soft tissue."""

import numpy as np

from common.volume import Volume

SPACING = 2.0
PITCH_MM = 18.0
VALUES = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1", "T2")


def neck(levels: int = len(VALUES)) -> tuple[Volume, Volume]:
    """CT int16 HU and mask uint8 (1..7 = C1..C7, 8 = T1, 9 = T2; `levels` of them) on one grid of 2 mm, RAS."""
    shape = (50, 60, 100)
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = [-50.0, -70.0, -100.0]
    x, y, z = np.moveaxis(Volume(np.zeros(shape, np.int8), affine).grid.to_world(_index(shape)), -1, 0)
    hu = np.where((x / 44) ** 2 + (y / 55) ** 2 < 1, 40, -1000).astype(np.int16)
    mask = np.zeros(shape, np.uint8)
    for number in range(1, levels + 1):
        top = 80.0 - PITCH_MM * (number - 1)
        front = 10.0 - 6.0 * np.sin(np.pi * (number - 1) / 8)  # the row is bent, so that it is not its own mirror image
        width = 34.0 if number == 1 else 24.0
        here = (z < top) & (z > top - 13)
        body = here & (np.abs(x) < width / 2) & (y < front + 16) & (y > front)
        arch = here & (np.abs(x) < width / 2 + 4) & (y < front - 12) & (y > front - 18)
        spine = here & (np.abs(x) < 4) & (y <= front - 18) & (y > front - 32)
        mask[body | arch | spine] = number
        disc = (z <= top - 13) & (z > top - PITCH_MM) & (np.abs(x) < 12) & (y < front + 16) & (y > front)
        hu[disc] = 90
    hu[mask > 0] = 350
    return Volume(hu, affine), Volume(mask, affine)


def renamed(mask: Volume, values: tuple[int, ...]) -> Volume:
    """The mask with `values` for C1..C7, T1, T2."""
    table = np.array([0, *values], np.uint8)
    return mask.with_array(table[mask.array])


def moved(mask: Volume, mm: tuple[float, float, float]) -> Volume:
    """The mask under a header that lies `mm` aside."""
    affine = mask.affine.copy()
    affine[:3, 3] += mm
    return Volume(mask.array, affine)


def turned(mask: Volume, axes: tuple[int, ...]) -> Volume:
    """The mask under a header that claims the opposite direction along `axes`, about the volume's middle."""
    flip = np.eye(4)
    for axis in axes:
        flip[axis, axis] = -1
        flip[axis, 3] = mask.array.shape[axis] - 1
    return Volume(mask.array, mask.affine @ flip)


def _index(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
