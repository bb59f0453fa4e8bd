"""Lungs that reach further up, or less far, than the map's, each side on its own, and on downwards.

In the label maps looked at (20 of 120) the lungs end 4 to 16 mm below the middle of T1, and a network that has seen
nothing else takes the vertebrae beside them for thoracic. Those of a bent back, or of a chest overfull with air, stand
beside C7.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from common.phantom import tissues as t
from stage1_segment.training.synthetic.batch import among

MOVED = 0.7
"""Part of the scans."""
UP_MM = (-15.0, 45.0)
UNLIKE_MM = 8.0
"""Standard deviation of either side from what both have."""
DOWN_MM = (0.0, 50.0)
ROOM = (t.MUSCLE, t.FAT, t.SOFT, t.GLAND, t.VESSEL)
"""What they may move into."""


@dataclass(frozen=True)
class Lungs:
    """Millimetres of the subject: `up`, by which the tops of the lung at lower x (the left one) and the other are
    raised; `down`, by which their lower ends are lowered."""

    up: tuple[float, float] = (0.0, 0.0)
    down: float = 0.0


def draw_lungs(rng: np.random.Generator) -> Lungs:
    """One scan's."""
    if rng.random() > MOVED:
        return Lungs()
    left, right = rng.uniform(*UP_MM) + rng.normal(0, UNLIKE_MM, 2)
    return Lungs((float(left), float(right)), float(rng.uniform(*DOWN_MM)))


def with_lungs(codes: Tensor, up: Tensor, raised: Tensor, lowered: Tensor) -> Tensor:
    """Tissue codes of cells uint8, how far `up` each one's lung is raised, the codes of where it comes from and of
    where its lower end does -> the codes with the lungs from one to the other, in soft tissue alone."""
    here = codes == t.LUNG
    lung = (raised == t.LUNG) | (lowered == t.LUNG) | (here & (up >= 0))
    codes = codes.masked_fill(here & ~lung, t.SOFT)
    return codes.masked_fill(lung & among(codes, ROOM), t.LUNG)
