"""Where in the bone a prediction comes from, on the scan's own voxels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from common.labels import LEVELS
from common.resample import resample
from common.volume import Grid, Volume
from common.workers.threads import at_once
from stage2_classify.crops.cut import Crops

if TYPE_CHECKING:
    from stage2_classify.predictor import Seen


BACK = [2, 1, 0, 3]
"""Columns of an affine whose array's axes are reversed."""


@dataclass(frozen=True, eq=False)
class Peak:
    """The largest evidence of a vertebra: `value` 0..1, `place` (3,) RAS mm."""

    value: float
    place: np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """`parts`: level in view -> its map (X', Y', Z') float32, where its crop lies: 0..1 in the vertebra, the
    probability that it would have if its most suspicious places all looked like this one; 0 beside it."""

    parts: dict[str, Volume]

    @property
    def peaks(self) -> dict[str, Peak]:
        """Level in view -> its largest evidence."""
        return {level: _peak(part) for level, part in self.parts.items()}

    def on(self, grid: Grid) -> Volume:
        """(X, Y, Z) float32 on a scan's grid: 0..1 in and beside each vertebra, 0 elsewhere."""
        found = np.zeros(grid.shape, np.float32, order="F")  # as files have it
        for window, there in at_once(partial(_part_of, grid), list(self.parts.values())):
            np.maximum(found[window], there, out=found[window])
        return Volume(found, grid.affine)


def evidence_of(seen: "Sequence[Seen]", crops: Crops, probabilities: np.ndarray) -> Evidence | None:
    """Crops of a study, what each network saw in them and what was made of it, `probabilities` of the levels (7,) ->
    the mean of the networks that have a map; None without any."""
    places = [one.places for one in seen if one.places is not None]
    if not places:
        return None
    rows, shape = np.flatnonzero(crops.present), crops.images.shape[2:]
    of_level = special.logit(np.clip(probabilities[rows], 1e-6, 1 - 1e-6)).astype(np.float32)[:, None, None, None]
    heat = np.mean([special.expit(one + of_level) for one in places], axis=0)
    return Evidence(
        {LEVELS[row]: Volume(one, _coarse_affine(crops.affines[row], shape, one.shape)) for one, row in zip(heat, rows)}
    )


def _peak(heat: Volume) -> Peak:
    at = np.unravel_index(int(heat.array.argmax()), heat.array.shape)
    return Peak(float(heat.array[at]), heat.grid.to_world(at))


def _coarse_affine(affine: np.ndarray, shape: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """Of a map of `size` cells that covers a crop of `shape` with this affine."""
    steps = np.divide(shape, size)
    coarse = affine.copy()
    coarse[:3, :3] = affine[:3, :3] * steps
    coarse[:3, 3] = affine[:3, :3] @ ((steps - 1) / 2) + affine[:3, 3]
    return coarse


def _part_of(grid: Grid, heat: Volume) -> tuple[tuple[slice, ...], np.ndarray | float]:
    """The window of a scan's grid in which a vertebra's map lies, and the map there."""
    index = grid.to_index(heat.grid.corners())
    start = np.clip(np.floor(index.min(axis=0)).astype(int), 0, grid.shape)
    stop = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, grid.shape)
    window = tuple(slice(int(a), int(b)) for a, b in zip(start, stop))
    if (stop <= start).any():
        return window, 0.0
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(start)
    n, m, k = (int(value) for value in stop - start)
    # Axes the other way round, so that what is made lies in memory as what is found.
    lying = Volume(heat.array.T, heat.affine[:, BACK])
    return window, resample(lying, Grid((k, m, n), affine[:, BACK]), fill=0).array.T
