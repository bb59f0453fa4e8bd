"""Whether a vertebra's picture is like those that a network learned from: simple figures, and their usual ranges.

Margins are wide: what a network may be asked about is for its augmentation to say; this finds what is no CT of bone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.labels import LEVELS
from common.masks.values import labelled_box
from stage2_classify.crops.cut import Crops
from stage2_classify.settings import CropSettings

UNLIKE = "unlike what was learned from"
"""The flag of a level, with the figures that are out of range after it."""
FIGURES = ("noise_hu", "sharpness_hu_mm", "spread_hu", "middle_hu")
RANGE = (0.005, 0.995)
"""Quantiles of what was learned from that bound a range."""
FACTOR, MARGIN_HU = 1.5, 150.0
"""How far out of it a figure counts: of sharpness and spread as a factor; of the middle HU added."""
NOISE_FACTOR = 2.5
"""The same of noise: training adds some to what the crops hold, and scans of sharp kernels have much."""
FEWEST, MOST = 20, 100
"""Vertebrae, of fewer no range is made; studies that are looked at."""
LEAST = 1.0
"""HU below which a figure counts as this."""


def figures(images: np.ndarray, settings: CropSettings) -> dict[str, float] | None:
    """A level's images (2, X, Y, Z) uint8 -> each of FIGURES; None where the mask is empty.

    `noise_hu`: from the differences of neighbours beside the bone, edges left aside; `sharpness_hu_mm`: 99th percentile
    of the gradient's length in the mask; `spread_hu`: between the 5th and 95th percentiles there; `middle_hu`: median
    there."""
    inside = images[1] > 127
    if inside.sum() < 30:
        return None
    low, high = settings.window_hu
    near = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in labelled_box(inside))
    images, inside = images[(slice(None), *near)], inside[near]
    hu = images[0].astype(np.float32) * ((high - low) / 255) + low
    outside = (images[1] == 0) & (images[0] > 0) & (images[0] < 255)
    steps = np.abs(hu[1:] - hu[:-1])[outside[1:] & outside[:-1]]
    steep = np.sqrt(sum(g**2 for g in np.gradient(hu, settings.spacing_mm)))[inside]
    ordered = np.sort(hu[inside]).astype(np.float64)
    few, middle, most = (_quantile(ordered, part) for part in (0.05, 0.5, 0.95))
    # The smaller three quarters of normal noise's differences have a mean of 0.73 of its standard deviation; their mean
    # rather than the median, as the window has steps of some HU.
    noise = np.mean(steps[steps <= _quantile(np.sort(steps), 0.75)]) / 0.73 if len(steps) > 100 else LEAST
    values = (noise, _quantile(np.sort(steep), 0.99), most - few, middle)
    return {name: float(value) for name, value in zip(FIGURES, values)}


def _quantile(ordered: np.ndarray, part: float) -> np.floating:
    """`np.quantile` of values (n,) in order. It takes several times as long to look for the two that count as sorting
    all does."""
    place = (len(ordered) - 1) * part
    return np.quantile(ordered[int(place) : int(place) + 2], place % 1)


def spread(items: Sequence[Any]) -> list[Any]:
    """At most MOST of the items, evenly far apart."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, MOST).astype(int))] if items else []


def ranges(studies: Sequence[Crops], settings: CropSettings) -> dict[str, list[float]]:
    """Name of a figure -> its lowest and highest usual value in the levels in view of MOST of these studies, spread
    evenly; {} of too few."""
    rows = [figures(images, settings) for crops in spread(studies) for images in crops.images[crops.present]]
    found = [row for row in rows if row is not None]
    if len(found) < FEWEST:
        return {}
    return {name: np.quantile([row[name] for row in found], RANGE).round(3).tolist() for name in FIGURES}


def unlike(crops: Crops, usual: Mapping[str, Any], settings: CropSettings) -> dict[str, list[str]]:
    """Level in view -> its flag, where a figure is far out of its usual range; nothing where no ranges are known."""
    flags = {}
    for row in np.flatnonzero(crops.present) if usual else ():
        found = figures(crops.images[row], settings) or {}
        out = [name for name, value in found.items() if name in usual and not _within(name, value, usual[name])]
        if out:
            flags[LEVELS[row]] = [f"{UNLIKE}: {', '.join(f'{name} {found[name]:.0f}' for name in out)}"]
    return flags


def _within(name: str, value: float, usual: tuple[float, float]) -> bool:
    low, high = usual
    if name == "middle_hu":
        return low - MARGIN_HU <= value <= high + MARGIN_HU
    if name == "noise_hu":  # less is never worse
        return value <= high * NOISE_FACTOR
    return max(low, LEAST) / FACTOR <= max(value, LEAST) <= high * FACTOR
