"""Slices that belong together: grouped, ordered along their normal, judged, and placed in the world."""

from collections import defaultdict

import numpy as np

from common.errors import IncompleteSeries, UnsupportedStudy
from common.reading.header import Slice
from common.volume import Grid

SAME_DIRECTION = 1e-3
"""Largest difference of direction cosines within a series."""
UNEVEN = 0.2
"""Largest deviation of a gap from the usual one, as a part of it; positions rounded to 0.1 mm stay below."""
ROUNDING_MM = 0.06
"""Positions are written with one digit after the point by some scanners."""
TILT_DEGREES = 0.2
"""Largest angle between the line of the slices' origins and their normal."""
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def main_series(slices: list[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """The series with the most slices among all given, and what is to be said about the others.

    A series here is one SeriesInstanceUID with one orientation, matrix and pixel spacing.
    """
    groups: list[list[Slice]] = []
    by_key: dict[tuple, list[list[Slice]]] = defaultdict(list)
    for item in slices:
        candidates = by_key[item.series_uid, item.shape]
        group = next((g for g in candidates if _alike(g[0], item)), None)
        if group is None:
            group = []
            candidates.append(group)
            groups.append(group)
        group.append(item)
    groups.sort(key=lambda group: (-len(group), group[0].series_uid, group[0].source.name))
    chosen = groups[0]
    if len(groups) == 1:
        return chosen, ()
    others = ", ".join(str(len(group)) for group in groups[1:6]) + (", ..." if len(groups) > 6 else "")
    notice = f"{len(groups)} CT series: read the one with most slices ({len(chosen)}), left out those of {others}"
    return chosen, (notice,)


def order(slices: list[Slice]) -> list[Slice]:
    """Slices by increasing position along the normal (row direction x column direction)."""
    normal = slices[0].normal
    return sorted(slices, key=lambda item: float(normal @ item.position))


def judge(slices: list[Slice]) -> tuple[str, ...]:
    """Ordered slices must make a volume: at least two, even gaps, none doubled. Returns what is to be said of it.

    A gantry tilt shears the slices against each other; their affine holds the shear exactly (see `place`).
    Raises IncompleteSeries, UnsupportedStudy, naming the slices.
    """
    if len(slices) < 2:
        raise UnsupportedStudy(f"{slices[0].source.name}: a single slice, expected a series; give the whole folder")
    positions = np.stack([item.position for item in slices])
    normal = slices[0].normal
    along = positions @ normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    allowed = max(UNEVEN * usual, ROUNDING_MM)
    _judge_gaps(slices, gaps, usual, allowed)
    even = np.linspace(along[0], along[-1], len(along))
    if np.abs(along - even).max() > max(allowed, UNEVEN * usual):
        raise IncompleteSeries(
            f"slice gaps drift between {gaps.min():.3f} and {gaps.max():.3f} mm, expected even ones; "
            "export the series with constant spacing"
        )
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    tilt = np.degrees(np.arctan2(np.linalg.norm(step - (step @ normal) * normal), step @ normal))
    sideways = positions - positions[0] - np.arange(len(slices))[:, None] * step
    sideways -= (sideways @ normal)[:, None] * normal
    beside = np.linalg.norm(sideways, axis=1)
    if beside.max() > max(slices[0].spacing):
        raise UnsupportedStudy(
            f"{slices[int(beside.argmax())].source.name}: lies {beside.max():.1f} mm beside the line of the others; "
            "they don't make one volume"
        )
    if tilt <= TILT_DEGREES:
        return ()
    return (f"gantry tilt of {tilt:.1f} degrees: the slices are sheared against each other, the affine says so",)


def _judge_gaps(slices: list[Slice], gaps: np.ndarray, usual: float, allowed: float) -> None:
    names = [item.source.name for item in slices]
    doubled = np.flatnonzero(gaps < max(0.01, 0.25 * usual))
    if len(doubled):
        k = int(doubled[0])
        raise IncompleteSeries(
            f"{names[k]} and {names[k + 1]} lie at the same place ({len(doubled)} such pairs among {len(slices)} "
            "slices); remove the copies or give one series alone"
        )
    wide = np.flatnonzero(gaps > usual + max(allowed, 0.5 * usual))
    if len(wide):
        k = int(wide[0])
        missing = int(sum(max(1, round(gaps[i] / usual) - 1) for i in wide))
        raise IncompleteSeries(
            f"about {missing} slices are missing, the first between {names[k]} and {names[k + 1]} "
            f"(gap {gaps[k]:.2f} mm, usual {usual:.2f} mm); export the whole series"
        )
    uneven = np.flatnonzero(np.abs(gaps - usual) > allowed)
    if len(uneven):
        k = int(uneven[0])
        raise IncompleteSeries(
            f"gap between {names[k]} and {names[k + 1]} is {gaps[k]:.3f} mm, usual {usual:.3f} mm; "
            "export the series with constant spacing"
        )


def place(slices: list[Slice]) -> Grid:
    """The grid (column, row, slice) of ordered slices, voxel -> RAS mm.

    DICOM PS3.3 C.7.6.2.1.1, with the third column from the first and the last position (LPS -> RAS).
    """
    first = slices[0]
    affine = np.eye(4)
    affine[:3, 0] = first.rows_along * first.spacing[0]
    affine[:3, 1] = first.columns_along * first.spacing[1]
    affine[:3, 2] = (slices[-1].position - first.position) / (len(slices) - 1)
    affine[:3, 3] = first.position
    affine[:3] *= LPS_TO_RAS[:, None]
    return Grid((*first.shape, len(slices)), affine + 0.0)  # no -0.0


def _alike(a: Slice, b: Slice) -> bool:
    directions = np.abs(a.rows_along - b.rows_along).max(), np.abs(a.columns_along - b.columns_along).max()
    return max(directions) <= SAME_DIRECTION and bool(np.allclose(a.spacing, b.spacing, rtol=1e-3))
