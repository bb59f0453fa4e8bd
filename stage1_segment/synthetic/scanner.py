"""The scanner, and the way of its voxels onto the network's window: point spread, slices, noise."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor


@dataclass(frozen=True)
class Scanner:
    """Millimetres: `voxel` (3,) distance of the scan's voxels, `thickness` (3,) of the layer that each averages,
    `blur` (3,) standard deviation of the point spread; `sharpening` of the kernel, 0 = none; `noise` HU of a voxel,
    `grain` how far it reaches beyond the voxel, in voxels; `streaks` HU of the shoulders' streaks."""

    voxel: np.ndarray
    thickness: np.ndarray
    blur: np.ndarray
    sharpening: float
    noise: float
    grain: float
    streaks: float


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """A fine scan, or one whose voxels have been made coarse in the plane too, as for planning a radiotherapy."""
    in_plane = rng.uniform(0.3, 1.2) if rng.random() < 0.5 else rng.uniform(1.2, 5.0)
    slices = np.exp(rng.uniform(np.log(0.5), np.log(5.0)))
    if in_plane > 1.2:
        slices = rng.uniform(1.5, 5.0)
    overlap = rng.choice([1.0, rng.uniform(0.5, 1.0), rng.uniform(1.0, 1.5)])  # with gaps, contiguous, overlapping
    averaged = rng.random() < 0.6  # else taken at points, as by a plain interpolation
    flat = in_plane if averaged else min(in_plane, 1.0)
    return Scanner(
        voxel=np.array([in_plane, in_plane, slices]),
        thickness=np.array([flat, flat, slices * overlap]),
        blur=np.array([*np.full(2, rng.uniform(0.5, 1.5)), rng.uniform(0.3, 1.0)]),
        sharpening=rng.uniform(0, 0.8) if rng.random() < 0.4 else 0.0,
        noise=60 * rng.random() ** 2,
        grain=rng.uniform(0, 1.0),
        streaks=rng.exponential(15) if rng.random() < 0.5 else 0.0,
    )


def scan_axis(
    cells: int, cell_mm: float, scanner: Scanner, axis: int, phase: float
) -> tuple[Tensor, np.ndarray, float]:
    """How the scanner's voxels along one axis come from `cells` of `cell_mm`: weights (voxels, cells), the middles of
    the voxels (voxels,) mm from the first cell's outer face, and their distance. Voxels finer than the cells can't be
    told apart and are taken as large as these. `phase` 0..1: where the first voxel begins."""
    voxel = max(scanner.voxel[axis], cell_mm)
    thickness, blur = max(scanner.thickness[axis], cell_mm), scanner.blur[axis]
    length = cells * cell_mm
    middles = np.arange(-phase * voxel, length + voxel, voxel)
    distance = (np.arange(cells) + 0.5) * cell_mm - middles[:, None]
    weights = _profile(distance, thickness, blur)
    if axis < 2 and scanner.sharpening:
        wide = _profile(distance, thickness, 2 * blur + 0.5)
        weights = (1 + scanner.sharpening) * weights - scanner.sharpening * wide
    return torch.from_numpy(weights.astype(np.float32)), middles, voxel


def _profile(distance: np.ndarray, thickness: float, blur: float) -> np.ndarray:
    """A layer seen through a Gaussian, each row summing to one."""
    weights = ndtr((distance + thickness / 2) / blur) - ndtr((distance - thickness / 2) / blur)
    weights += 1e-9 * np.exp(-np.abs(distance))  # beyond the window's ends: its outermost cells
    return weights / weights.sum(axis=1, keepdims=True)


def window_axis(count: int, voxel_mm: float, middles: np.ndarray, distance: float) -> Tensor:
    """Weights (count, voxels): the scan's voxels linearly on the window's, finer ones averaged first, as prediction
    does it (`common.resample`)."""
    where = (np.arange(count) + 0.5) * voxel_mm
    reach = max(distance, 0.75 * voxel_mm)
    weights = np.clip(1 - np.abs(where[:, None] - middles) / reach, 0, None)
    return torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def along_axes(volume: Tensor, weights: list[Tensor]) -> Tensor:
    """A matrix product along each axis: (X, Y, Z) with three (new, old) -> (X', Y', Z')."""
    volume = volume @ weights[2].T
    volume = torch.matmul(weights[1], volume)
    return (weights[0] @ volume.reshape(volume.shape[0], -1)).reshape(-1, *volume.shape[1:])


def add_noise(scan: Tensor, scanner: Scanner, voxel_mm: list[float], rng: np.random.Generator) -> Tensor:
    """Noise grows with the way through the body: stronger and in horizontal streaks at the shoulders."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    width = (scan > -300).float().sum(dim=0).amax(dim=0) * voxel_mm[0]  # (Z,) mm, left to right
    thick = torch.exp((width - 140).clamp(0, 250) / 150)
    noise = torch.randn(scan.shape, generator=generator)
    if scanner.grain > 0.05:
        kernel = torch.exp(-0.5 * (torch.arange(-2, 3) / scanner.grain) ** 2)
        kernel = kernel / kernel.square().sum().sqrt()
        noise = _convolve(_convolve(noise, kernel, 0), kernel, 1)
    scan = scan + noise * (scanner.noise * thick.clamp(max=3))
    if scanner.streaks:
        lines = torch.randn((scan.shape[0] // 12 + 2, *scan.shape[1:]), generator=generator)
        lines = torch.nn.functional.interpolate(
            lines.permute(1, 2, 0), size=scan.shape[0], mode="linear", align_corners=True
        ).permute(2, 0, 1)
        scan = scan + lines * (scanner.streaks * (thick - 1).clamp(max=4))
    return scan


def _convolve(values: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Circular, along one axis; for noise its ends don't matter."""
    half = len(kernel) // 2
    return sum(float(w) * values.roll(k - half, axis) for k, w in enumerate(kernel))
