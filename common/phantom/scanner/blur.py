"""The scanner's point spread: in the slice by its reconstruction kernel, across slices by their thickness."""

import cv2
import numpy as np

SMOOTH_FWHM_MM = 1.15
SHARP_FWHM_MM = 0.62
OVERSHOOT = 0.45
OVERSHOOT_FWHM_MM = 1.9
SLICE_SIDE_SHARE = 0.16


def point_spread(kernel: float, pixel_mm: float, radius: int = 3) -> np.ndarray:
    """(2 radius + 1,) weights of one row through the kernel's point spread, sum 1: a Gaussian, for a sharp kernel
    (1) narrow with a wider one subtracted, so that edges overshoot as bone kernels' do."""
    place = np.arange(-radius, radius + 1) * pixel_mm
    width = SMOOTH_FWHM_MM + kernel * (SHARP_FWHM_MM - SMOOTH_FWHM_MM)
    weights = _gaussian(place, width)
    surround = OVERSHOOT * max(kernel - 0.3, 0) / 0.7
    weights = (1 + surround) * weights - surround * _gaussian(place, OVERSHOOT_FWHM_MM)
    return weights.astype(np.float32)


def _gaussian(place: np.ndarray, fwhm: float) -> np.ndarray:
    weights = np.exp(-0.5 * (place / (fwhm / 2.3548)) ** 2)
    return weights / weights.sum()


def blur(hu: np.ndarray, kernel: float, pixel_mm: float) -> np.ndarray:
    """hu (X, Y, Z) float32 as the scanner resolves it; a new array."""
    weights = point_spread(kernel, pixel_mm)
    profile = np.array([SLICE_SIDE_SHARE, 1 - 2 * SLICE_SIDE_SHARE, SLICE_SIDE_SHARE], np.float32)
    rows = hu.reshape(len(hu), -1)
    picture = cv2.sepFilter2D(rows, -1, np.ones(1, np.float32), weights, borderType=cv2.BORDER_REPLICATE)
    picture = picture.reshape(hu.shape)
    for plane in picture:
        plane[:] = cv2.sepFilter2D(plane, -1, profile, weights, borderType=cv2.BORDER_REPLICATE)
    return picture
