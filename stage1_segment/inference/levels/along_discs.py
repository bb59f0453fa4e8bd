"""Names moved along the spine to where the discs are: what the network is shown when it draws the borders again."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from common.volume import Volume
from stage1_segment.inference.levels.certainty import likeliest_names, nearest_names
from stage1_segment.inference.levels.line import STEP_MM
from stage1_segment.inference.levels.model import LevelModel
from stage1_segment.inference.levels.profile import Profile

DRAWN_AGAIN_BELOW = 0.0
"""The chain's log odds of a study, before they are calibrated, from which on borders stay as they are: the names are
likelier right than wrong."""
LEAST_MOVE_MM = 3.0
"""Borders nearer to their discs stay."""
ARCH_MM = (14.0, 20.0)
"""From the line: bodies move with their discs, arches, which have none, less and less and then not at all."""


def moved_to_discs(labels: Volume, seen: Profile, model: LevelModel) -> Volume | None:
    """labels (X, Y, Z) uint8 of `labels.CLASS_NAMES` -> the same bone, with each name of a body moved along the line so
    that borders lie where the chain's likeliest ones do; None where there is nothing to move."""
    new, old = _borders(likeliest_names(seen, model)), _borders(np.maximum(nearest_names(seen.names), 2))
    shared = sorted(new.keys() & old.keys())
    if not shared or max(abs(new[name] - old[name]) for name in shared) < LEAST_MOVE_MM:
        return None
    discs, drawn = (np.array([of[name] for name in shared]) for of in (new, old))
    places = np.argwhere(labels.array > 0)
    world = labels.grid.to_world(places)
    aside, nearest_place = cKDTree(seen.line).query(world)
    at = nearest_place * STEP_MM
    shift = np.interp(at, discs, drawn - discs) * np.interp(aside, ARCH_MM, (1, 0))
    tangent = np.gradient(seen.line, STEP_MM, axis=0)[np.round(at / STEP_MM).astype(int)]
    index = np.round(labels.grid.to_index(world + shift[:, None] * tangent)).astype(int)
    index = np.clip(index, 0, np.array(labels.array.shape) - 1)
    nearest = ndimage.distance_transform_edt(
        labels.array == 0, sampling=labels.spacing, return_distances=False, return_indices=True
    )
    filled = labels.array[tuple(nearest)]
    moved = np.zeros_like(labels.array)
    moved[tuple(places.T)] = filled[tuple(index.T)]
    return labels.with_array(moved)


def _borders(values: np.ndarray) -> dict[int, float]:
    """Mask value -> mm along the line at which the next one begins, where it does only once."""
    ends = np.flatnonzero(np.diff(values.astype(int)) == 1)
    return {int(values[n]): (n + 0.5) * STEP_MM for n in ends if np.count_nonzero(values[ends] == values[n]) == 1}
