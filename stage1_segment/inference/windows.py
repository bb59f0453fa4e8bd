"""Where a network that takes windows looks in a volume: about what is of interest there, not everywhere."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

Place = tuple[slice, slice, slice]


def padded(image: Tensor, window: Sequence[int]) -> tuple[Tensor, Place]:
    """image (C, X, Y, Z), filled up with zeros to at least a window (3,), half of them on either side; and where the
    image itself lies in that."""
    shape = image.shape[1:]
    lacking = [max(side - size, 0) for side, size in zip(window, shape)]
    before = [missing // 2 for missing in lacking]
    ends = [end for first, missing in zip(reversed(before), reversed(lacking)) for end in (first, missing - first)]
    x, y, z = (slice(first, first + size) for first, size in zip(before, shape))
    return functional.pad(image, ends), (x, y, z)


def windows_about(content: Tensor, window: Sequence[int], overlap: float, margin: int, rim: int = 0) -> list[Place]:
    """Places of windows (3,) that cover what is true of content (X, Y, Z) bool, and `margin` voxels around it; no axis
    is shorter than the window. Neighbours share at least the part `overlap` (0 <= overlap < 1) of their side. Along x
    and y `rim` voxels at either end are left out where that saves windows.

    First layers along z, in each as many along x as that layer needs, in each of these as many along y: so they follow
    a spine that bends. What one window covers along an axis lies in its middle."""
    places = []
    for z in _along(content, 2, window, overlap, margin):
        layer = content[:, :, z]
        for x in _along(layer, 0, window, overlap, margin, rim):
            places += [(x, y, z) for y in _along(layer[x], 1, window, overlap, margin, rim)]
    return sorted(places, key=lambda place: [along.start for along in place])


def _along(
    content: Tensor, axis: int, window: Sequence[int], overlap: float, margin: int, rim: int = 0
) -> list[slice]:
    """The windows that an axis needs; the last one ends where what is to be covered does."""
    holds = torch.nonzero(content.any(dim=[other for other in range(3) if other != axis])).flatten()
    if not len(holds):
        return []
    side, size = window[axis], content.shape[axis]
    low, high = max(int(holds[0]) - margin, 0), min(int(holds[-1]) + 1 + margin, size)
    step = max(int(side * (1 - overlap)), 1)

    def beyond_first(length: int) -> int:
        return max(math.ceil((length - side) / step), 0)

    if beyond_first(high - low - 2 * rim) < beyond_first(high - low):
        low, high = low + rim, high - rim
    if high - low <= side:
        starts = [min(max((low + high - side) // 2, 0), size - side)]
    else:
        starts = [min(start, high - side) for start in range(low, high - side + step, step)]
    return [slice(start, start + side) for start in starts]
