"""Where a mask of the neck would hold most bone: its correlation with the scan."""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from common.labels import LEVEL_IDS
from common.resample import AIR_HU, canonical
from common.volume import Volume

CELL_MM = 3.0
REACH_MM = 90.0
"""How far around the mask bone is looked for."""
WINDOW_HU = (0.0, 250.0)
"""Fat and air count as nothing, cancellous bone as much as the densest."""
TURNS = {"": (), "turned front to back": (1,), "upside down": (2,), "turned about the axis from left to right": (1, 2)}
"""In which a mask is tried: axes of R, A, S that are flipped. Left and right look too much alike."""
MOVED_MM = 8.0
"""Less than this may be an uneven outline."""
PLAINLY = 1.1
"""A turn must hold this much more than a move."""
LEAST_MM3 = 1000.0
AROUND_MM = (4.0, 12.0)
"""From a mask's surface: what counts as around it."""


@dataclass(frozen=True)
class Place:
    """`here`, `best`: means of the clipped HU within the mask as it lies, and as it would hold most; `better_at` (3,):
    mm right, anterior, superior from here to there, after a `turn` (a key of TURNS): 0 and none where no better place
    was looked for; `inside_hu`, `around_hu`: means of HU as they are; `contrast`: of the clipped means."""

    here: float
    best: float
    better_at: np.ndarray
    turn: str
    inside_hu: float
    around_hu: float
    contrast: float


def place_of(ct: Volume, mask: Volume, enough: float = np.inf) -> Place | None:
    """CT in HU and mask (values of common.labels) on the same grid -> where its cervical levels lie; None where there
    is too little of them. A mask that holds `enough` as it lies, a mean of clipped HU, is tried nowhere else."""
    steps = np.clip(np.floor(CELL_MM / ct.spacing + 1e-3), 1, ct.array.shape).astype(int)
    every = tuple(slice(int(k) // 2, None, int(k)) for k in steps)
    thinned = mask.affine.copy()
    thinned[:3, :3] = thinned[:3, :3] * steps
    values = canonical(Volume(mask.array[every], thinned))
    hu = canonical(Volume(ct.array[every], thinned)).array
    inside = (values.array > 0) & (values.array <= max(LEVEL_IDS.values()))
    if inside.sum() * np.prod(values.spacing) < LEAST_MM3:
        return None
    reach = np.ceil(REACH_MM / values.spacing).astype(int)
    hu, inside, bone = _around(hu, inside, values.array > 0, reach)
    clipped = np.clip(hu, *WINDOW_HU)
    here = best = float(clipped[inside].mean())
    turn, cells = "", np.zeros(3)
    if here < enough:
        seen = fft.rfftn(clipped, _fast(clipped.shape))
        tried = {turn: _best_shift(seen, np.flip(inside, axes), reach) for turn, axes in TURNS.items()}
        turn = max(tried, key=lambda name: tried[name][1] * (1 if name else PLAINLY))
        here, (_, best, cells) = tried[""][0], tried[turn]
    box, near = _near(bone, values.spacing)
    inside_hu, around_hu = float(hu[inside].mean()), float(hu[box][near].mean())
    contrast = here - float(clipped[box][near].mean())
    return Place(here, best, cells * values.spacing, turn, inside_hu, around_hu, contrast)


def _near(bone: np.ndarray, spacing: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray]:
    """The box of what is `AROUND_MM` from the bone, and which of its cells are."""
    (of_bone,) = ndimage.find_objects(bone.view(np.uint8))
    reach = np.ceil(AROUND_MM[1] / spacing).astype(int)
    box = tuple(slice(max(side.start - n, 0), side.stop + n) for side, n in zip(of_bone, reach))
    away = ndimage.distance_transform_edt(~bone[box], sampling=spacing)
    return box, (away > AROUND_MM[0]) & (away < AROUND_MM[1])


def _around(
    hu: np.ndarray, inside: np.ndarray, bone: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The part within `reach` (3,) cells of `inside`; what lies outside of the scan is air."""
    (box,) = ndimage.find_objects(inside.view(np.uint8))
    start = np.array([s.start for s in box]) - reach
    stop = np.array([s.stop for s in box]) + reach
    low, high = np.maximum(start, 0), np.minimum(stop, inside.shape)
    here, ends = tuple(map(slice, low, high)), list(zip(low - start, stop - high))
    padded = np.pad(hu[here].astype(np.float32), ends, constant_values=AIR_HU)
    return padded, np.pad(inside[here], ends), np.pad(bone[here], ends)


def _best_shift(seen: np.ndarray, inside: np.ndarray, reach: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Mean of the bone whose transform is `seen` within the mask as it lies, the largest after a move of at most
    `reach` (3,) cells, and that move (3,). The arrays hold that much around the mask, so that no move wraps around."""
    shape = _fast(inside.shape)
    product = seen * np.conj(fft.rfftn(inside.astype(np.float32), shape))
    means = np.fft.fftshift(fft.irfftn(product, shape)) / inside.sum()
    middle = np.array(means.shape) // 2
    means = means[tuple(slice(m - r, m + r + 1) for m, r in zip(middle, reach))]
    best = np.unravel_index(means.argmax(), means.shape)
    return float(means[tuple(reach)]), float(means[best]), np.array(best) - reach


def _fast(shape: tuple[int, ...]) -> list[int]:
    """Lengths (3,) that are transformed fast, none shorter than `shape`."""
    return [fft.next_fast_len(n, real=True) for n in shape]
