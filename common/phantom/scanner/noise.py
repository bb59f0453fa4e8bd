"""Noise as filtered back-projection leaves it: band-passed, stronger and streaked where rays are weakened."""

import cv2
import numpy as np
from scipy import fft

from common.phantom.scanner.blur import point_spread
from common.phantom.scanner.rays import Rays

SMOOTH_SD_HU = 13.0
SHARP_SD_HU = 42.0
REFERENCE_ATTENUATION = 2.9
"""Of a neck 150 mm wide; there a dose of 1 gives the standard deviations above."""
BANK = 12


def noise_sd(rays: Rays, dose: float, kernel: float) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations in HU (Y', Z) of the even noise and of the horizontal streaks on the coarse rows.

    The variance of a ray's logarithm grows with the exponential of its attenuation; a pixel sees the mean over
    directions, rows far above the mean appear as streaks.
    """
    usual = SMOOTH_SD_HU + kernel * (SHARP_SD_HU - SMOOTH_SD_HU)
    excess = np.clip(rays.across - REFERENCE_ATTENUATION, -1.5, 4.0)
    slice_excess = np.clip(rays.along.mean(axis=0) + rays.across.mean(axis=0) - 2 * REFERENCE_ATTENUATION + 1.2, -2, 4)
    even = usual * np.exp(0.11 * slice_excess)[None, :] * np.exp(0.06 * excess)
    streaks = 0.40 * usual * (np.exp(0.42 * np.maximum(excess, 0)) - 1)
    return even / np.sqrt(dose), streaks / np.sqrt(dose)


def texture_bank(shape: tuple[int, int], kernel: float, pixel_mm: float, rng: np.random.Generator) -> np.ndarray:
    """(BANK, X, Y) float32 periodic noise slices of standard deviation 1, with the power spectrum of filtered
    back-projection: frequency times the kernel's transfer function squared."""
    fx, fy = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    frequency = np.hypot(fx[:, None], fy[None, :])
    spread = point_spread(kernel, pixel_mm)
    place = np.arange(len(spread)) - len(spread) // 2
    transfer = np.abs(np.cos(2 * np.pi * frequency[..., None] * place) @ spread)
    amplitude = np.sqrt(frequency + 0.01) * transfer
    white = rng.standard_normal((BANK, *shape), dtype=np.float32)
    return _shaped(white, amplitude)


def streak_bank(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(BANK, X, Y) float32 periodic slices of standard deviation 1 made of thin, nearly horizontal streaks."""
    fx, fy = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    slope = np.abs(fx[:, None]) / (fy[None, :] + 1e-3)
    amplitude = np.exp(-0.5 * (slope / 0.10) ** 2) * np.sqrt(fy[None, :]) * np.exp(-0.5 * (fy[None, :] / 0.17) ** 2)
    white = rng.standard_normal((BANK, *shape), dtype=np.float32)
    return _shaped(white, amplitude)


def _shaped(white: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """White slices with the given amplitude at each frequency, standard deviation 1."""
    noise = fft.irfft2(fft.rfft2(white) * amplitude.astype(np.float32), s=white.shape[1:])
    return noise / noise.std()


def add_noise(
    picture: np.ndarray, rays: Rays, dose: float, kernel: float, pixel_mm: float, rng: np.random.Generator
) -> None:
    """Adds noise to picture (X, Y, Z) in place. A slice's noise is two of the bank's, shifted at random, one of
    them shared with the next slice: neighbours are correlated as those of a thick slice profile are."""
    shape, slices = picture.shape[:2], picture.shape[2]
    even, streaks = noise_sd(rays, dose, kernel)
    rows = np.arange(shape[1]) * (even.shape[0] - 1) / (shape[1] - 1)
    coarse_rows = np.arange(even.shape[0])
    textures, bands = (
        np.tile(bank, (1, 2, 2)) for bank in (texture_bank(shape, kernel, pixel_mm, rng), streak_bank(shape, rng))
    )
    noise, other = np.empty((slices, *shape), np.float32), np.empty(shape, np.float32)
    before = _drawn(textures, rng)
    for z, slice_ in enumerate(noise):
        after = _drawn(textures, rng)
        sd = np.interp(rows, coarse_rows, even[:, z]).astype(np.float32)
        np.multiply(before, np.float32(0.45), out=slice_)
        slice_ += np.multiply(after, np.float32(0.893), out=other)
        slice_ *= sd
        band_sd = np.interp(rows, coarse_rows, streaks[:, z]).astype(np.float32)
        if band_sd.max() > 1:
            slice_ += np.multiply(_drawn(bands, rng), band_sd, out=other)
        before = after
    for x, plane in enumerate(picture):
        plane += cv2.transpose(noise[:, x])


def _drawn(bank: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One slice of the bank, whose slices lie there twice along each axis, shifted round and mirrored at random."""
    slice_ = bank[rng.integers(len(bank))]
    x, y = (n // 2 for n in slice_.shape)
    left, up = x - int(rng.integers(x)), y - int(rng.integers(y))
    slice_ = slice_[left : left + x, up : up + y]
    return slice_[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
