"""Training samples from a cohort's own segmentations."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stage1_segment.patches import make_patch
from stage1_segment.samples import Sample
from stage1_segment.settings import SegmentSettings


@dataclass(frozen=True, eq=False)
class CohortSamples:
    """Patches of segmented studies."""

    studies: list[Sample]
    settings: SegmentSettings

    def sample(self, draw: int) -> tuple[Tensor, Tensor]:
        """Sample number `draw`: image (2, X, Y, Z) float32 (CT in 0..1, hint), mask (X, Y, Z) int64. A pure function of
        the seed and the number."""
        rng = np.random.default_rng([self.settings.train.seed, draw])
        study = self.studies[rng.integers(len(self.studies))]
        image, mask = make_patch(study, self.settings.patch, self.settings.augment, rng)
        return torch.from_numpy(image), torch.from_numpy(mask)
