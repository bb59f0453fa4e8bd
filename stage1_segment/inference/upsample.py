"""From logits at the network's spacing to labels at the scan's, whose own HU draw the border where they are finer."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from common.labels import BACKGROUND
from common.masks.values import TOUCHING

SLAB = 2**22
"""Logits at a time: arrays of more bytes than a few of these get new pages of the system each time they are made."""
SOFT_HU = 50.0
"""Muscle."""
SHELL = 0.75
"""Quantile of the HU in vertebrae that stands for their shell."""


@dataclass(frozen=True, eq=False)
class Border:
    """Where bone ends by its own HU: `ct` (X, Y, Z) HU; `half` HU: between muscle and the shell, where an edge blurred
    by any scanner lies; `width` HU over which the evidence grows to `weight`, in logits. `beyond` (x, y, z) logits:
    what speaks against bone further than a voxel from what the network calls a vertebra, `weight` or 0; dense bone
    there, such as the skull's, is none by its HU alone."""

    ct: np.ndarray
    half: float
    width: float
    weight: float
    beyond: Tensor

    def between(self, part: float) -> float:
        """HU that lie `part` (0..1) of the way from muscle to the vertebrae's shell; `half` is halfway."""
        return SOFT_HU + 2 * part * (self.half - SOFT_HU)

    @classmethod
    def of(cls, ct: np.ndarray, hu: np.ndarray, vertebrae: np.ndarray, weight: float) -> "Border | None":
        """`hu`, `vertebrae` bool (x, y, z): the scan at the network's spacing, and what it calls a vertebra there. None
        when there is none, or nothing of the density of bone."""
        shell = float(np.quantile(hu[vertebrae], SHELL)) if vertebrae.any() else SOFT_HU
        if shell <= 3 * SOFT_HU:
            return None
        beyond = torch.from_numpy(~ndimage.binary_dilation(vertebrae, TOUCHING)) * weight
        return cls(ct, (SOFT_HU + shell) / 2, 0.2 * shell, weight, beyond)

    def logits(self, at: slice) -> Tensor:
        """(z, X, Y) float32 of the slices `at`: how far HU speak against bone, `-weight..weight`."""
        hu = torch.from_numpy(np.ascontiguousarray(self.ct[..., at]).astype(np.float32, copy=False)).permute(2, 0, 1)
        return ((self.half - hu) / self.width).clamp_(-1, 1).mul_(self.weight)


def upsampled_labels(
    logits: Tensor, shape: np.ndarray, border: Border | None = None, slab: int | None = None
) -> np.ndarray:
    """The likeliest class of logits (C, x, y, z) upsampled linearly to `shape`, faces aligned; uint8. With a `border`,
    whose CT has that shape, the background's logits are changed by what the HU say. `slab` slices along z at a time, by
    default as many as hold `SLAB` logits: nine times a whole scan wouldn't fit a small machine."""
    nx, ny, nz = (int(n) for n in shape)
    slab = slab or max(SLAB // (len(logits) * nx * ny), 1)
    labels = np.empty((nx, ny, nz), np.uint8)
    low, high, part = _linear(logits.shape[3], nz, logits.device)
    if border is not None:
        logits = logits.clone()
        logits[BACKGROUND] += border.beyond.to(logits.device)
    for begin in range(0, nz, slab):
        at = slice(begin, min(begin + slab, nz))
        piece = logits[..., low[at]] * (1 - part[at]) + logits[..., high[at]] * part[at]
        piece = piece.permute(3, 0, 1, 2)  # z becomes the batch: the rest is two-dimensional
        piece = functional.interpolate(piece, size=(nx, ny), mode="bilinear", align_corners=False)
        if border is not None:
            piece[:, BACKGROUND] += border.logits(at).to(piece.device)
        labels[..., at] = _likeliest(piece).permute(1, 2, 0).cpu().numpy()
    return labels


def _likeliest(logits: Tensor) -> Tensor:
    """Number of the largest of (n, C, ...) logits, (n, ...) uint8; class by class, since argmax along an axis that
    isn't the last is many times slower."""
    best, labels = logits[:, 0], torch.zeros_like(logits[:, 0], dtype=torch.uint8)
    for number in range(1, logits.shape[1]):
        labels.masked_fill_(logits[:, number] > best, number)
        best = torch.maximum(best, logits[:, number])
    return labels


def _linear(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Lower and upper neighbour and the upper one's weight, of `new` cells over the extent of `old` ones."""
    position = ((torch.arange(new, device=device) + 0.5) * old / new - 0.5).clamp(0, old - 1)
    low = position.floor().long()
    return low, (low + 1).clamp(max=old - 1), position - low
