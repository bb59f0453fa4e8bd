"""Where in the bone a prediction comes from, on the scan's own voxels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from common.labels import LEVELS
from common.resample import resample
from common.volume import Grid, Volume
from stage2_classify.crops.batch import as_batch
from stage2_classify.crops.cut import Crops
from stage2_classify.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Peak:
    """The largest evidence of a vertebra: `value` 0..1, `place` (3,) RAS mm."""

    value: float
    place: np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """`map`: (X, Y, Z) float32 on the scan's grid, 0..1 in and beside each vertebra, 0 elsewhere. `peaks`: level in
    view -> its peak."""

    map: Volume
    peaks: dict[str, Peak]


def evidence_of(predictors: Sequence[Predictor], crops: Crops, grid: Grid) -> Evidence | None:
    """Crops of a study -> the sigmoid of the voxel logits (mean over the networks), laid on the scan's `grid`. None for
    networks that have no voxel logits of a vertebra."""
    if not all(predictor.settings.network.kind == "vertebra3d" for predictor in predictors):
        return None
    found, peaks = np.zeros(grid.shape, np.float32), {}
    rows = np.flatnonzero(crops.present)
    if len(rows):
        heat = np.mean([_voxel_probabilities(predictor, crops, rows) for predictor in predictors], axis=0)
        for one, row in zip(heat, rows):
            part = Volume(one, _coarse_affine(crops.affines[row], crops.images.shape[2:], one.shape))
            _add(found, grid, part)
            peaks[LEVELS[row]] = _peak(part)
    return Evidence(Volume(found, grid.affine), peaks)


def _peak(heat: Volume) -> Peak:
    at = np.unravel_index(int(heat.array.argmax()), heat.array.shape)
    return Peak(float(heat.array[at]), heat.grid.to_world(at))


@torch.inference_mode()
def _voxel_probabilities(predictor: Predictor, crops: Crops, rows: np.ndarray) -> np.ndarray:
    """(N, X', Y', Z') of the N vertebrae in view."""
    batch = {name: value[0][rows].to(predictor.device) for name, value in as_batch(crops).items() if name != "present"}
    with predictor.autocast():
        outputs = predictor.network.get_submodule("encoder")(batch)
    within = outputs["voxel_logits"].float().sigmoid() * outputs["vertebra_mask"]
    return within.reshape(len(rows), *_size(crops.images.shape[2:])).cpu().numpy()


def _size(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a network's map of crops of `shape`: halved twice, rounded up."""
    return tuple(-(-n // 4) for n in shape)


def _coarse_affine(affine: np.ndarray, shape: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """Of a map of `size` cells that covers a crop of `shape` with this affine."""
    steps = np.divide(shape, size)
    coarse = affine.copy()
    coarse[:3, :3] = affine[:3, :3] * steps
    coarse[:3, 3] = affine[:3, :3] @ ((steps - 1) / 2) + affine[:3, 3]
    return coarse


def _add(found: np.ndarray, grid: Grid, heat: Volume) -> None:
    """The larger of what is there and a vertebra's map, in place."""
    index = grid.to_index(heat.grid.corners())
    start = np.clip(np.floor(index.min(axis=0)).astype(int), 0, grid.shape)
    stop = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, grid.shape)
    if (stop <= start).any():
        return
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(start)
    n, m, k = (int(value) for value in stop - start)
    window = tuple(slice(int(a), int(b)) for a, b in zip(start, stop))
    found[window] = np.maximum(found[window], resample(heat, Grid((n, m, k), affine), fill=0).array)
