"""The faults of stage 1, made on purpose: a vertebra missed, all of them counted one level off."""

from dataclasses import replace

import numpy as np

from stage2_classify.crops.cut import Crops
from stage2_classify.settings import AugmentSettings


def simulate_label_errors(
    crops: Crops, fractured: np.ndarray, rng: np.random.Generator, settings: AugmentSettings
) -> tuple[Crops, np.ndarray]:
    """Crops of a study and `fractured` (7,) bool of its levels -> the same with the faults that were drawn: what stands
    as a level is then the vertebra next to it, or isn't in view. At least one stays in view; a study shrunk to one
    image stays as it is."""
    if len(crops.images) != len(crops.present):
        return crops, fractured
    if rng.random() < settings.shifted_levels:
        by = int(rng.choice([-1, 1]))
        shifted = _without(_rolled(crops, by), 0 if by > 0 else -1)
        if shifted.present.any():
            crops, fractured = shifted, np.roll(fractured, by)
    if rng.random() < settings.missed_level and crops.present.sum() > 1:
        crops = _without(crops, rng.choice(np.flatnonzero(crops.present)))
    return crops, fractured


def _rolled(crops: Crops, by: int) -> Crops:
    """Every vertebra `by` levels further down; what leaves at one end comes in at the other."""
    arrays = ("images", "present", "affines", *(() if crops.distance is None else ("distance",)))
    return replace(crops, **{name: np.roll(getattr(crops, name), by, axis=0) for name in arrays})


def _without(crops: Crops, row: int) -> Crops:
    """The same with the vertebra of that row not in view."""
    images, present = crops.images.copy(), crops.present.copy()
    images[row], present[row] = 0, False
    return replace(crops, images=images, present=present)
