"""One series judged: whether its slices make a volume, what has to be repaired, and where the volume lies."""

from dataclasses import dataclass

import numpy as np

from common.errors import CorruptFile, IncompleteSeries, UnsupportedStudy
from common.reading.decode import Decoder
from common.reading.series import SAME_PLACE_MM, Series
from common.reading.slice import Slice
from common.volume import Grid

ROUNDING_MM = 0.06
"""Positions are written with one digit after the point by some scanners."""
UNEVEN = 0.25
"""Largest deviation of a gap from the usual one, as a part of it."""
WIDEST_BRIDGED_MM = 5.0
WIDEST_STEP_MM = 12.0
"""Slices wider apart aren't a volume: a whole vertebra lies between two of them."""
MOST_MISSING_IN_A_ROW = 2
MOST_MISSING = 0.05
"""Part of all slices that may be interpolated; a single one always may."""
STEEPEST_TILT_DEGREES = 40.0
"""Gantries tilt to 30 degrees."""
WHOLE_PIXEL = 1e-3
"""Shifts this near to whole pixels are taken for whole."""
NEGLIGIBLE_SHIFT = 0.25
"""Pixels: a smaller drift sideways stays in the affine."""
MAX_VOXELS = 2**30
"""2 GiB as int16; the largest neck CT known has 0.28e9 voxels."""
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Stack:
    """How a volume comes from slices. Slice k of the volume is (1 - weight) x slice `below[k]` + weight x the next,
    each moved by `shift` (n, 2) pixels (columns, rows) into the volume's matrix. `grid`: the volume's (column,
    row, slice), upright; `file_grid`: the pixels of the files, the same but for a gantry tilt's shear. `repairs`: what
    isn't as the scanner made it, a sentence each."""

    slices: tuple[Slice, ...]
    below: np.ndarray
    weight: np.ndarray
    shift: np.ndarray
    grid: Grid
    file_grid: Grid
    stems: tuple[str, ...]
    repairs: tuple[str, ...]


def stacked(series: Series) -> Stack:
    """Judges a series. Raises IncompleteSeries, CorruptFile, UnsupportedStudy, naming the slices."""
    slices, notices = _without_copies(series)
    if len(slices) < 2:
        raise UnsupportedStudy(
            f"{slices[0].name}: a single slice, expected a series; give the whole folder (and where each slice has a "
            "SeriesInstanceUID of its own: they don't lie evenly one above the other; export them as one series)"
        )
    normal, first = series.normal, slices[0]
    positions = np.stack([item.position for item in slices])
    along = (positions - positions[0]) @ normal
    usual = float(np.median(np.diff(along)))
    if usual > WIDEST_STEP_MM:
        raise UnsupportedStudy(
            f"slices lie {usual:.1f} mm apart ({slices[0].name}, {slices[1].name}, ...), at most {WIDEST_STEP_MM:.0f} "
            "make a volume; give the thin series"
        )
    index, about_gaps = _numbered(slices, along)
    count = int(index[-1]) + 1
    step = along[-1] / (count - 1)
    below, weight = _sources(along, index, step)
    notices += about_gaps + _uneven(along, index, step)

    columns, rows = first.shape
    to_last = (positions[-1] - positions[0]) / (count - 1)
    file_grid = _grid(first, first.position, to_last, (columns, rows, count))
    shift, tilt = _sideways(slices, positions, normal)
    if not shift.any():
        grid = file_grid
    else:
        low, high = np.floor(shift.min(axis=0) + WHOLE_PIXEL), np.ceil(shift.max(axis=0) - WHOLE_PIXEL)
        corner = first.position + first.rows_along * first.spacing[0] * low[0]
        corner = corner + first.columns_along * first.spacing[1] * low[1]
        wider = (high - low).astype(int)
        grid = _grid(first, corner, step * normal, (columns + wider[0], rows + wider[1], count))
        shift = shift - low
        notices += (
            f"gantry tilt of {tilt:.1f} degrees: resampled into an upright grid, {grid.shape[0]} x {grid.shape[1]} "
            "instead of " + f"{columns} x {rows} pixels",
        )
    if np.prod(grid.shape, dtype=float) > MAX_VOXELS:
        raise UnsupportedStudy(f"{grid.shape} voxels, at most {MAX_VOXELS} are read; give the neck alone")
    return Stack(slices, below, weight, shift, grid, file_grid, _stems(slices, along, step, count), notices)


def _without_copies(series: Series) -> tuple[tuple[Slice, ...], tuple[str, ...]]:
    """Slices at one place must have the same pixels; one of them is kept."""
    kept, dropped, decoder = [series.slices[0]], 0, Decoder()
    normal = series.normal
    for item in series.slices[1:]:
        other = kept[-1]
        if abs(normal @ (item.position - other.position)) > SAME_PLACE_MM:
            kept.append(item)
            continue
        apart = np.abs(item.position - other.position).max() > 10 * SAME_PLACE_MM
        if apart or not np.array_equal(decoder.hounsfield(other), decoder.hounsfield(item)):
            doubled = int((np.diff(series.along) <= SAME_PLACE_MM).sum())
            raise IncompleteSeries(
                f"{other.name} and {item.name} lie at the same place but differ ({doubled} such pairs among "
                f"{len(series.slices)} slices); give one series or acquisition alone"
            )
        dropped += 1
    if not dropped:
        return tuple(kept), ()
    return tuple(kept), (f"{dropped} doubled slice{'s' * (dropped > 1)} with the same pixels dropped",)


