"""Whether a mask can be true: its numbers read by the right scheme, its levels down the spine, bone within it."""

from pathlib import Path

import numpy as np

from common.errors import GridMismatch, UnsupportedStudy
from common.labels import LEVELS
from common.masks import label_places
from common.masks.bone_place import MOVED_MM, WINDOW_HU, Place, place_of
from common.masks.files import level_in_name
from common.masks.label_places import Label
from common.masks.schemes import SCHEMES, level_values, unexpected
from common.volume import Grid, Volume

BELOW_MM = 30.0
"""A scan that ends this near below C1 may show C1 alone."""
BETTER = 0.82
"""Bone within the mask as a part of what it would hold elsewhere: less is another place (docs/masks.md)."""
LITTLE_BONE = 0.6
"""Of the mean HU within the mask, cut to WINDOW_HU, as a part of its upper end."""
LEAST_CONTRAST_HU = 25.0
"""Of means within 0..250 HU."""


def check_numbers(values: list[int], labels: dict[int, Label], scheme: str, path: Path, scan: Grid | None) -> list[str]:
    """A mask's `values` and where they lie, read by `scheme`; `scan`: the grid that it belongs to, where known.

    Returns notices. Raises UnsupportedStudy (names the scheme that would fit), GridMismatch for one upside down.
    """
    fit = label_places.that_fit(values, labels, scheme)
    if odd := unexpected(values, scheme):
        found = ", ".join(map(str, odd[:10])) + (", ..." if len(odd) > 10 else "")
        raise UnsupportedStudy(
            f"{path}: unexpected label {found}; the scheme `{scheme}` knows {_span(scheme)}. {_advice(fit, labels)}"
        )
    if len(values) == 1:
        _check_binary(values[0], labels, scheme, path, scan)
    levels, column = label_places.levels_by(scheme, labels), label_places.column_by(scheme, labels)
    if not levels:
        if fit:
            raise UnsupportedStudy(
                f"{path}: no cervical level is left when it is read as `{scheme}`. {_advice(fit, labels)}"
            )
        return [f"the mask holds no cervical level (scheme `{scheme}`)"] if values else []
    if _stands_below(levels, labels, fit):
        raise UnsupportedStudy(
            f"{path}: read as `{scheme}`, its {label_places.named(levels)} lie below what looks like a neck. "
            f"{_advice(fit, labels)}"
        )
    if fault := label_places.too_large(levels):
        raise UnsupportedStudy(f"{path}: {fault}. {_advice(fit, labels)}")
    if fault := label_places.goes_up(column):
        if fit:
            raise UnsupportedStudy(f"{path}: read as `{scheme}`, {fault}. {_advice(fit, labels)}")
        raise GridMismatch(
            f"{path}: {fault}; C1 must lie on top. The mask's affine, or that of the scan, isn't true: write the mask "
            "with the affine of the scan that it was drawn on"
        )
    if fault := label_places.unordered(column):
        raise UnsupportedStudy(
            f"{path}: {fault}, expected every level below the one before it. {_advice(fit, labels)}"
        )
    return []


def check_place(ct: Volume, mask: Volume, path: Path) -> list[str]:
    """Whether bone lies within a mask (values of common.labels, on the grid of `ct` in HU). Returns notices; raises
    GridMismatch where the mask would hold plainly more bone elsewhere."""
    place = place_of(ct, mask, enough=BETTER * WINDOW_HU[1])  # no place holds more than WINDOW_HU[1]
    if place is None:
        return []
    moved = float(np.linalg.norm(place.better_at))
    if place.here < BETTER * place.best and (place.turn or moved >= MOVED_MM):
        raise GridMismatch(
            f"{path}: {place.turn or 'lies beside the bone'} (mean {place.inside_hu:.0f} HU within it, "
            f"{place.around_hu:.0f} around; more of it {_where(place)}). Is it the mask of this study, with its affine?"
        )
    if place.contrast < LEAST_CONTRAST_HU:
        return [
            f"within the mask there is hardly more bone than around it (mean {place.inside_hu:.0f} and "
            f"{place.around_hu:.0f} HU); is it the mask of this study?"
        ]
    if place.here < LITTLE_BONE * WINDOW_HU[1]:
        return [
            f"{place.here / WINDOW_HU[1]:.0%} of what the mask could hold of bone is there, usually 80-100%: it is "
            "drawn generously, or it is another study's"
        ]
    return []


def _check_binary(value: int, labels: dict[int, Label], scheme: str, path: Path, scan: Grid | None) -> None:
    """A mask with one value that may as well mean "bone": the file's name or the scan must say that it is C1."""
    if value not in (1, 255) or level_values(scheme).get(1) != value:
        if value in (1, 255) and value in labels:
            raise UnsupportedStudy(f"{path}: {_binary(value)}")
        return
    named = level_in_name(path)
    label = labels.get(value)
    if named == LEVELS[0] or label is None:
        return
    ends_below = scan is not None and label.low - float(scan.corners()[:, 2].min()) < BELOW_MM
    if named is None and ends_below and not label_places.too_large({1: label}):
        return
    says = f"its name says {named}, read as `{scheme}` it would be C1; " if named else ""
    raise UnsupportedStudy(f"{path}: {says}{_binary(value)}")


def _binary(value: int) -> str:
    return (
        f"it holds nothing but {value}, which doesn't say which vertebra that is. Give the folder with one file per "
        "vertebra (vertebrae_C1.nii.gz to vertebrae_C7.nii.gz), or a mask that numbers its vertebrae"
    )


def _stands_below(levels: dict[int, Label], labels: dict[int, Label], fit: list[str]) -> bool:
    """Whether another scheme finds more levels, all above those of the chosen one."""
    if not fit:
        return False
    others = label_places.levels_by(fit[0], labels)
    highest = max(label.middle[2] for label in levels.values())
    return len(others) > len(levels) and min(label.middle[2] for label in others.values()) > highest


def _advice(fit: list[str], labels: dict[int, Label]) -> str:
    if not fit:
        return f"Known schemes are {', '.join(SCHEMES)} (docs/masks.md); none makes a neck of its labels"
    levels = label_places.named(label_places.levels_by(fit[0], labels))
    names = " or ".join(f"`{name}`" for name in fit)
    return f"The scheme {names} would fit ({levels} down the spine): --scheme {fit[0]}"


def _span(scheme: str) -> str:
    """`1..33, 101..133`"""
    values = np.array(sorted(SCHEMES[scheme]))
    rows = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(f"{row[0]}..{row[-1]}" for row in rows)


def _where(place: Place) -> str:
    ways = (("left", "right"), ("behind", "in front"), ("lower", "higher"))
    parts = [f"{abs(mm):.0f} mm {way[int(mm > 0)]}" for mm, way in zip(place.better_at, ways) if abs(mm) >= 1]
    return ", ".join([*parts, *(["turned back"] if place.turn else [])])
