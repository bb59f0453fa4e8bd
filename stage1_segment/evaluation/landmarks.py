"""Landmarks of marked scans against the levels that a mask gives them."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from common.errors import DatasetError, NothingFound
from common.labels import CLASS_NAMES, LEVEL_IDS, LEVELS, THORACIC
from common.outputs import store
from common.volume import Volume

COUNTED = LEVELS[1:]
"""C2..C7: their marks are middles of bodies; C1 has none."""
MARKED = (*LEVELS, "T1")
FAR_MM = 15.0
"""Further than this from any vertebra a mark has no level."""
BODY_PART = 0.35
"""The front part of a vertebra, counted in its voxels, that stands for its body."""


@dataclass(frozen=True)
class Mark:
    """What a mask says where a landmark lies. `found`: the level whose bone holds the mark or is nearest to it, or
    "background". `distance_mm` to the nearest voxel of the mark's own level, `body_mm` to the middle of that level's
    body; None where the mask has no such level."""

    found: str
    right: bool
    distance_mm: float | None
    body_mm: float | None


def read_marks(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Case -> level -> (3,) world RAS mm, from JSON {case: {"C1": [x, y, z], ..., "T1": ..., other keys}}.
    Raises DatasetError."""
    try:
        content = store.read_json(path)
        cases = {
            str(case): {level: np.array(marks[level], float) for level in MARKED if marks.get(level) is not None}
            for case, marks in content.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f'{path}: expected {{case: {{"C1": [x, y, z] in RAS mm, ...}}}}: {error}') from None
    for case, marks in cases.items():
        bad = [level for level, place in marks.items() if place.shape != (3,) or not np.isfinite(place).all()]
        if bad or not marks:
            raise DatasetError(f"{path}: {case}: {', '.join(bad) or 'no level'}: expected [x, y, z] in RAS mm")
    return cases


def find_scan(folder: Path, case: str) -> Path:
    """<case>_ct.nii.gz, <case>.nii.gz or the folder <case> of a directory. Raises NothingFound."""
    names = (f"{case}_ct.nii.gz", f"{case}.nii.gz", case)
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise NothingFound(f"{folder}: has no {', '.join(names[:2])} nor a folder {case}")


def compare_marks(mask: Volume, marks: dict[str, np.ndarray]) -> dict[str, Mark]:
    """Each landmark (world RAS mm) against a mask of `labels.CLASS_NAMES`. A thoracic mark is right on any thoracic
    vertebra. Distances go to the middles of voxels, 0 within the voxel itself."""
    trees = {}
    for value in range(1, len(CLASS_NAMES)):
        bone = mask.array == value
        if bone.any():
            inner = bone & ~ndimage.binary_erosion(bone) if bone.sum() > 4000 else bone
            trees[value] = cKDTree(mask.grid.to_world(np.argwhere(inner)))
    return {level: _mark(mask, trees, level, place) for level, place in marks.items()}


def _mark(mask: Volume, trees: dict[int, cKDTree], level: str, place: np.ndarray) -> Mark:
    own = LEVEL_IDS.get(level, THORACIC)
    distances = {value: float(tree.query(place)[0]) for value, tree in trees.items()}
    index = np.rint(mask.grid.to_index(place)).astype(int)
    inside = ((index >= 0) & (index < mask.array.shape)).all()
    held = int(mask.array[tuple(index)]) if inside else 0
    if held:
        distances[held] = 0.0
    nearest = min(distances, key=distances.__getitem__, default=0)
    if nearest and distances[nearest] > FAR_MM:
        nearest = 0
    body = None if own not in trees or own == THORACIC else float(np.linalg.norm(body_middle(mask, own) - place))
    return Mark(CLASS_NAMES[nearest], nearest == own, _rounded(distances.get(own)), _rounded(body))


def body_middle(mask: Volume, value: int) -> np.ndarray:
    """(3,) world RAS mm: the middle of the foremost part of a level's voxels, about that of its body (of C1: of its
    anterior arch and the masses' fronts)."""
    points = mask.grid.to_world(np.argwhere(mask.array == value))
    front = points[points[:, 1] >= np.quantile(points[:, 1], 1 - BODY_PART)]
    return front.mean(axis=0)


def out_of_order(mask: Volume) -> list[str]:
    """Pairs such as "C4 above C3": levels whose bodies don't follow each other down the spine."""
    present = [value for value in LEVEL_IDS.values() if (mask.array == value).any()]
    heights = {value: body_middle(mask, value)[2] for value in present}
    return [f"{CLASS_NAMES[b]} above {CLASS_NAMES[a]}" for a, b in pairwise(present) if heights[b] >= heights[a]]


def totals(cases: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Over cases with `marks` (level -> Mark as a dict) and `out_of_order`: landmarks C2..C7, how many are right, scans
    in which all that are marked are, median distances of those levels."""
    rows = [mark for case in cases.values() for level, mark in case["marks"].items() if level in COUNTED]
    whole = [all(m["right"] for level, m in case["marks"].items() if level in COUNTED) for case in cases.values()]
    result: dict[str, Any] = {
        "scans": len(cases),
        "landmarks": len(rows),
        "right": sum(mark["right"] for mark in rows),
        "share_right": round(sum(mark["right"] for mark in rows) / len(rows), 4) if rows else None,
        "scans_all_right": sum(whole),
        "scans_out_of_order": sum(bool(case["out_of_order"]) for case in cases.values()),
    }
    for key in ("distance_mm", "body_mm"):
        values = [mark[key] for mark in rows if mark[key] is not None]
        result[f"median_{key}"] = round(float(np.median(values)), 2) if values else None
    return result


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
