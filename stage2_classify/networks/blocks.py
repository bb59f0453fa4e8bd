"""Building blocks in two and three dimensions; normalised by instances, unless a network is told otherwise."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 4
"""Cells along the edge of the blocks in which a network sees where the vertebra is."""
MUSCLE, BONE = 0.17, 0.27
"""About 60 and 200 HU in the default window."""
VOXEL_START = -2.0
"""Voxel logits start here, since most places are healthy; taken off again in the evidence."""
CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}


def norm(dims: int, channels: int, kind: str = "instance") -> nn.Module:
    """In a volume by `kind`, see `NetworkSettings.norm`; by groups of channels in a slice, whose map may shrink to a
    single cell."""
    if dims == 2:
        return nn.GroupNorm(max(channels // 4, 1), channels)
    if kind == "batch":
        return nn.BatchNorm3d(channels)
    return nn.InstanceNorm3d(channels, affine=True)


def gaps(ct: Tensor) -> Tensor:
    """ct (N, X, Y, Z) -> how much darker each cell is than what surrounds it on both sides within two cells:
    morphological closing minus the image (the black top-hat). Thin gaps in bone stand out, wide edges don't. What is
    all 255ths, as crops are, is closed in bytes, a quarter of the memory: the order of the values is the same."""
    if ct.dtype == torch.float32:
        steps = (ct * 255).round_().to(torch.uint8)
        if torch.equal(_of_255(steps), ct):
            return _of_255(_closed(steps)) - ct
    return _closed(ct) - ct


def _of_255(steps: Tensor) -> Tensor:
    return steps.float().div_(255)


def _closed(x: Tensor) -> Tensor:
    return _over_cube(torch.minimum, _over_cube(torch.maximum, x))


def whereabouts(mask: Tensor) -> Tensor:
    """mask (N, X, Y, Z) 0..1 -> (N, X, Y, Z): where the vertebra is, and no more. The largest value in blocks of BLOCK
    cells, upsampled smoothly: gaps and the outlines of fragments are gone, which a mask drawn by someone who knew of
    the fracture shows and one from stage 1 doesn't."""
    blocks = F.max_pool3d(mask.unsqueeze(1), BLOCK)
    return F.interpolate(blocks, size=mask.shape[1:], mode="trilinear", align_corners=False).squeeze(1)


def partly_hidden(ct: Tensor, where: Tensor, inputs: str) -> Tensor:
    """ct and whereabouts (N, X, Y, Z) -> the part of the CT that a network may see (`NetworkSettings.inputs`), muscle's
    grey instead of the rest."""
    if inputs in ("all", "ct"):
        return ct
    hidden = torch.ones_like(ct, dtype=torch.bool) if inputs == "mask" else (where > 0) | (ct > BONE)
    return ct.masked_fill(hidden, MUSCLE)


def _over_cube(extreme: Callable[[Tensor, Tensor], Tensor], x: Tensor) -> Tensor:
    """Maximum or minimum over a cube of 5 cells, axis by axis, cut at the border; by shifts, many times as fast as a
    pooling."""
    for axis in range(1, 4):
        length = x.shape[axis]
        widened = torch.cat([x.narrow(axis, 0, 1)] * 2 + [x] + [x.narrow(axis, length - 1, 1)] * 2, dim=axis)
        pairs = extreme(widened.narrow(axis, 0, length + 3), widened.narrow(axis, 1, length + 3))
        fours = extreme(pairs.narrow(axis, 0, length), pairs.narrow(axis, 2, length))
        x = extreme(fours, widened.narrow(axis, 4, length))
    return x


def stem(dims: int, inputs: int, channels: int, kind: str = "instance") -> nn.Sequential:
    """(B, inputs, ...) -> (B, channels, ... / 2)."""
    return nn.Sequential(
        CONVOLUTION[dims](inputs, channels, 3, stride=2, padding=1, bias=False),
        norm(dims, channels, kind),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two convolutions with a way around them (He et al. 2016)."""

    def __init__(self, dims: int, inputs: int, channels: int, stride: int, kind: str = "instance") -> None:
        super().__init__()
        convolution = CONVOLUTION[dims]
        self.first = convolution(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.first_norm = norm(dims, channels, kind)
        self.second = convolution(channels, channels, 3, padding=1, bias=False)
        self.second_norm = norm(dims, channels, kind)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or inputs != channels:
            self.around = nn.Sequential(
                convolution(inputs, channels, 1, stride=stride, bias=False), norm(dims, channels, kind)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)), inplace=True)
        return F.relu(self.around(x) + self.second_norm(self.second(y)), inplace=True)


def log_mean_exp(values: Tensor, chosen: Tensor) -> Tensor:
    """values (..., n), chosen (..., n) bool -> (...): log of the mean of exp over the chosen, between their mean
    and their largest; where none is chosen, over all."""
    chosen = chosen | ~chosen.any(dim=-1, keepdim=True)
    values = values.float().masked_fill(~chosen, -torch.inf)
    return torch.logsumexp(values, dim=-1) - chosen.sum(dim=-1).float().log()


def top_mean(values: Tensor, chosen: Tensor, count: int) -> Tensor:
    """values (..., n), chosen (..., n) bool -> (...): mean of the `count` largest of the chosen, of all chosen where
    these are fewer; where none is chosen, of all."""
    chosen = chosen | ~chosen.any(dim=-1, keepdim=True)
    largest = values.float().masked_fill(~chosen, -torch.inf).topk(min(count, values.shape[-1]), dim=-1).values
    counted = torch.isfinite(largest)
    return (largest.where(counted, 0.0)).sum(dim=-1) / counted.sum(dim=-1)


def evidence(voxel_logits: Tensor, near: Tensor, top_places: int) -> Tensor:
    """voxel_logits (N, n), near (N, n) bool -> (N,): see `networks`; by the mean of the `top_places` largest, 0: by
    `log_mean_exp`, whose gradient reaches every place."""
    values = top_mean(voxel_logits, near, top_places) if top_places else log_mean_exp(voxel_logits, near)
    return values - VOXEL_START


def pooled(features: Tensor, chosen: Tensor) -> Tensor:
    """features (N, C, n), chosen (N, n) bool -> (N, 2C): mean and maximum over the chosen places."""
    chosen = (chosen | ~chosen.any(dim=-1, keepdim=True)).unsqueeze(1)
    mean = (features * chosen).sum(dim=-1) / chosen.sum(dim=-1)
    largest = features.masked_fill(~chosen, -torch.inf).amax(dim=-1)
    return torch.cat([mean, largest], dim=1)


def scatter(values: Tensor, present: Tensor, fill: float = 0.0) -> Tensor:
    """Values (N, ...) of the N present vertebrae, present (B, 7) with N True -> (B, 7, ...)."""
    full = values.new_full((*present.shape, *values.shape[1:]), fill)
    full[present] = values
    return full


def to_logit(probability: Tensor) -> Tensor:
    return torch.logit(probability.clamp(1e-3, 1 - 1e-3))
