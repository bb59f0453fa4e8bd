"""Where the slices lie, and what lies outside of the round field that they show."""

from typing import Protocol

import numpy as np

from common.phantom.anatomy.person import Person
from common.volume import Grid

SKULL_BASE_MM = 32.0
"""From the centre of C1 to 25 mm above its upper edge."""
BELOW_T3_MM = 12.0
FORWARD_MM = 3.0
"""Of the field's middle from the vertebral bodies; more would cut the spinous processes of C6 and C7 off."""
PADDED_SHARE = 0.3
PADDING_HU = -2000


class Spine(Protocol):
    """What has vertebrae at places."""

    def centre(self, level: str) -> np.ndarray:
        """World RAS mm (3,) of the middle of a level's body; of C1, where the dens is."""


def scan_grid(column: Spine, person: Person, matrix: int = 256) -> Grid:
    """The grid (matrix, matrix, slices) along world R, A, S: square pixels of `person.pixel_mm`, slices of
    `person.slice_mm` from the skull base (`person.top_cut`) to the upper chest (`person.bottom_cut`)."""
    top = _between(column.centre("C1")[2] + SKULL_BASE_MM, column.centre("C2")[2], person.top_cut)
    bottom = _between(column.centre("T3")[2] - BELOW_T3_MM, column.centre("C6")[2], person.bottom_cut)
    middle = np.mean([column.centre(level)[:2] for level in ("C2", "C4", "C6")], axis=0)
    middle = middle + np.array([0.0, FORWARD_MM]) + np.asarray(person.shift)
    spacing = np.array([person.pixel_mm, person.pixel_mm, person.slice_mm])
    size = np.array([matrix * person.pixel_mm, matrix * person.pixel_mm, top - bottom])
    return Grid.around(np.array([*middle, (top + bottom) / 2]), size, spacing)


def _between(start: float, stop: float, share: float) -> float:
    return start + share * (stop - start)


def outside_field(shape: tuple[int, int, int]) -> np.ndarray:
    """(X, Y) True where a pixel lies outside of the circle inscribed in a slice."""
    x, y = ((np.arange(n) - (n - 1) / 2) / (n / 2) for n in shape[:2])
    return x[:, None] ** 2 + y[None, :] ** 2 > 1


def padding_hu(person: Person) -> int | None:
    """What this study's scanner writes outside of the round field; None when it fills the square with picture."""
    rng = person.stream("padding")
    return PADDING_HU if rng.random() < PADDED_SHARE else None
