"""How noisy a CT is."""

import numpy as np
from scipy import ndimage, stats

from common.resample import canonical
from common.volume import Volume

TISSUE_HU = (-150.0, 150.0)
"""Fat and muscle: the largest even parts of a neck."""
WINDOW = 5
"""Voxels across that are looked at together, in the plane of right and anterior."""
EVEN = 0.25
"""Part of the places that is taken to be even; elsewhere there are edges."""
SLICES = 24
FEWEST = 500
"""Places; fewer say nothing."""


def noise_hu(ct: Volume) -> float | None:
    """Standard deviation in HU of even soft tissue, of a CT (X, Y, Z) in HU of any orientation; None where there is too
    little of it. Of white noise, its own; noise that a smooth kernel correlates counts less, as it does to the eye."""
    hu = canonical(ct).array
    found = []
    for z in np.unique(np.linspace(0, hu.shape[2] - 1, SLICES).round().astype(int)):
        plane = hu[:, :, z].astype(np.float64)
        mean = ndimage.uniform_filter(plane, WINDOW)
        variance = ndimage.uniform_filter(plane**2, WINDOW) - mean**2
        inside = (mean > TISSUE_HU[0]) & (mean < TISSUE_HU[1])
        found.append(variance[inside].clip(0))
    places = np.concatenate(found)
    if len(places) < FEWEST:
        return None
    freedom = WINDOW**2 - 1
    usual = stats.chi2.ppf(EVEN, freedom) / WINDOW**2  # of the variance, at this quantile
    return float(np.sqrt(np.quantile(places, EVEN) / usual))
