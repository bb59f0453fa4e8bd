"""What is to be expected of stage 2 on a study, for `doctor`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.config import parse_saved
from common.doctor.likeness import Learned, StageView
from common.labels import LEVELS
from common.reading.study import Study
from common.training.weights import read_description
from stage2_classify.crops.cut import THICK_MM
from stage2_classify.crops.likeness import unlike
from stage2_classify.crops.one_study import crops_of
from stage2_classify.grounds.rescan import FINE_MM, SHOWS_HAIRLINES_MM, SLICE_MM, SLICE_TO_FINE
from stage2_classify.grounds.scanner import NOISE_HU
from stage2_classify.inference.classifier import find_weights
from stage2_classify.pretrained.encoder import PRETRAINED
from stage2_classify.settings import KIND, ClassifySettings

NOT_IN_VIEW = "not in view"


def learned(description: Mapping[str, Any]) -> tuple[Learned, ...]:
    """What the scans were like that weights with this description learned from: the virtual scanners' of broken bone,
    or nothing that is known."""
    if "grounds" not in (description.get("learned_from") or {}):
        return ()
    return (
        Learned("voxel_across_mm", *FINE_MM),
        Learned("voxel_up_mm", SLICE_MM[0], SLICE_TO_FINE[1] * FINE_MM[1]),
        Learned("noise_hu", *NOISE_HU),
    )


def expectation(weights: Path, facts: Mapping[str, Any], study: Study | None, mask: Path) -> StageView:
    """`weights`: a file or a folder of folds; `facts` of a study (`common.doctor.facts`); `study` and its `mask`, None:
    there is no mask. Raises WeightsError, and what a mask raises that isn't the scan's."""
    path = find_weights([weights])[0]
    description = read_description(path, KIND)
    settings = parse_saved(description["settings"], ClassifySettings, str(path))
    expect = [] if not description.get("caveat") else [str(description["caveat"])]
    if facts["voxel_across_mm"] > SHOWS_HAIRLINES_MM:
        expect.append(f"voxels of more than {SHOWS_HAIRLINES_MM:g} mm across hardly show hairline cracks")
    unjudged = settings.decision.unjudged
    if unjudged and max(facts["voxel_across_mm"], facts["voxel_up_mm"]) > THICK_MM:
        expect.append(f"voxels of more than {THICK_MM:g} mm: no level would be judged, each would have its prior")
    name = "the pretrained weights" if weights == PRETRAINED else f"the networks of {weights}"
    if study is None:
        expect.append("without a mask, nothing is known of its levels")
        return StageView(name, learned(description), tuple(expect))
    crops = crops_of(study.volume, mask, "merged", settings)
    strange = unlike(crops, description.get("ranges") or {}, settings.crops)
    levels = {}
    for level, present in zip(LEVELS, crops.present):
        flags = [*crops.flags.get(level, ()), *strange.get(level, ())]
        judged = present and level not in strange and not any(flag in unjudged for flag in flags)
        state = "judged" if judged else "not judged" if present else NOT_IN_VIEW
        levels[level] = {"state": state, "flags": [flag for flag in flags if flag != state]}
    count = sum(level["state"] == "judged" for level in levels.values())
    expect.append(f"{count} of {int(crops.present.sum())} levels in view would be judged")
    return StageView(name, learned(description), tuple(expect), levels)
