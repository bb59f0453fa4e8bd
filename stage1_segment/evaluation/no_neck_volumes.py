"""Random volumes without a neck, and a neck beside what is none: what the rate of invented levels is measured on."""

import numpy as np
from scipy import ndimage

from common.errors import StudyError
from common.labels import LEVEL_IDS
from common.phantom.render import render
from common.phantom.study_plan import plan_cohort
from common.volume import Volume

AIR_HU = -1000
LEAST_MM3 = 5000.0
"""Bone of each level of a neck, so that none is cut off by the scan's edge."""
NECK_MATRIX = 96
"""Axial voxels of a synthetic neck, about 2 mm each."""


def white_noise(rng: np.random.Generator) -> Volume:
    """Independent voxels of random mean and standard deviation."""
    hu, affine = _nothing(rng)
    return _volume(hu * 0 + rng.uniform(-1000, 600) + rng.normal(size=hu.shape) * _log_uniform(rng, 10, 1000), affine)


def correlated_noise(rng: np.random.Generator) -> Volume:
    """Noise of random mean, standard deviation and correlation length, another one along each axis."""
    hu, affine = _nothing(rng)
    return _volume(hu * 0 + rng.uniform(-1000, 600) + _smooth(hu.shape, rng) * _log_uniform(rng, 10, 1000), affine)


def noise_in_a_body(rng: np.random.Generator) -> Volume:
    """An oval of soft tissue in air, with noise of either kind."""
    hu, affine = _body(rng)
    return _volume(hu, affine)


def rods(rng: np.random.Generator) -> Volume:
    """One to four round or square rods as dense as bone, through soft tissue, along any axis."""
    hu, affine = _body(rng)
    for _ in range(rng.integers(1, 5)):
        along = rng.integers(3)
        across = [axis for axis in range(3) if axis != along]
        one, other = (_off_middle(hu.shape, axis, rng) / rng.uniform(2, 12) for axis in across)
        inside = one**2 + other**2 < 1 if rng.random() < 0.5 else np.maximum(abs(one), abs(other)) < 1
        hu = np.where(inside, _bone_hu(hu, rng), hu)
    return _volume(hu, affine)


def blocks(rng: np.random.Generator) -> Volume:
    """One to eight blocks as dense as bone, in soft tissue."""
    hu, affine = _body(rng)
    for _ in range(rng.integers(1, 9)):
        parts = (abs(_off_middle(hu.shape, axis, rng)) / rng.uniform(2, 14) for axis in range(3))
        hu = np.where(np.maximum.reduce(np.broadcast_arrays(*parts)) < 1, _bone_hu(hu, rng), hu)
    return _volume(hu, affine)


def spheres(rng: np.random.Generator) -> Volume:
    """One to eight balls or ellipsoids as dense as bone, some of them hollow, in soft tissue."""
    hu, affine = _body(rng)
    for _ in range(rng.integers(1, 9)):
        reach = rng.uniform(2, 16) * np.ones(3) if rng.random() < 0.5 else rng.uniform(2, 16, 3)
        radius = sum((_off_middle(hu.shape, axis, rng) / reach[axis]) ** 2 for axis in range(3)) ** 0.5
        inner = rng.uniform(0.5, 0.9) if rng.random() < 0.4 else 0.0
        hu = np.where((radius < 1) & (radius >= inner), _bone_hu(hu, rng), hu)
    return _volume(hu, affine)


def neck_beside_a_tube(rng: np.random.Generator) -> tuple[Volume, Volume]:
    """A synthetic neck with air and an upright tube of soft tissue, thicker than the spine, on one side of it; and the
    true mask (uint8, `labels.LEVEL_IDS`). Every level of the neck is in view."""
    while True:
        plan = plan_cohort(1, 0, int(rng.integers(2**31)))[0]
        try:
            neck = render(plan, NECK_MATRIX)
        except StudyError:
            continue
        counts = np.bincount(neck.labels.array.ravel(), minlength=max(LEVEL_IDS.values()) + 1)
        if min(counts[level] for level in LEVEL_IDS.values()) * np.prod(neck.labels.spacing) >= LEAST_MM3:
            break
    ct, spacing = neck.ct, neck.ct.spacing
    radius = rng.uniform(20, 35)
    wide = int(np.ceil((2 * radius + rng.uniform(10, 40)) / spacing[0]))
    pad = ((0, wide), (0, 0), (0, 0)) if rng.random() < 0.5 else ((wide, 0), (0, 0), (0, 0))
    hu = np.pad(ct.array.astype(np.float32), pad, constant_values=AIR_HU)
    labels = np.pad(neck.labels.array, pad)
    affine = ct.affine.copy()
    affine[:3, 3] -= affine[:3, 0] * pad[0][0]
    middle = (hu.shape[0] - wide / 2 if pad[0][1] else wide / 2, hu.shape[1] * rng.uniform(0.3, 0.7))
    x, y, _ = np.ogrid[tuple(map(slice, hu.shape))]
    tube = ((x - middle[0]) * spacing[0]) ** 2 + ((y - middle[1]) * spacing[1]) ** 2 < radius**2
    tube = np.broadcast_to(tube, hu.shape)
    hu[tube] = rng.uniform(0, 80) + rng.normal(size=int(tube.sum())) * rng.uniform(5, 60)
    return _volume(hu, affine), Volume(labels, affine)


KINDS = {
    "white noise": white_noise,
    "correlated noise": correlated_noise,
    "noise in a body": noise_in_a_body,
    "rods": rods,
    "blocks": blocks,
    "spheres": spheres,
}
"""Without any neck: each a function of a random generator."""


def _nothing(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Air (X, Y, Z) float32, 32 to 72 voxels of 2 to 3.5 mm along each axis, and its affine."""
    shape = rng.integers((32, 32, 40), (57, 57, 73))
    return np.full(shape, AIR_HU, np.float32), np.diag([*rng.uniform((2, 2, 2), (3.5, 3.5, 3.5)), 1.0])


def _body(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An upright oval of 0 to 80 HU in air, with noise."""
    hu, affine = _nothing(rng)
    across = [_off_middle(hu.shape, axis, rng, 0.1) / (hu.shape[axis] * rng.uniform(0.3, 0.5)) for axis in (0, 1)]
    hu = np.where(across[0] ** 2 + across[1] ** 2 < 1, np.float32(rng.uniform(0, 80)), hu)
    noise = rng.normal(size=hu.shape) if rng.random() < 0.5 else _smooth(hu.shape, rng)
    return hu + noise * _log_uniform(rng, 5, 300), affine


def _off_middle(shape: tuple[int, ...], axis: int, rng: np.random.Generator, by: float = 0.35) -> np.ndarray:
    """Distance of each voxel, along one axis, from a place at most `by` of its length off the middle."""
    place = shape[axis] * (0.5 + rng.uniform(-by, by))
    return (np.arange(shape[axis]) - place).reshape([-1 if k == axis else 1 for k in range(3)])


def _bone_hu(hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What fills a shape: a density of bone in place of the soft tissue, or noise of its own."""
    return rng.uniform(150, 1500) + rng.normal(size=hu.shape) * rng.choice([0.0, _log_uniform(rng, 5, 300)])


def _smooth(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Noise of standard deviation 1, correlated over 0.5 to 6 voxels."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), [_log_uniform(rng, 0.5, 6) for _ in range(3)])
    return noise / noise.std()


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _volume(hu: np.ndarray, affine: np.ndarray) -> Volume:
    return Volume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), affine)
