"""Which of several series is read: the rules, in their order of weight.

1. original before derived; 2. axial before oblique, sagittal, coronal; 3. at least 60 mm long, less holds no neck;
4. named after the neck before unnamed or named otherwise; 5. thin: up to 1.25 mm from slice to slice, up to 2.5 mm,
up to 5 mm, more; 6. bone kernel before others; 7. more slices before fewer; 8. closer slices; 9. by UID.
"""

import re
from collections import Counter

import numpy as np

from common.errors import CorruptFile, IncompleteSeries, NothingFound, UnsupportedStudy
from common.reading.series import Series

SHORTEST_NECK_MM = 60.0
THICK_MM = (1.25, 2.5, 5.0)
NECK = re.compile(r"NECK|CERV|C[ -_]?SPINE|CSPINE|\bHWS\b|\bHALS\b")
BONE = re.compile(r"BONE|EDGE|DETAIL|^[BH][6-9]\d|^[BHU]R[6-9]\d|^FC(3\d|8[01])|^(YE|YD|D|E)$")
"""Names of sharp kernels: GE, Siemens (B60s to B80s, H60s, Br60 and higher), Canon (FC30 to FC39, FC80), Philips."""


def choose(series: list[Series], uid: str | None = None) -> tuple[Series, tuple[str, ...]]:
    """The best of `series` (at least one), or of those with SeriesInstanceUID `uid`; and what is to be said about
    the others. Raises NothingFound for an unknown uid, UnsupportedStudy for series of several studies,
    CorruptFile and IncompleteSeries when slices of the chosen one are cut off or differ in shape."""
    candidates = [item for item in series if uid in (None, item.uid)]
    if not candidates:
        known = ", ".join(sorted({item.uid for item in series}))
        raise NothingFound(f"no CT series {uid}; there are: {known}")
    if len({item.slices[0].study_uid for item in candidates}) > 1:
        raise UnsupportedStudy(
            f"CT series of {len({item.slices[0].study_uid for item in candidates})} studies lie in one place; give "
            "one study, or choose with --series-uid (--list-series shows them)"
        )
    chosen = min(candidates, key=rank)
    _check_whole(chosen, series)
    if len(series) == 1:
        return chosen, ()
    others = Counter(describe(item) for item in series if item is not chosen)
    left_out = ", ".join(
        f"{count} x ({text})" if count > 1 else text for text, count in others.most_common(5)
    )
    left_out += ", ..." if len(others) > 5 else ""
    why = "the best one" if uid is None else "the one asked for"
    return chosen, (f"{len(series)} CT series: read {why} ({describe(chosen)}), left out {left_out}",)


def rank(series: Series) -> tuple:
    """Sorts series from best to worst, by the rules above."""
    first = series.slices[0]
    return (
        bool(first.image_type) and first.image_type[0] == "DERIVED",
        series.plane != "axial",
        series.length < SHORTEST_NECK_MM,
        not NECK.search(first.words),
        int(np.searchsorted(THICK_MM, series.step - 0.05)),
        not BONE.search(first.kernel),
        -len(series.slices),
        round(series.step, 2),
        series.uid,
        first.source.name,
    )


def describe(series: Series) -> str:
    """A series in a few words; nothing of a file's free text."""
    step = f", {series.step:.2f} mm apart" if len(series.slices) > 1 else ""
    kind = "derived " if series.slices[0].image_type[:1] == ("DERIVED",) else ""
    bone = ", bone kernel" if BONE.search(series.slices[0].kernel) else ""
    return f"{len(series.slices)} {kind}{series.plane} slices{step}{bone}"


def _check_whole(chosen: Series, series: list[Series]) -> None:
    first = chosen.slices[0]
    if not any(item.has_pixels for item in chosen.slices):
        raise UnsupportedStudy(
            f"{first.name}: holds no pixels, nor does its series; give the CT images themselves"
        )
    without = next((item for item in chosen.slices if not item.has_pixels), None)
    if without is not None:
        raise CorruptFile(f"{without.name}: cut off before its pixels; copy the study again")
    for other in series:
        if other is chosen or other.uid != chosen.uid or abs(other.normal @ chosen.normal) < 0.999:
            continue
        stray = next(
            (item for item in other.slices if _belongs(chosen, float(chosen.normal @ item.position))), None
        )
        if stray is not None and (other.slices[0].shape, other.slices[0].spacing) != (
            first.shape,
            first.spacing,
        ):
            raise IncompleteSeries(
                f"{stray.name}: {stray.shape[0]} x {stray.shape[1]} pixels of {stray.spacing[0]:.3f} mm, the rest of "
                f"its series {first.shape[0]} x {first.shape[1]} of {first.spacing[0]:.3f} mm; give one matrix"
            )


def _belongs(chosen: Series, along: float) -> bool:
    """Whether a slice there would fill a hole of the series, or go on where it ends."""
    if len(chosen.slices) < 2:
        return False
    reach = 1.5 * chosen.step
    inside = chosen.along[0] - reach <= along <= chosen.along[-1] + reach
    return bool(inside and np.abs(chosen.along - along).min() > 0.5 * chosen.step)
