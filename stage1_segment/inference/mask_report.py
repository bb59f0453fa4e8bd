"""What is written beside a mask, as JSON: its levels, and everything there is to say about it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from common.labels import LEVEL_IDS
from common.masks.turned import KEY
from common.masks.values import boxes_of, middle_of
from common.volume import Volume
from stage1_segment.inference.levels.certainty import UNCERTAIN_BELOW

if TYPE_CHECKING:
    from stage1_segment.inference.segmenter import Segmentation

RELATIVE_VOLUME = {"C1": 1.20, "C2": 1.40, "C3": 0.96, "C4": 0.92, "C5": 1.05, "C6": 1.08, "C7": 1.27}
"""Of a level against the mean of C3..C6: mean of the closed surfaces in two open atlases, ArtiSynth's cervical
spine and BodyParts3D 4.0; they differ by up to 12 %."""

CUT = "cut by the scan's edge"
SMALL = "smaller than its neighbours let expect"
UNSURE = "low confidence"
UNCERTAIN = "level not certain"
UNNAMED = "found, but not certain enough to be named"
NO_LEVEL = "the mask names no cervical vertebra"


def describe(mask: Volume, confidence: dict[int, float]) -> dict[str, dict[str, Any]]:
    """Level -> present, visible_fraction (0..1), box_voxels [first, last] (indices of the mask's array),
    box_mm [low, high] and centroid_mm (world RAS mm), volume_mm3, confidence (0..1), flags.

    mask (X, Y, Z) of `labels.CLASS_NAMES`. Boxes in mm go to the outer faces of the voxels. An absent level has
    None for what it hasn't got. The visible fraction of a level that the edge cuts is an estimate from the
    volumes of the whole ones and `RELATIVE_VOLUME`.
    """
    objects = boxes_of(mask.array, max(LEVEL_IDS.values()))
    levels = {name: _measure(mask, value, objects[value - 1]) for name, value in LEVEL_IDS.items()}
    whole = [v["volume_mm3"] / RELATIVE_VOLUME[n] for n, v in levels.items() if v["present"] and not v["flags"]]
    unit = float(np.median(whole)) if whole else None
    for name, level in levels.items():
        if not level["present"]:
            continue
        expected = unit * RELATIVE_VOLUME[name] if unit else level["volume_mm3"]
        part = min(level["volume_mm3"] / expected, 1.0)
        level["visible_fraction"] = round(part, 3) if CUT in level["flags"] else 1.0
        level["confidence"] = confidence.get(LEVEL_IDS[name])
        if CUT not in level["flags"] and part < 0.5:
            level["flags"].append(SMALL)
        if level["confidence"] is not None and level["confidence"] < 0.6:
            level["flags"].append(UNSURE)
    return levels


def _measure(mask: Volume, value: int, box: tuple[slice, ...] | None) -> dict[str, Any]:
    if box is None:
        nothing = dict.fromkeys(("box_voxels", "box_mm", "centroid_mm", "confidence"))
        return {"present": False, "visible_fraction": 0.0, "volume_mm3": 0.0, **nothing, "flags": []}
    inside = mask.array[box] == value
    first = np.array([s.start for s in box])
    last = np.array([s.stop - 1 for s in box])
    count = int(inside.sum())
    faces = np.array(np.meshgrid(*zip(first - 0.5, last + 0.5), indexing="ij")).reshape(3, -1).T
    world = mask.grid.to_world(faces)
    cut = bool((first == 0).any() or (last == np.array(mask.array.shape) - 1).any())
    return {
        "present": True,
        "visible_fraction": 1.0,
        "volume_mm3": round(count * abs(float(np.linalg.det(mask.affine[:3, :3]))), 1),
        "box_voxels": [first.tolist(), last.tolist()],
        "box_mm": [world.min(axis=0).round(2).tolist(), world.max(axis=0).round(2).tolist()],
        "centroid_mm": mask.grid.to_world(first + middle_of(inside)).round(2).tolist(),
        "confidence": None,
        "flags": [CUT] if cut else [],
    }


def levels_of(uid: str | None, ct: Volume, mask: Volume, result: "Segmentation", **more: Any) -> dict[str, Any]:
    """The content of `<mask>.json`: study; certainty (0..1, that all levels in view are named rightly); levels
    (`describe` of `mask`, which is the one that is written, and each one's certainty and alternatives: name ->
    probability); the notices of the reader, of the segmentation and of the mask itself; in which directions the scan
    was turned round before, and `more`."""
    levels = describe(mask, result.confidence)
    for name, level in levels.items():
        level |= {"certainty": None, "alternatives": {}}
        if result.certainty is not None and (level["present"] or name in result.unnamed):
            named = result.certainty.alternatives.get(name, {})
            level |= {"certainty": result.certainty.of(name), "alternatives": named}
        if name in result.unnamed:
            level["flags"].append(UNNAMED)
        elif level["certainty"] is not None and level["certainty"] < UNCERTAIN_BELOW:
            level["flags"].append(UNCERTAIN)
    study = None if result.certainty is None else result.certainty.study
    notices = [*ct.notices, *result.notices]
    if not any(level["present"] for level in levels.values()):
        notices.append(NO_LEVEL)
    turned = list(result.turned)
    return {"study": uid, "certainty": study, "levels": levels, "notices": notices, KEY: turned, **more}
