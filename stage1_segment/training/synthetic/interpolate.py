"""Values at few points of a grid, interpolated to all of its cells."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stage1_segment.training.synthetic.batch import to_device


def upsample(values: Tensor, sizes: list[int]) -> Tensor:
    """(..., x, y, z) upsampled linearly to (..., *sizes), first and last points staying where they are."""
    return along_axes(
        values, [linear_weights([old], [new], values.device)[0] for old, new in zip(values.shape[-3:], sizes)]
    )


def linear_weights(old: Sequence[int], new: Sequence[int], device: torch.device) -> Tensor:
    """(B, most new, most old) weights of the interpolation between `old` points of each of B; what lies beyond its
    `new` ones means nothing."""
    steps = to_device([(points - 1) / max(count - 1, 1) for points, count in zip(old, new)], device, 2)
    position = torch.arange(max(new), device=device)[:, None] * steps
    return between(position, max(old))


def between(position: Tensor, points: int) -> Tensor:
    """(..., 1) places between points 0, 1, ... -> (..., points) weights of the two beside each, float32."""
    return (1 - (position - torch.arange(points, device=position.device)).abs()).clip(0).float()


def smooth_weights(knots: Sequence[int], new: int, device: torch.device) -> Tensor:
    """(B, new, most knots) weights of cubic B-splines, which have no edges, through each of B numbers of knots, 4 or
    more, one of them beyond either end."""
    steps = to_device([(count - 3) / max(new - 1, 1) for count in knots], device, 2)
    position = 1 + torch.arange(new, device=device)[:, None] * steps
    distance = (position - torch.arange(max(knots), device=device)).abs()
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clip(0) ** 3 / 6
    return torch.where(distance < 1, near, far).float()


def along_axes(volumes: Tensor, weights: list[Tensor]) -> Tensor:
    """A matrix product along each of the last three axes: (..., X, Y, Z) with three (new, old), or (B, new, old) and
    B volumes -> (..., X', Y', Z'). The fastest way on a CPU, and fast on a GPU."""
    along_y, along_z = (w[:, None] if w.ndim == 3 else w for w in weights[1:])
    volumes = volumes @ along_z.transpose(-1, -2)
    volumes = torch.matmul(along_y, volumes)
    flat = weights[0] @ volumes.flatten(-2)
    return flat.view(*flat.shape[:-1], *volumes.shape[-2:])


def random_fields(shapes: Sequence[tuple[int, ...]], generators: Sequence[torch.Generator]) -> Tensor:
    """(B, ...) standard normal numbers in a box of each shape, zeros beyond it."""
    fields = torch.zeros((len(shapes), *np.max(shapes, axis=0)), device=generators[0].device)
    for field, shape, generator in zip(fields, shapes, generators):
        field[tuple(map(slice, shape))] = torch.randn(shape, generator=generator, device=field.device)
    return fields
