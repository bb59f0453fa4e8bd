"""A network that takes windows, at work on a whole volume: overlapping windows, blended by a Gaussian.

Computes what `sliding_window_inference` of MONAI does with mode="gaussian"; importing that package takes seconds.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stage1_segment.inference.windows import Place

SIGMA = 0.125
"""Of the Gaussian, as a part of the window's side."""
LEAST_WEIGHT = 1e-3


def sliding_window(
    image: Tensor, places: Sequence[Place], at_once: int, predict: Callable[[Tensor], Tensor], elsewhere: Tensor
) -> Tensor:
    """image (C, X, Y, Z) -> (K, X, Y, Z) float32 on its device: `elsewhere` (K,) where no window looks, else the
    blended predictions of the windows at `places`, all of one size. `predict`: (N, C, *window) -> (N, K, *window),
    N <= `at_once`."""
    total = torch.zeros((len(elsewhere), *image.shape[1:]), device=image.device)
    weights = torch.zeros(image.shape[1:], device=image.device)
    weight = gaussian([along.stop - along.start for along in places[0]] if places else (), image.device)
    for first in range(0, len(places), at_once):
        here = places[first : first + at_once]
        found = predict(torch.stack([image[(slice(None), *place)] for place in here]))
        for place, values in zip(here, found):
            total[(slice(None), *place)] += values * weight
            weights[place] += weight
    unseen = weights == 0
    total /= weights.masked_fill_(unseen, 1)
    return torch.where(unseen, elsewhere.to(image.device).reshape(-1, 1, 1, 1), total)


def gaussian(window: Sequence[int], device: torch.device) -> Tensor:
    """(*window): the weight of each place of a window's prediction, 1 in its middle."""
    weight = torch.ones((), device=device)
    for side in window:
        away = torch.arange(side, device=device) - (side - 1) / 2
        weight = weight[..., None] * torch.exp(away**2 / (-2 * (SIGMA * side) ** 2))
    return weight.clamp(min=max(float(weight.min()), LEAST_WEIGHT))
