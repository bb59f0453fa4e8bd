"""The distance between two surfaces. MONAI has it, too, and takes longer to import than a cohort to compare."""

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree


def hd95(one: np.ndarray, other: np.ndarray, spacing: np.ndarray) -> float:
    """HD95 in mm of two bodies, bool (X, Y, Z), neither of them empty, whose voxels measure `spacing` (3,) mm: of the
    distances from each surface voxel to the other's surface the 95th percentile, and of both directions the larger one
    (Maier-Hein et al. 2024, Metrics reloaded; as MONAI's `compute_hausdorff_distance`)."""
    surfaces = [np.argwhere(body & ~ndimage.binary_erosion(body)) * spacing for body in (one, other)]
    apart = (KDTree(there).query(here)[0] for here, there in (surfaces, surfaces[::-1]))
    return max(float(np.percentile(distances, 95)) for distances in apart)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Twice what two bodies share over what they hold together; not of two empty ones."""
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
