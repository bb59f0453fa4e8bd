"""A chest that stands higher or lower beside the spine than the map's: ribs, lungs and shoulders together, each side
on its own.

Every label map has its ribs' slope from the same person, and a network that has seen no other counts from where they
pass. In a deep breath, or beside a bent back, the first ribs pass C7.
"""

from dataclasses import dataclass

import numpy as np

from stage1_segment.training.synthetic.subject import Subject

MOVED = 0.6
"""Part of the scans."""
UP_MM = (-25.0, 45.0)
UNLIKE_MM = 8.0
"""Standard deviation of either side from what both have."""
NEAR_MM, FAR_MM = 25.0, 75.0
"""From the spine: the chest begins to move, so that heads of ribs stay with their vertebrae, and moves in full."""
FIRST, FULL = 3, 7
"""From C3 down more and more; all of it from C7 on."""


@dataclass(frozen=True)
class Chest:
    """Millimetres of the subject by which the side at lower x (the left one) and the other are raised."""

    up: tuple[float, float] = (0.0, 0.0)


def draw_chest(rng: np.random.Generator) -> Chest:
    """One scan's."""
    if rng.random() > MOVED:
        return Chest()
    left, right = rng.uniform(*UP_MM) + rng.normal(0, UNLIKE_MM, 2)
    return Chest((float(left), float(right)))


def raised_by(points: np.ndarray, subject: Subject, chest: Chest) -> np.ndarray:
    """points (..., 3) world RAS mm of a subject -> how far what is to be seen there was raised, mm (...)."""
    spine = np.array([subject.centres[code] for code in sorted(subject.centres, reverse=True)])
    order = spine[:, 2].argsort()
    x, y = (np.interp(points[..., 2], spine[order, 2], spine[order, axis]) for axis in (0, 1))
    away = np.hypot(points[..., 0] - x, (points[..., 1] - y).clip(0))  # spinous processes stay
    share = ((away - NEAR_MM) / (FAR_MM - NEAR_MM)).clip(0, 1)
    begin, full = subject.centres[FIRST][2], subject.centres[FULL][2]
    depth = ((begin - points[..., 2]) / (begin - full)).clip(0, 1)
    # From side to side through the middle, so that nothing tears before or behind the spine.
    right = 0.5 + ((points[..., 0] - x) / FAR_MM).clip(-0.5, 0.5)
    return share * depth * (chest.up[0] * (1 - right) + chest.up[1] * right)
