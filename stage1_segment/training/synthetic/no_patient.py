"""Scans of no patient at all."""

import numpy as np
import torch
from torch import Tensor

from stage1_segment.training.synthetic.artefacts import AIR_HU


def without_patient(window: tuple[int, int, int], seed: int, device: torch.device) -> Tensor:
    """HU (X, Y, Z) float32 of air, noise, or a block of one density, such as a phantom, with up to three rods in it
    that may be as dense as bone."""
    rng = np.random.default_rng(seed)
    hu = torch.full(window, AIR_HU, device=device)
    if rng.random() < 0.7:
        low, high = np.sort(rng.uniform(0, 1, (2, 3)), axis=0) * window
        hu[tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high))] = rng.uniform(-200, 800)
        for _ in range(rng.integers(4)):
            hu.masked_fill_(rod(window, low, high, rng, device), rng.uniform(0, 1500))
    if rng.random() < 0.7:
        generator = torch.Generator(device).manual_seed(seed)
        hu += torch.randn(window, generator=generator, device=device) * float(np.exp(rng.uniform(2, 7)))
    return hu.clamp(-1024, 3071)


def rod(
    window: tuple[int, int, int], low: np.ndarray, high: np.ndarray, rng: np.random.Generator, device: torch.device
) -> Tensor:
    """(X, Y, Z) bool: a round or square rod across the block from `low` to `high` (3,) voxels, upright in half of
    the cases."""
    along = 2 if rng.random() < 0.5 else int(rng.integers(2))
    middle, reach = rng.uniform(low, high), rng.uniform(2, 12, 3)
    axes = torch.meshgrid(*(torch.arange(n, device=device) for n in window), indexing="ij")
    one, other = (((axes[k] - middle[k]) / reach[k]).abs() for k in range(3) if k != along)
    across = one**2 + other**2 < 1 if rng.random() < 0.5 else torch.maximum(one, other) < 1
    for axis, first, last in zip(axes, low, high):
        across &= (axis >= first) & (axis <= last)
    return across
