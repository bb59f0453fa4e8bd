"""What of a scan's trunk stands elsewhere than the map has it."""

from dataclasses import dataclass, field

import numpy as np

from stage1_segment.training.synthetic.chest import Chest, draw_chest
from stage1_segment.training.synthetic.lower_chest import LowerChest, draw_lower_chest
from stage1_segment.training.synthetic.lungs import Lungs, draw_lungs
from stage1_segment.training.synthetic.shoulders import Shoulders, draw_shoulders
from stage1_segment.training.synthetic.subject import Subject


@dataclass(frozen=True)
class Trunk:
    """As mapped unless said otherwise; below the map (`lower` None) its mirror image."""

    chest: Chest = field(default_factory=Chest)
    shoulders: Shoulders = field(default_factory=Shoulders)
    lungs: Lungs = field(default_factory=Lungs)
    lower: LowerChest | None = None


AS_MAPPED = Trunk()


def draw_trunk(subject: Subject, rng: np.random.Generator) -> Trunk:
    """One scan's of the subject."""
    return Trunk(draw_chest(rng), draw_shoulders(rng), draw_lungs(rng), draw_lower_chest(subject, rng))
