"""Building blocks in two and three dimensions; normalised by groups, so that a batch's make-up changes nothing."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(channels // 4, 1), channels)


def gaps(ct: Tensor, reach: int = 2) -> Tensor:
    """ct (N, X, Y, Z) -> how much darker each cell is than what surrounds it on both sides within `reach` cells:
    morphological closing minus the picture (the black top-hat). Thin gaps in bone stand out, wide edges don't."""
    closed = ct.unsqueeze(1)
    for sign in (1, -1):
        closed = sign * _largest(sign * closed, reach)
    return closed.squeeze(1) - ct


def _largest(x: Tensor, reach: int) -> Tensor:
    """Maximum over a cube of 2 reach + 1 cells, axis by axis."""
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 2 * reach + 1, reach
        x = F.max_pool3d(x, size, stride=1, padding=padding)
    return x


def stem(dims: int, inputs: int, channels: int) -> nn.Sequential:
    """(B, inputs, ...) -> (B, channels, ... / 2)."""
    return nn.Sequential(
        CONVOLUTION[dims](inputs, channels, 3, stride=2, padding=1, bias=False), norm(channels), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two convolutions with a way around them (He et al. 2016)."""

    def __init__(self, dims: int, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[dims]
        self.first = convolution(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.first_norm = norm(channels)
        self.second = convolution(channels, channels, 3, padding=1, bias=False)
        self.second_norm = norm(channels)
        self.around = nn.Identity()
        if stride != 1 or inputs != channels:
            self.around = nn.Sequential(convolution(inputs, channels, 1, stride=stride, bias=False), norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)), inplace=True)
        return F.relu(self.around(x) + self.second_norm(self.second(y)), inplace=True)


def log_mean_exp(values: Tensor, chosen: Tensor) -> Tensor:
    """values (..., n), chosen (..., n) bool -> (...): log of the mean of exp over the chosen, between their mean
    and their largest; where none is chosen, over all."""
    chosen = chosen | ~chosen.any(dim=-1, keepdim=True)
    values = values.float().masked_fill(~chosen, -torch.inf)
    return torch.logsumexp(values, dim=-1) - chosen.sum(dim=-1).float().log()


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
