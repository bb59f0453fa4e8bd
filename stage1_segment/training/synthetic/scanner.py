"""The scanners, and the way of their voxels onto the network's window: point spread, slices, noise.

Each scan of a batch has voxels of its own; where it has fewer than another it is filled up with air, which its window
doesn't see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.special import ndtr

from stage1_segment.scanner_ranges import COARSE_MM, FINE_MM, NOISE_HU, SLICE_MM
from stage1_segment.training.synthetic.batch import stacked, to_device
from stage1_segment.training.synthetic.interpolate import linear_weights, random_fields

SHORT = 0.05
"""A grain that reaches no further is none."""


@dataclass(frozen=True)
class Scanner:
    """Millimetres: `voxel` (3,) distance of the scan's voxels, `thickness` (3,) of the layer that each averages,
    `blur` (3,) standard deviation of the point spread; `sharpening` of the kernel, 0 = none; `noise` HU of a voxel,
    `grain` how far it reaches beyond the voxel, in voxels; `streaks` HU of the shoulders' streaks; `phase` (3,) 0..1:
    where the first voxel begins; `seed` of the noise."""

    voxel: np.ndarray
    thickness: np.ndarray
    blur: np.ndarray
    sharpening: float
    noise: float
    grain: float
    streaks: float
    phase: np.ndarray
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ScanAxis:
    """How the scans' voxels along one axis come from cells: `weights` (B, voxels, cells); `middles` (B, voxels) of the
    voxels, mm from the first cell's outer face, infinite where a scan has no more; their `distance` (B,) mm; how many
    each scan has."""

    weights: Tensor
    middles: Tensor
    distance: Tensor
    counts: list[int]


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """A fine scan, or one whose voxels have been made coarse in the plane too, as for planning a radiotherapy."""
    in_plane = rng.uniform(*FINE_MM) if rng.random() < 0.5 else rng.uniform(*COARSE_MM)
    slices = np.exp(rng.uniform(*np.log(SLICE_MM)))
    if in_plane > COARSE_MM[0]:
        slices = rng.uniform(1.5, SLICE_MM[1])
    overlap = rng.choice([1.0, rng.uniform(0.5, 1.0), rng.uniform(1.0, 1.5)])  # with gaps, contiguous, overlapping
    averaged = rng.random() < 0.6  # else taken at points, as by a plain interpolation
    flat = in_plane if averaged else min(in_plane, 1.0)
    return Scanner(
        voxel=np.array([in_plane, in_plane, slices]),
        thickness=np.array([flat, flat, slices * overlap]),
        blur=np.array([*np.full(2, rng.uniform(0.5, 1.5)), rng.uniform(0.3, 1.0)]),
        sharpening=rng.uniform(0, 0.8) if rng.random() < 0.4 else 0.0,
        noise=NOISE_HU * rng.random() ** 2,
        grain=rng.uniform(0, 1.0),
        streaks=rng.exponential(15) if rng.random() < 0.5 else 0.0,
        phase=rng.random(3),
        seed=int(rng.integers(2**31)),
    )


def scan_axis(scanners: Sequence[Scanner], axis: int, cells: int, cell_mm: float, device: torch.device) -> ScanAxis:
    """Of `cells` cells of `cell_mm`. Voxels finer than these can't be told apart and are taken as large as they are."""
    voxel = np.array([max(scanner.voxel[axis], cell_mm) for scanner in scanners])
    phase = np.array([scanner.phase[axis] for scanner in scanners])
    counts = np.ceil((cells * cell_mm) / voxel + 1 + phase).astype(int)
    thickness = np.array([max(scanner.thickness[axis], cell_mm) for scanner in scanners])
    blur = np.array([scanner.blur[axis] for scanner in scanners])
    sharpening = np.array([scanner.sharpening for scanner in scanners])

    numbers = torch.arange(int(counts.max()), device=device)
    scans = np.stack([voxel, phase, counts, thickness, blur, sharpening])
    voxel, phase, count, thickness, blur, sharpening = to_device(scans, device, 1)
    middles = (numbers - phase) * voxel
    distance = (torch.arange(cells, device=device) + 0.5) * cell_mm - middles[..., None]
    weights = _profile(distance, thickness[..., None], blur[..., None])
    if axis < 2 and any(scanner.sharpening for scanner in scanners):
        wide = _profile(distance, thickness[..., None], 2 * blur[..., None] + 0.5)
        weights = weights + sharpening[..., None] * (weights - wide)
    there = numbers < count
    return ScanAxis(
        (weights * there[..., None]).float(), middles.masked_fill(~there, torch.inf), voxel[:, 0].float(), [*counts]
    )


