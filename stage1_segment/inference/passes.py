"""The two passes of the network over a scan: all of it coarsely, then the spine at finer spacing."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from common.device import autocast
from common.labels import BACKGROUND, CLASS_NAMES
from common.resample import AIR_HU, resample
from common.training.gpu_memory import within_memory
from common.volume import Grid, Volume
from stage1_segment.inference.bone_guard import spine_pieces
from stage1_segment.inference.sliding_window import sliding_window
from stage1_segment.inference.upsample import Border
from stage1_segment.inference.windows import padded, windows_about
from stage1_segment.network_input import as_previous_pass, covering_grid, scaled

if TYPE_CHECKING:
    from stage1_segment.inference.segmenter import Segmenter

COVERED = 0.5
"""Part of the margin about the first pass that windows of the second must cover. The rest is there for them to see
where they reach that far: a spine hardly wider than a window gets one instead of two (docs/performance.md)."""


def coarse_pass(scan: Volume, segmenter: "Segmenter") -> Volume:
    """Level numbers (float32, 0 = nothing) of the whole scan at the coarse spacing; only the spine's pieces."""
    grid = covering_grid(scan.grid, segmenter.patch.coarse_mm)
    hu = resample(scan, grid).array
    logits = _infer(scaled(hu.astype(np.float32), segmenter.patch), None, segmenter)
    probabilities = torch.softmax(logits, dim=0).cpu().numpy()
    bone = 1 - probabilities[BACKGROUND]
    pieces = spine_pieces(bone > 0.5, hu)
    numbers = np.tensordot(np.arange(len(CLASS_NAMES)), probabilities, axes=1) / np.maximum(bone, 1e-6)
    return Volume(np.where(pieces, numbers, 0).astype(np.float32), grid.affine)


def spine_region(coarse: Volume, grid: Grid, margin_mm: float) -> tuple[np.ndarray, np.ndarray] | None:
    """First and one past the last voxel (3,) of `grid` about the coarse prediction; None when it is empty."""
    found = ndimage.find_objects((coarse.array > 0).astype(np.uint8))
    if not found:
        return None
    corners = np.array([[s.start - 0.5, s.stop - 0.5] for s in found[0]])
    low, high = grid.to_index(coarse.grid.to_world(corners.T))
    margin = margin_mm / grid.spacing
    start = np.clip(np.floor(low + 0.5 - margin), 0, np.array(grid.shape) - 1).astype(int)
    stop = np.clip(np.ceil(high + 0.5 + margin), start + 1, grid.shape).astype(int)
    return start, stop


def fine_pass(
    scan: Volume, coarse: Volume, start: np.ndarray, stop: np.ndarray, segmenter: "Segmenter"
) -> tuple[np.ndarray, Tensor]:
    """HU (x, y, z) and logits (9, x, y, z) of a region of the scan at the fine spacing."""
    grid = covering_grid(scan.crop(start, stop).grid, segmenter.patch.fine_mm)
    # A margin beyond the region, so that its edge is interpolated from the scan rather than from nothing.
    hu = resample(scan.crop(start - 4, stop + 4), grid, fill=AIR_HU).array.astype(np.float32)
    previous = as_previous_pass(resample(coarse, grid, order=0, fill=0).array)
    return hu, _infer(scaled(hu, segmenter.patch), previous, segmenter)


def border_of(region: Volume, hu: np.ndarray, logits: Tensor, segmenter: "Segmenter") -> Border | None:
    """What the scan's own HU say of the bone's border; None where the scan isn't finer than what the network saw."""
    weight = segmenter.predict.border
    if not weight or np.prod(region.spacing) >= segmenter.patch.fine_mm**3:
        return None
    vertebrae = (logits[BACKGROUND + 1 :].amax(dim=0) > logits[BACKGROUND]).cpu().numpy()
    return Border.of(region.array, hu, vertebrae, weight)


def _infer(ct: np.ndarray, previous: np.ndarray | None, segmenter: "Segmenter") -> Tensor:
    """CT in 0..1 and previous (None in the first pass), both (X, Y, Z), in windows -> logits (9, X, Y, Z) float32 on
    the segmenter's device. The first pass looks about what is denser than air, but for a rim at the sides where that
    spares windows, the second about the levels of the previous pass; the rest is background. What a window lacks is
    padded with air."""
    coarse = previous is None
    window = segmenter.patch.window(coarse)
    both = np.stack([ct, np.zeros_like(ct) if previous is None else previous])
    image, own = padded(torch.from_numpy(both), window)
    covered_mm, overlap = COVERED * segmenter.predict.margin_mm, segmenter.predict.overlap
    if coarse:  # bone in a rim that is left out is within what the second pass covers about the rest
        rim = int(covered_mm / segmenter.patch.coarse_mm)
        places = windows_about(image[0] > 0, window, overlap, 0, rim)
    else:
        margin = math.ceil(covered_mm / segmenter.patch.fine_mm)
        places = windows_about(image[1] > 0, window, overlap, margin)
    background = torch.zeros(len(CLASS_NAMES))
    background[BACKGROUND] = 8.0

    def predict(windows: Tensor) -> Tensor:
        with autocast(windows.device, segmenter.predict.precision):
            logits = segmenter.network(windows).float()
            if segmenter.predict.test_time_augmentation:
                logits = (logits + segmenter.network(windows.flip(2)).float().flip(2)) / 2
            return logits

    @torch.inference_mode()
    def infer(at_once: int, device: torch.device) -> Tensor:
        if isinstance(segmenter.network, nn.Module):
            segmenter.network.to(device)
        return sliding_window(image.to(device), places, at_once, predict, background)[(slice(None), *own)]

    return within_memory(infer, 1 if segmenter.device.type == "cpu" else 8, segmenter.device, "segmenting")
