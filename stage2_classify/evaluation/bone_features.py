"""What a vertebra's bone looks like in figures: HU of cortex and marrow, texture, cortical thickness, edges, noise."""

import numpy as np
from scipy import ndimage

CELL_MM = 0.5
"""Cells that all are looked at in, whatever the scan's are."""
CORTEX_MM, MARROW_MM = 2.0, 3.0
"""Bone less deep is cortex, deeper than the other is marrow."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
HU_BINS = np.arange(-200.0, 2001.0, 50.0)
BANDS = (0.05, 0.15, 0.3, 0.5, 0.75, 1.0)
"""Borders of the spectrum's bands, in cycles/mm."""
OUT_MM, IN_MM, STEP_MM = 3.0, 5.0, 0.1
"""A profile along the surface's normal: from so far outside to so far inside."""
PROFILES = 1500
BESIDE = 10
"""Cells about the vertebra in which noise is looked for."""
CLEAR_HU = 100.0
"""A cortex stands out of what is on both sides of it by so much, or has no thickness."""


def bone_features(hu: np.ndarray, mask: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray]] | None:
    """CT (X, Y, Z) HU and the vertebra (X, Y, Z) bool, in cells of CELL_MM -> a number for each feature, and the curves
    they come from: `cortex`, `marrow` (parts of HU_BINS), `spectrum` (HU2 mm3 in each of BANDS). None for a vertebra
    too thin to have marrow."""
    if not mask.any():
        return None
    near = tuple(slice(max(int(i.min()) - BESIDE, 0), int(i.max()) + BESIDE + 1) for i in np.nonzero(mask))
    hu, mask = hu[near], mask[near]
    depth = ndimage.distance_transform_edt(mask) * CELL_MM
    cortex, marrow = mask & (depth <= CORTEX_MM), depth > MARROW_MM
    if marrow.sum() < 200:
        return None
    found: dict[str, float] = {}
    curves = {}
    for name, part in (("cortex", cortex), ("marrow", marrow)):
        values = hu[part]
        found |= {f"{name} HU {q:.0%}": float(v) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES))}
        curves[name] = np.histogram(np.clip(values, HU_BINS[0], HU_BINS[-1] - 1), HU_BINS)[0] / len(values)
    curves["spectrum"] = spectrum(hu, marrow)
    found |= {f"texture {low:g}-{high:g}/mm": float(np.log10(power)) for low, high, power in
              zip(BANDS[:-1], BANDS[1:], np.maximum(curves["spectrum"], 1e-3))}  # fmt: skip
    thickness, edge = profiles(hu, mask)
    beside = (hu > -150) & (hu < 200) & ~ndimage.binary_dilation(mask, iterations=3)
    steps = np.abs(np.diff(hu, axis=0))[beside[1:] & beside[:-1]]
    noise = float(np.median(steps) / 0.954) if len(steps) > 100 else np.nan
    return {**found, "cortical thickness mm": thickness, "edge mm": edge, "noise HU": noise}, curves


def spectrum(hu: np.ndarray, marrow: np.ndarray) -> np.ndarray:
    """Mean power density in each of BANDS, HU2 mm3, of what differs from the smooth mean within the marrow."""
    near = tuple(slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(marrow))
    inside = marrow[near].astype(np.float64)
    texture = (hu[near] - hu[marrow].mean()) * inside
    power = np.abs(np.fft.fftn(texture)) ** 2 * CELL_MM**3 / inside.sum()
    axes = np.meshgrid(*(np.fft.fftfreq(n, CELL_MM) for n in inside.shape), indexing="ij", sparse=True)
    frequency = np.sqrt(sum(axis**2 for axis in axes))
    bins = np.digitize(frequency.ravel(), BANDS)
    sums, counts = (np.bincount(bins, w, len(BANDS) + 1)[1:-1] for w in (power.ravel(), None))
    return sums / np.maximum(counts, 1)


def profiles(hu: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Medians over the surface, in mm: the cortex's width at half of its height above what is outside and inside of it;
    the way from 20 to 80 % of its outer edge. nan where no cortex is clear."""
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 1.0 / CELL_MM)
    surface = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    surface = surface[np.linspace(0, len(surface) - 1, min(PROFILES, len(surface))).astype(int)]
    normals = np.stack([g[tuple(surface.T)] for g in np.gradient(smooth)], axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    steps = np.arange(-OUT_MM, IN_MM + STEP_MM / 2, STEP_MM)
    points = surface[:, :, None] + normals[:, :, None] * steps / CELL_MM
    values = ndimage.map_coordinates(hu, points.transpose(1, 0, 2), order=1, mode="nearest")
    near = (steps > -1.5) & (steps < 3)
    top = np.argmax(np.where(near, values, -np.inf), axis=1)
    peak = values[np.arange(len(values)), top]
    outside, inside = (np.median(values[:, side], axis=1) for side in (steps < -2, steps > 3.5))
    clear = (peak - inside > CLEAR_HU) & (peak - outside > CLEAR_HU)
    widths, edges = [], []
    for line, place, high, out, within in zip(*(a[clear] for a in (values, top, peak, outside, inside))):
        outer, inner = line[place::-1], line[place:]
        widths.append(_falls(outer, (high + out) / 2) + _falls(inner, (high + within) / 2))
        edges.append(_falls(outer, out + 0.2 * (high - out)) - _falls(outer, out + 0.8 * (high - out)))
    return tuple(float(np.nanmedian(v)) if v else float("nan") for v in (widths, edges))  # type: ignore[return-value]


def _falls(line: np.ndarray, level: float) -> float:
    """mm along a line that begins above `level` until it first falls below; nan where it never does."""
    below = np.flatnonzero(line < level)
    if not len(below) or below[0] == 0:
        return float("nan")
    at = below[0]
    return float(STEP_MM * (at - 1 + (line[at - 1] - level) / (line[at - 1] - line[at])))
