"""From logits at the network's spacing to labels at the scan's."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SLAB = 2**22
"""Logits at a time: arrays of more bytes than a few of these get new pages of the system each time they are made."""


def upsampled_labels(logits: Tensor, shape: np.ndarray, slab: int | None = None) -> np.ndarray:
    """The likeliest class of logits (C, x, y, z) upsampled linearly to `shape`, faces aligned; uint8. `slab`
    slices along z at a time, by default as many as hold `SLAB` logits: nine times a whole scan wouldn't fit a small
    machine."""
    nx, ny, nz = (int(n) for n in shape)
    slab = slab or max(SLAB // (len(logits) * nx * ny), 1)
    labels = np.empty((nx, ny, nz), np.uint8)
    low, high, part = _linear(logits.shape[3], nz, logits.device)
    for begin in range(0, nz, slab):
        at = slice(begin, min(begin + slab, nz))
        piece = logits[..., low[at]] * (1 - part[at]) + logits[..., high[at]] * part[at]
        piece = piece.permute(3, 0, 1, 2)  # z becomes the batch: the rest is two-dimensional
        piece = functional.interpolate(piece, size=(nx, ny), mode="bilinear", align_corners=False)
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
