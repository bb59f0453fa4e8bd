"""What is to be expected of stage 1 on a study, for `doctor`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common.config import load
from common.doctor.likeness import Learned, StageView
from common.errors import NoCervicalLevel, StudyError
from common.labels import CLASS_NAMES, LEVELS, THORACIC
from common.outputs.notices import json_beside
from common.outputs.store import read_json
from common.reading.images import read_image
from common.reading.plausibility.faults import BONE, LOWEST_FLOOR
from stage1_segment.pretrained import PRETRAINED
from stage1_segment.scanner_ranges import COARSE_MM, FINE_MM, NOISE_HU, SLICE_MM, VALUES_HU
from stage1_segment.settings import SegmentSettings

PRETRAINED_CONFIG = Path("atlas")
"""The configuration of the pretrained weights (weights/CARD.md)."""
SHORT_MM = 90.0
"""Less of a body's height shows neither skull nor ribs beside a level in the middle of the neck."""
COARSE_VOXEL_MM = 3.0
METAL_ML = 0.1
"""Of a filling in a tooth there is less."""


def learned() -> tuple[Learned, ...]:
    """What the scans were like that the pretrained weights learned from."""
    _, settings = load(PRETRAINED_CONFIG, "segment", SegmentSettings, [])
    return (
        Learned("voxel_across_mm", FINE_MM[0], COARSE_MM[1]),
        Learned("voxel_up_mm", *SLICE_MM),
        Learned("field_of_view_mm", *settings.synthetic.field_of_view_mm),
        Learned("noise_hu", 0.0, NOISE_HU),
        Learned("lowest_hu", VALUES_HU[0], LOWEST_FLOOR),
        Learned("highest_hu", BONE, VALUES_HU[1]),
    )


def expectation(out: Path, facts: Mapping[str, Any], run: Path | None, segment: Callable[[], int] | None) -> StageView:
    """`facts` of a study (`common.doctor.facts`); `run`: the folder of the networks, None for the pretrained ones;
    `segment`: leaves OUT/mask.nii.gz and mask.json, None: nothing is segmented. What a study is refused for is the
    view's `error`; raises what isn't the study's fault."""
    ranges = learned() if run is None else ()
    name = f"the pretrained weights ({PRETRAINED.name})" if run is None else f"the networks of {run}"
    expect = _of_facts(facts)
    if segment is None:
        return StageView(name, ranges, (*expect, "not segmented (--quick): nothing is known of its levels"))
    error: StudyError | None = None
    try:
        segment()
    except NoCervicalLevel as found:
        error = found
    except StudyError as found:
        return StageView(name, ranges, (*expect, "`predict` would refuse this study"), error=found)
    about = read_json(json_beside(out / "mask.nii.gz"))
    thoracic = bool((read_image(out / "mask.nii.gz").array == THORACIC).any())
    return StageView(name, ranges, (*expect, *_of_levels(about, thoracic)), _levels(about["levels"]), error)


def _of_facts(facts: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    if max(facts["voxel_across_mm"], facts["voxel_up_mm"]) > COARSE_VOXEL_MM:
        found.append("coarse voxels: outlines follow them, and thin arches may be missed")
    if facts["height_mm"] < SHORT_MM:
        high = facts["height_mm"]
        found.append(f"only {high:g} mm high: skull and ribs, by which levels are counted, may be out of view")
    if facts["metal_ml"] >= METAL_ML:
        found.append("metal: levels beside it may be outlined badly; operated spines were not learned from")
    return tuple(found)


def _of_levels(about: Mapping[str, Any], thoracic: bool) -> tuple[str, ...]:
    seen = [name for name in LEVELS if about["levels"][name]["present"]]
    row = f"in view: {', '.join([*seen, *([CLASS_NAMES[THORACIC]] if thoracic else [])]) or 'no vertebra'}"
    anchored = seen and (thoracic or about["levels"]["C1"]["present"])
    unsure = "neither C1 nor a thoracic vertebra is in view: which level is which is a guess; look at the preview, and "
    unsure += "correct it with `predict --levels`"
    return (row, *([unsure] if seen and not anchored else []), *about["notices"])


def _levels(levels: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, level in levels.items():
        part = level["visible_fraction"]
        state = "not in view" if not level["present"] else "in view" if part == 1 else f"{part:.0%} in view"
        found[name] = {"state": state, "confidence": level["confidence"], "flags": list(level["flags"])}
    return found
