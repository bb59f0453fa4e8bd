"""Training patches: a rotated, scaled, maybe mirrored box out of a sample, for one of the two passes."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from stage1_segment.network_input import scaled
from stage1_segment.settings import AugmentSettings, PatchSettings, SegmentSettings
from stage1_segment.training.augment import distort, simulated_previous_pass, vary_intensity
from stage1_segment.training.samples import Sample


@dataclass(frozen=True)
class Pose:
    """Where a patch lies in a sample: `centre` (3,) voxels, `matrix` (3, 3) patch voxel -> sample voxel."""

    centre: np.ndarray
    matrix: np.ndarray


def make_patch(
    sample: Sample, patch: PatchSettings, augment: AugmentSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One training patch: image (2, X, Y, Z) float32 (CT in 0..1, previous pass), mask (X, Y, Z) int64."""
    coarse = rng.random() < patch.coarse_share
    pose = _draw_pose(sample, patch, augment, coarse, rng)
    ct, mask = cut(sample, pose, patch, patch.window(coarse))
    ct, mask = distort(ct, mask, augment, rng)
    ct = vary_intensity(ct, augment, rng)
    previous = (
        np.zeros_like(ct) if coarse else simulated_previous_pass(mask, patch.coarse_mm / patch.fine_mm, augment, rng)
    )
    return np.stack([ct, previous]), mask.astype(np.int64)


def cut(
    sample: Sample, pose: Pose, patch: PatchSettings, window: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """CT (X, Y, Z) = `window` float32 in 0..1, linear, and mask uint8, nearest; air outside of the scan."""
    middle = (np.array(window, dtype=np.float32)[:, None] - 1) / 2
    index = np.indices(window, dtype=np.float32).reshape(3, -1) - middle
    points = pose.matrix.astype(np.float32) @ index + pose.centre.astype(np.float32)[:, None]
    low = np.clip(np.floor(points.min(axis=1)).astype(int), 0, np.array(sample.ct.shape) - 1)
    high = np.clip(np.ceil(points.max(axis=1)).astype(int) + 1, low + 1, sample.ct.shape)
    box = tuple(map(slice, low, high))
    points -= low[:, None].astype(np.float32)
    where = _relative(points, sample.ct[box].shape)
    mask = _nearest(sample.mask[box], where).reshape(window)
    ct = scaled(torch.from_numpy(sample.ct[box].astype(np.float32)), patch)
    blocks = [int(min(max(f, 1), n)) for f, n in zip(np.linalg.norm(pose.matrix, axis=1), ct.shape)]
    if max(blocks) > 1:  # means over blocks first, so that nothing aliases, as `resample` does at prediction
        ct = functional.avg_pool3d(ct[None], blocks)[0]
        points = (points - (np.array(blocks)[:, None] - 1) / 2) / np.array(blocks)[:, None]
        where = _relative(points.astype(np.float32), ct.shape)
    return _linear(ct, where, window), mask


def _relative(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Voxels `points` (3, N) float32 of an array of `shape` -> -1..1 along each axis, as `grid_sample` takes them."""
    last = np.maximum(np.array(shape, dtype=np.float32) - 1, 1)
    return 2 * points / last[:, None] - 1


def _linear(values: torch.Tensor, where: np.ndarray, window: tuple[int, int, int]) -> np.ndarray:
    """`values` (X, Y, Z) at `where` (3, voxels of the window), -1..1 -> (*window) float32; 0 outside."""
    reverse = np.stack([where[2], where[1], where[0]], axis=-1).reshape(1, *window, 3)
    found = functional.grid_sample(
        values[None, None], torch.from_numpy(reverse), "bilinear", padding_mode="zeros", align_corners=True
    )
    return found[0, 0].numpy()


def _nearest(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """`values` (X, Y, Z) at `where` (3, N), -1..1 -> (N,); 0 outside. What `grid_sample` has for "nearest", in a third
    of its time."""
    flat, inside = np.zeros(where.shape[1], np.int32), np.ones(where.shape[1], bool)
    for along, n in zip(where, values.shape):
        cell = np.rint((along + 1) / 2 * np.float32(n - 1)).astype(np.int32)
        inside &= cell.view(np.uint32) < n  # what is below 0 is a large number there
        flat = flat * n + cell
    return np.where(inside, values.take(flat, mode="clip"), 0).astype(values.dtype, copy=False)


def _draw_pose(
    sample: Sample, patch: PatchSettings, augment: AugmentSettings, coarse: bool, rng: np.random.Generator
) -> Pose:
    spacing = patch.coarse_mm if coarse else patch.fine_mm
    scale = spacing * np.exp(rng.uniform(-1, 1) * np.log1p(augment.scale)) / sample.spacing
    angles = rng.normal(0, augment.rotate_deg / 2, 3).clip(-augment.rotate_deg, augment.rotate_deg)
    matrix = np.diag(scale) @ Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    if augment.flip and rng.random() < 0.5:
        matrix = matrix @ np.diag([-1.0, 1.0, 1.0])
    centre = _coarse_centre(sample, patch, rng) if coarse else _fine_centre(sample, patch, rng)
    return Pose(centre, matrix)


def _coarse_centre(sample: Sample, patch: PatchSettings, rng: np.random.Generator) -> np.ndarray:
    """As the windows of the first pass lie: within the scan when it is longer than a window, else about it."""
    shape, window = np.array(sample.ct.shape), np.array(patch.window(True)) * patch.coarse_mm / sample.spacing
    slack = np.maximum(shape - window, 0) / 2 + 15 / sample.spacing
    return (shape - 1) / 2 + rng.uniform(-slack, slack)


def _fine_centre(sample: Sample, patch: PatchSettings, rng: np.random.Generator) -> np.ndarray:
    """About a bone voxel, each level as likely as any other."""
    levels = np.flatnonzero(np.bincount(sample.mask[::2, ::2, ::2].ravel(), minlength=9)[1:]) + 1
    if len(levels) == 0:
        return rng.uniform(0, np.array(sample.ct.shape) - 1)
    voxels = np.flatnonzero(sample.mask[::2, ::2, ::2].ravel() == rng.choice(levels))
    found = np.array(np.unravel_index(rng.choice(voxels), sample.mask[::2, ::2, ::2].shape)) * 2
    reach = 0.3 * np.array(patch.window(False)) * patch.fine_mm / sample.spacing
    return found + rng.uniform(-reach, reach)


@dataclass(frozen=True, eq=False)
class CohortSamples:
    """Patches of segmented studies."""

    studies: list[Sample]
    settings: SegmentSettings

    def sample(self, draw: int) -> tuple[Tensor, Tensor]:
        """Sample number `draw`: image (2, X, Y, Z) float32 (CT in 0..1, previous pass), mask (X, Y, Z) int64. A pure
        function of the seed and the number."""
        rng = np.random.default_rng([self.settings.train.seed, draw])
        study = self.studies[rng.integers(len(self.studies))]
        image, mask = make_patch(study, self.settings.patch, self.settings.augment, rng)
        return torch.from_numpy(image), torch.from_numpy(mask)