def _profile(distance: Tensor, thickness: Tensor, blur: Tensor) -> Tensor:
    """A layer seen through a Gaussian, each row summing to one."""
    weights = ndtr((distance + thickness / 2) / blur) - ndtr((distance - thickness / 2) / blur)
    weights += 1e-9 * torch.exp(-distance.abs())  # beyond the window's ends: its outermost cells
    return weights / weights.sum(dim=-1, keepdim=True)


def window_axis(count: int, voxel_mm: float, axis: ScanAxis) -> Tensor:
    """Weights (B, count, voxels): the scans' voxels linearly on the window's, finer ones averaged first, as prediction
    does it (`common.resample`)."""
    where = (torch.arange(count, device=axis.middles.device) + 0.5) * voxel_mm
    reach = axis.distance.clamp(min=0.75 * voxel_mm)[:, None, None]
    weights = (1 - (where[:, None] - axis.middles[:, None]).abs() / reach).clip(0)
    return (weights / weights.sum(dim=-1, keepdim=True)).float()


def add_noise(scans: Tensor, scanners: Sequence[Scanner], axes: Sequence[ScanAxis]) -> Tensor:
    """Noise grows with the way through the body: stronger and in horizontal streaks at the shoulders. `scans`
    (B, X, Y, Z) HU."""
    width = (scans > -300).float().sum(dim=1).amax(dim=1) * axes[0].distance[:, None]  # (B, Z) mm, left to right
    thick = torch.exp((width - 140).clamp(0, 250) / 150)[:, None, None]
    shapes = list(zip(*(axis.counts for axis in axes)))
    generators = [torch.Generator(scans.device).manual_seed(scanner.seed) for scanner in scanners]
    noise = random_fields(shapes, generators)
    if any(scanner.grain > SHORT for scanner in scanners):
        widths = np.array([scanner.grain for scanner in scanners]).clip(SHORT)[:, None]
        bells = np.exp(-0.5 * (np.arange(-2, 3) / widths) ** 2)
        kernels = to_device((bells / np.linalg.norm(bells, axis=1, keepdims=True)).astype(np.float32), noise)
        noise = _convolved(_convolved(noise, kernels, 1), kernels, 2)
    scans = scans + noise * (stacked(scanners, "noise", scans, 3) * thick.clamp(max=3))
    if any(scanner.streaks for scanner in scanners):
        lines = random_fields([(x // 12 + 2, y, z) for x, y, z in shapes], generators)
        along = linear_weights([x // 12 + 2 for x, _, _ in shapes], [x for x, _, _ in shapes], scans.device)
        lines = (along @ lines.flatten(2)).view(scans.shape)
        scans = scans + lines * (stacked(scanners, "streaks", scans, 3) * (thick - 1).clamp(max=4))
    return scans


def _convolved(values: Tensor, kernels: Tensor, axis: int) -> Tensor:
    """Each scan with its kernel (5,) along one axis, zeros beyond its ends."""
    half, size = kernels.shape[1] // 2, values.shape[axis]
    wide = torch.zeros((*values.shape[:axis], size + 2 * half, *values.shape[axis + 1 :]), device=values.device)
    wide.narrow(axis, half, size).copy_(values)
    return sum(weight[:, None, None, None] * wide.narrow(axis, place, size) for place, weight in enumerate(kernels.T))
