"""A neck of simple shapes for tests: head with brain and teeth, seven vertebrae of body and arch, airway, lungs."""

import numpy as np

from common.volume import Volume

MM = 3.0
SHAPE = (60, 60, 100)
PITCH, LOWEST = 6, 36
"""Cells from one level to the next, and where C7 begins."""


def drawn_neck() -> tuple[Volume, Volume]:
    """CT (HU) and true mask, axes R, A, S; C7 at the height of 108 mm, C1 at 216 mm, a head above, lungs below."""
    x, y, z = np.indices(SHAPE)
    hu = np.full(SHAPE, -1000, np.int16)
    wide = np.where(z < 36, 28, np.where(z < 78, 16, 22))
    hu[(x - 30) ** 2 + (y - 30) ** 2 < wide**2] = 40
    for side in (16, 44):
        hu[((x - side) ** 2 + (y - 30) ** 2 < 9**2) & (z < 30)] = -850
    skull = (x - 30) ** 2 + (y - 30) ** 2
    hu[(skull < 19**2) & (skull >= 15**2) & (z >= 80)] = 900
    hu[(np.abs(x - 30) < 10) & (np.abs(y - 45) < 2) & (np.abs(z - 70) < 2)] = 2500
    hu[(np.abs(x - 30) < 2) & (np.abs(y - 38) < 2) & (z < 78)] = -1000
    mask = np.zeros(SHAPE, np.uint8)
    for level in range(1, 8):
        low = LOWEST + (7 - level) * PITCH
        height = slice(low, low + PITCH - 1)
        for part in ((slice(26, 35), slice(26, 33)), (slice(26, 28), slice(20, 26)), (slice(33, 35), slice(20, 26)),
                     (slice(29, 32), slice(15, 20)), (slice(26, 35), slice(19, 21))):  # fmt: skip
            mask[(*part, height)] = level
    hu[mask > 0] = 600
    affine = np.diag([MM, MM, MM, 1.0])
    return Volume(hu, affine), Volume(mask, affine)
