"""A network that takes windows, at work on a whole volume: overlapping windows, blended by a Gaussian.

Computes what `sliding_window_inference` of MONAI does with mode="gaussian"; importing that package takes seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

SIGMA = 0.125
"""Of the Gaussian, as a part of the window's side."""
LEAST_WEIGHT = 1e-3


def sliding_window(
    image: Tensor, window: Sequence[int], at_once: int, overlap: float, predict: Callable[[Tensor], Tensor]
) -> Tensor:
    """image (C, X, Y, Z) -> (K, X, Y, Z) float32 on its device, from `predict`: windows (N, C, *window) ->
    (N, K, *window), N <= `at_once`. Neighbouring windows share the part `overlap` (0 <= overlap < 1) of their side.
    What the image lacks to a window's size is zeros, half of them on either side."""
    shape = image.shape[1:]
    lacking = [max(side - size, 0) for side, size in zip(window, shape)]
    before = [missing // 2 for missing in lacking]
    padding = [end for first, missing in zip(reversed(before), reversed(lacking)) for end in (first, missing - first)]
    image = functional.pad(image, padding)
    weight = gaussian(window, image.device)
    weights = torch.zeros(image.shape[1:], device=image.device)
    total: Tensor | None = None
    places = list(_places(image.shape[1:], window, overlap))
    for first in range(0, len(places), at_once):
        here = places[first : first + at_once]
        found = predict(torch.stack([image[(slice(None), *place)] for place in here]))
        if total is None:
            total = found.new_zeros((found.shape[1], *image.shape[1:]))
        for place, values in zip(here, found):
            total[(slice(None), *place)] += values * weight
            weights[place] += weight
    assert total is not None  # there is always a window
    total /= weights
    return total[(slice(None), *(slice(first, first + size) for first, size in zip(before, shape)))]


def gaussian(window: Sequence[int], device: torch.device) -> Tensor:
    """(*window): the weight of each place of a window's prediction, 1 in its middle."""
    weight = torch.ones((), device=device)
    for side in window:
        away = torch.arange(side, device=device) - (side - 1) / 2
        weight = weight[..., None] * torch.exp(away**2 / (-2 * (SIGMA * side) ** 2))
    return weight.clamp(min=max(float(weight.min()), LEAST_WEIGHT))


def _places(shape: Sequence[int], window: Sequence[int], overlap: float) -> Iterator[tuple[slice, ...]]:
    """Of windows that cover a volume at least as large as one; the last along an axis ends where that ends."""
    starts = []
    for size, side in zip(shape, window):
        step = max(int(side * (1 - overlap)), 1)
        starts.append([min(start, size - side) for start in range(0, size - side + step, step)])
    for corner in product(*starts):
        yield tuple(slice(start, start + side) for start, side in zip(corner, window))
