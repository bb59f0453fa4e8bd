"""Shoulders elsewhere than the map has them: collarbones, shoulder blades and breastbone raised, lowered, or not seen.

A label map is of arms at rest. With arms raised, or a bent upper back, the shoulders stand beside higher vertebrae; a
network that has seen one position only would count from them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.phantom import tissues as t
from stage1_segment.training.synthetic.batch import among

MOVED, GONE = 0.45, 0.15
"""Part of the scans."""
GIRDLE = (t.BONE_CORTEX, t.BONE_SPONGY)
ROOM = (t.MUSCLE, t.FAT, t.SKIN, t.SOFT, t.GLAND, t.VESSEL)
"""What it may move into."""
UP_MM, FORWARD_MM = (-25.0, 75.0), (-20.0, 20.0)


@dataclass(frozen=True)
class Shoulders:
    """`up` and `forward` mm of the subject; not `seen`: soft tissue in its place."""

    up: float = 0.0
    forward: float = 0.0
    seen: bool = True

    @property
    def moved(self) -> bool:
        return self.seen and (self.up, self.forward) != (0.0, 0.0)


def draw_shoulders(rng: np.random.Generator) -> Shoulders:
    """One scan's."""
    way = rng.random()
    if way < GONE:
        return Shoulders(seen=False)
    return Shoulders(rng.uniform(*UP_MM), rng.uniform(*FORWARD_MM)) if way < GONE + MOVED else Shoulders()


def with_girdle(codes: Tensor, elsewhere: Tensor | None) -> Tensor:
    """Tissue codes of cells uint8, and those of where the shoulders comes from (None: it isn't seen) -> the codes
    with the shoulders there: in soft tissue alone, muscle where it was."""
    was, soft = (among(codes, names) for names in (GIRDLE, ROOM))
    codes = codes.masked_fill(was, t.MUSCLE)
    if elsewhere is None:
        return codes
    return torch.where(among(elsewhere, GIRDLE) & (soft | was), elsewhere, codes)