def _numbered(slices: tuple[Slice, ...], along: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number of each slice when missing ones are counted (n,), and what is to be said. Raises IncompleteSeries."""
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    steps = np.maximum(np.rint(gaps / usual), 1).astype(int)
    missing = int(steps.sum()) - len(gaps)
    allowed = max(UNEVEN * usual, 2 * ROUNDING_MM)
    off = np.abs(gaps - steps * usual) > allowed * np.sqrt(steps)
    if off.any():
        k = int(np.flatnonzero(off)[0])
        raise IncompleteSeries(
            f"gap between {slices[k].name} and {slices[k + 1].name} is {gaps[k]:.3f} mm, usual {usual:.3f} mm; "
            "export the series with constant spacing"
        )
    if not missing:
        return np.arange(len(along)), ()
    widest = int(gaps.argmax())
    what = "1 slice is missing" if missing == 1 else f"{missing} slices are missing"
    where = (
        f"{what}, the widest gap between {slices[widest].name} and {slices[widest + 1].name} "
        f"({gaps[widest]:.2f} mm, usual {usual:.2f} mm)"
    )
    too_many = missing > max(1, int(MOST_MISSING * len(along)))
    if too_many or steps.max() - 1 > MOST_MISSING_IN_A_ROW or gaps[widest] > WIDEST_BRIDGED_MM:
        raise IncompleteSeries(f"{where}; export the whole series")
    return np.concatenate([[0], np.cumsum(steps)]), (f"{where}: interpolated from their neighbours",)


def _sources(along: np.ndarray, index: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """For every slice of the volume, at multiples of `step`: the slice below it and the weight of the next one.
    Slices within rounding of their place are taken as they are."""
    targets = np.arange(int(index[-1]) + 1) * step
    below = np.clip(np.searchsorted(along, targets, side="right") - 1, 0, len(along) - 2)
    weight = np.clip((targets - along[below]) / (along[below + 1] - along[below]), 0.0, 1.0)
    near = np.abs(along - index * step) <= ROUNDING_MM
    for k, own in zip(index[near], np.flatnonzero(near)):
        below[k], weight[k] = (own, 0.0) if own < len(along) - 1 else (own - 1, 1.0)
    return below, weight


def _uneven(along: np.ndarray, index: np.ndarray, step: float) -> tuple[str, ...]:
    if np.abs(along - index * step).max() <= ROUNDING_MM:
        return ()
    gaps = np.diff(along) / np.diff(index)
    return (f"uneven spacing, gaps of {gaps.min():.2f} to {gaps.max():.2f} mm: resampled to {step:.3f} mm",)


def _sideways(
    slices: tuple[Slice, ...], positions: np.ndarray, normal: np.ndarray
) -> tuple[np.ndarray, float]:
    """(n, 2) pixels by which slices lie beside the first one's normal, zero where that is negligible; degrees of
    the tilt. Raises UnsupportedStudy when they don't lie on one line."""
    first = slices[0]
    offsets = positions - positions[0]
    line = offsets[-1] / np.linalg.norm(offsets[-1])
    beside = np.linalg.norm(offsets - (offsets @ line)[:, None] * line, axis=1)
    if beside.max() > max(first.spacing):
        raise UnsupportedStudy(
            f"{slices[int(beside.argmax())].name}: lies {beside.max():.1f} mm beside the line of the others; "
            "they don't make one volume"
        )
    tilt = float(np.degrees(np.arccos(min(1.0, line @ normal))))
    if tilt > STEEPEST_TILT_DEGREES:
        raise UnsupportedStudy(
            f"slices lie {tilt:.0f} degrees aslant, at most {STEEPEST_TILT_DEGREES:.0f} are read"
        )
    sideways = np.stack([offsets @ first.rows_along, offsets @ first.columns_along], axis=1)
    drift = np.abs(sideways).max()
    if drift <= ROUNDING_MM or (
        drift <= NEGLIGIBLE_SHIFT * min(first.spacing) and beside.max() <= ROUNDING_MM
    ):
        return np.zeros((len(slices), 2)), tilt
    return sideways / first.spacing, tilt


def _grid(first: Slice, corner: np.ndarray, step: np.ndarray, shape: tuple[int, int, int]) -> Grid:
    """DICOM PS3.3 C.7.6.2.1.1, voxel (column, row, slice) -> RAS mm. Raises CorruptFile."""
    affine = np.eye(4)
    affine[:3, 0] = first.rows_along * first.spacing[0]
    affine[:3, 1] = first.columns_along * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = corner
    affine[:3] *= LPS_TO_RAS[:, None]
    try:
        return Grid(shape, affine + 0.0)  # no -0.0
    except ValueError as error:
        raise CorruptFile(f"{first.name}: impossible geometry ({error}); export the series again") from None


def _stems(slices: tuple[Slice, ...], along: np.ndarray, step: float, count: int) -> tuple[str, ...]:
    """File stem of the slice that lies nearest to each of the volume's, "" where there is none within half a step."""
    stems = [""] * count
    for item, place in zip(slices, along / step):
        if abs(place - round(place)) < 0.5 and stems[round(place)] == "":
            stems[round(place)] = item.stem
    return tuple(stems)
