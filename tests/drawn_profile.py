"""What is seen along the line of a drawn spine: bodies and discs of given heights, named as they are."""

import numpy as np

from stage1_segment.inference.levels.line import STEP_MM
from stage1_segment.inference.levels.profile import Profile

HEIGHTS = {2: 44.0, 3: 17.8, 4: 17.5, 5: 17.0, 6: 17.4, 7: 18.9, 8: 41.0}
DISC_MM, BONE_HU, DISC_HU = 4.5, 350.0, 110.0


def drawn_profile(
    heights: dict[int, float] = HEIGHTS, fused: bool = False, above_mm: float = 30.0, noise: float = 10.0, seed: int = 0
) -> tuple[Profile, np.ndarray]:
    """A profile and the true names (N,). `heights`: mask value -> mm from disc to disc, from the top; thoracic ones are
    two vertebrae. `fused`: without any disc to be seen."""
    rng = np.random.default_rng(seed)
    bodies = [(value, part) for value, mm in heights.items() for part in ([mm / 2] * 2 if value == 8 else [mm])]
    ends = np.cumsum([mm for _, mm in bodies])
    places = np.arange(0, ends[-1], STEP_MM)
    of_body = np.searchsorted(ends, places, side="right").clip(max=len(bodies) - 1)
    truth = np.array([value for value, _ in bodies], np.uint8)[of_body]
    away = np.abs(places[:, None] - ends[None, :-1]).min(axis=1)
    disc = np.zeros(len(places)) if fused else (away < DISC_MM / 2).astype(float)
    classes = np.zeros((len(places), 9), np.float32)
    classes[np.arange(len(places)), truth] = 1
    top = (truth == 2) & (places < 18)
    classes[top, 1], classes[top, 2] = 0.5, 0.5
    classes = 0.96 * classes + 0.04 / 9
    background = 0.05 + 0.4 * disc
    classes = np.concatenate([background[:, None], classes[:, 1:] / classes[:, 1:].sum(1, keepdims=True)], axis=1)
    classes[:, 1:] *= 1 - background[:, None]
    hu = BONE_HU + (DISC_HU - BONE_HU) * disc + rng.normal(0, noise, len(places))
    line = np.column_stack([np.zeros((len(places), 2)), -places])
    return Profile(line, classes, truth.copy(), hu, above_mm, 20.0), truth
