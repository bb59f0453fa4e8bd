"""The faults of stage 1, made on purpose: a vertebra missed, all of them counted from the wrong end."""

from dataclasses import replace

import numpy as np

from stage2_classify.crops import Crops
from stage2_classify.settings import AugmentSettings


def miscounted(
    crops: Crops, fractured: np.ndarray, rng: np.random.Generator, settings: AugmentSettings
) -> tuple[Crops, np.ndarray]:
    """Crops of a study and `fractured` (7,) bool of its levels -> the same with the faults that were drawn: what stands
    as a level is then the vertebra next to it, or isn't in view. A study shrunk to one image stays as it is."""
    if len(crops.images) != len(crops.present):
        return crops, fractured
    if rng.random() < settings.shifted:
        by = int(rng.choice([-1, 1]))
        crops, fractured = _shifted(crops, by), np.roll(fractured, by)
    if rng.random() < settings.missing and crops.present.any():
        present = crops.present.copy()
        present[rng.choice(np.flatnonzero(present))] = False
        crops = replace(crops, present=present)
    return crops, fractured


def _shifted(crops: Crops, by: int) -> Crops:
    """Every vertebra `by` levels further down; the one pushed out at an end is lost."""
    present = np.roll(crops.present, by)
    present[0 if by > 0 else -1] = False
    distance = None if crops.distance is None else np.roll(crops.distance, by, axis=0)
    return replace(crops, images=np.roll(crops.images, by, axis=0), present=present, distance=distance)
