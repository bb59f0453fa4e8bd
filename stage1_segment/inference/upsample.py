"""From logits at the network's spacing to labels at the scan's, whose own HU draw the border where they are finer."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

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

    def logits(self, x: slice, y: slice, z: slice) -> Tensor:
        """(Z, Y, X) float32 of these voxels: how far HU speak against bone, `-weight..weight`."""
        hu = torch.from_numpy(np.ascontiguousarray(self.ct[x, y, z].T).astype(np.float32, copy=False))
        return ((self.half - hu) / self.width).clamp_(-1, 1).mul_(self.weight)


def upsampled_labels(
    logits: Tensor, shape: np.ndarray, border: Border | None = None, slab: int | None = None
) -> np.ndarray:
    """The likeliest class of logits (C, x, y, z) upsampled linearly to `shape`, faces aligned; uint8, slice by slice in
    memory, as scans are. With a `border`, whose CT has that shape, the background's logits are changed by what the HU
    say. `slab` slices along z at a time, by default as many as hold `SLAB` logits: nine times a whole scan wouldn't fit
    a small machine. Of each slab only the box and the classes are looked at that may be other than background: between
    places where it is the likeliest whatever HU say, it is so, too."""
    nx, ny, nz = (int(n) for n in shape)
    slab = slab or max(SLAB // (len(logits) * nx * ny), 1)
    slices = np.full((nz, ny, nx), BACKGROUND, np.uint8)
    along_x, along_y, along_z = (_linear(old, new, logits.device) for old, new in zip(logits.shape[1:], (nx, ny, nz)))
    if border is not None:
        logits = logits.clone()
        logits[BACKGROUND] += border.beyond.to(logits.device)
    may_win = logits > logits[BACKGROUND] - (0 if border is None else border.weight)
    for begin in range(0, nz, slab):
        z = slice(begin, min(begin + slab, nz))
        part_z, near_z = _part(along_z, z)
        seen = may_win[..., near_z].any(dim=3)
        seen[BACKGROUND] = False
        classes = torch.cat([torch.tensor([BACKGROUND]), seen.any(dim=2).any(dim=1).nonzero().flatten().cpu()])
        if len(classes) == 1:
            continue
        x, y = (_reached(along, seen.any(dim=0).any(dim=over)) for along, over in ((along_x, 1), (along_y, 0)))
        (part_x, near_x), (part_y, near_y) = _part(along_x, x), _part(along_y, y)
        piece = logits[:, near_x, near_y, near_z][classes].permute(3, 0, 2, 1)  # z becomes the batch
        piece = (part_z @ piece.flatten(1)).unflatten(1, piece.shape[1:])
        piece = part_y @ (piece @ part_x.T)
        if border is not None:
            piece[:, 0] += border.logits(x, y, z).to(piece.device)
        slices[z, y, x] = classes.numpy().astype(np.uint8)[_likeliest(piece).cpu().numpy()]
    return slices.T


def _likeliest(logits: Tensor) -> Tensor:
    """Number of the largest of (n, C, ...) logits, (n, ...) uint8; class by class, since argmax along an axis that
    isn't the last is many times slower."""
    best, labels = logits[:, 0], torch.zeros_like(logits[:, 0], dtype=torch.uint8)
    for number in range(1, logits.shape[1]):
        labels.masked_fill_(logits[:, number] > best, number)
        best = torch.maximum(best, logits[:, number])
    return labels


def _linear(old: int, new: int, device: torch.device) -> Tensor:
    """(new, old): what each of `old` cells weighs in each of `new` ones over the same extent."""
    position = ((torch.arange(new, device=device) + 0.5) * old / new - 0.5).clamp(0, old - 1)
    return (1 - (position[:, None] - torch.arange(old, device=device)).abs()).clamp(min=0)


def _part(weights: Tensor, new: slice) -> tuple[Tensor, slice]:
    """The weights of the old cells that the `new` ones are made of, and which these are."""
    old = _extent(weights[new].any(dim=0))
    return weights[new, old], old


def _reached(weights: Tensor, old: Tensor) -> slice:
    """The new cells from the first to the last that old ones (old,) bool are part of."""
    return _extent(weights[:, old].any(dim=1))


def _extent(places: Tensor) -> slice:
    found = places.nonzero()
    return slice(int(found[0]), int(found[-1]) + 1)
