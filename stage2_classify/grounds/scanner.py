"""A virtual scanner: how the ground looks before anything is drawn, and how another scanner shows what was drawn."""

import numpy as np
from scipy import ndimage

from stage2_classify.grounds.bone import Bone, fine_noise, smooth_field

NOISE_HU = (4.0, 70.0)


def sharpen_bone(bone: Bone, rng: np.random.Generator) -> Bone:
    """A ground of 1 mm and a smooth kernel, made more like one of a sharp kernel: edges raised, and texture in the bone
    that such a scan would show, or none of it."""
    ct = bone.ct
    if rng.random() < 0.3:
        ct = ndimage.gaussian_filter1d(ct, rng.uniform(0.3, 0.9) / bone.spacing[2], axis=2, truncate=2.5)
    if rng.random() < 0.35:
        ct = _other_cortex(ct, bone.spacing, rng)
    if rng.random() < 0.5:
        field = smooth_field(ct.shape, bone.spacing, rng.uniform(6, 20), rng)
        ct = ct + np.clip((ct - 100) / 300, 0, 1) * (ct - 100) * field * np.float32(rng.uniform(0.05, 0.2))
    if rng.random() < 0.7:
        sigma = rng.uniform(0.6, 1.2)
        ct = ct + np.float32(rng.uniform(0, 1.8)) * (
            ct - ndimage.gaussian_filter(ct, sigma / bone.spacing, truncate=2.5)
        )
    if rng.random() < 0.6:
        texture = fine_noise(ct.shape, rng)
        width = rng.uniform(0.2, 0.7)
        texture = ndimage.gaussian_filter(texture, width / bone.spacing, truncate=2.5)
        texture *= np.float32(rng.uniform(20, 160)) / max(float(texture.std()), 1e-6)
        ct = ct + texture * np.clip((ct - 100) / 300, 0, 1)
    return bone.with_ct(ct.astype(np.float32, copy=False))


def _other_cortex(ct: np.ndarray, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """CT (X, Y, Z) HU with bone's bright shell thinner or thicker by part of a voxel or two."""
    size = tuple(2 * np.maximum(np.round(rng.uniform(0.2, 0.5) / spacing).astype(int), 1) + 1)
    other = ndimage.grey_erosion(ct, size) if rng.random() < 0.5 else ndimage.grey_dilation(ct, size)
    return ct + np.float32(rng.uniform(0.1, 0.6)) * np.clip((other + ct - 300) / 400, 0, 1) * (other - ct)


def _curve(ct: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """HU through a random rising curve: other energies and other minerals show bone's densities differently."""
    knots = np.array([-1000.0, -100, 40, 200, 450, 900, 1600, 3000])
    steps = np.diff(knots) * np.exp(rng.normal(0, 0.25, len(knots) - 1))
    values = np.append(0.0, np.cumsum(steps))
    return np.interp(ct, knots, values - values[2] + knots[2]).astype(np.float32)


def scan(ct: np.ndarray, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """CT (X, Y, Z) HU as a scanner of another sharpness and dose shows it: point spread in mm, correlated noise, a
    change of contrast."""
    if rng.random() < 0.6:
        ct = _curve(ct, rng)
    if rng.random() < 0.7:
        sigma = np.array([1, 1, rng.uniform(0.6, 2.0)]) * rng.uniform(0.1, 0.45)
        ct = ndimage.gaussian_filter(ct, sigma / spacing, truncate=2.5)
    noise = rng.standard_normal(ct.shape, dtype=np.float32)
    if rng.random() < 0.7:
        noise = ndimage.gaussian_filter(noise, rng.uniform(0.2, 0.7) / spacing, truncate=2.5)
        noise /= max(float(noise.std()), 1e-6)
    ct = ct + np.float32(np.exp(rng.uniform(*np.log(NOISE_HU)))) * noise
    return (ct * np.float32(rng.uniform(0.8, 1.2)) + np.float32(rng.uniform(-50, 50))).astype(np.float32)
