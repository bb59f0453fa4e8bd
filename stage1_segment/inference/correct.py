"""A mask corrected by a person, in place of stage 1's own: the earlier version is kept, its levels described anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.corrections.correction import KEY, Correction, corrections_beside, entry, is_same, said_before, sentence
from common.corrections.earlier import Earlier, earlier_version, keep
from common.corrections.levels import moved, parse, steps
from common.errors import ConfigError, NothingFound
from common.labels import CLASS_NAMES, LEVEL_IDS
from common.masks import files as mask_files
from common.masks.segmentation import mask_on, onto
from common.masks.segments import read_edited
from common.masks.turned import KEY as TURNED
from common.outputs import store
from common.outputs.lock import only_one
from common.outputs.notices import json_beside, tell
from common.outputs.out_folder import answer_at
from common.outputs.own_files import is_unchanged, refuse_unrecorded
from common.reading.images import write_image
from common.volume import Volume
from stage1_segment.inference.mask_report import UNCERTAIN, describe
from stage1_segment.schema import MASK

if TYPE_CHECKING:
    from common.reading.study import Reader

LEAST_KEPT = 0.5
"""Of a vertebra's voxels that an edit leaves, for it to be the same vertebra."""
BY_HAND = "named or edited by hand"
BEFORE = "of the mask before it was corrected: "
IN_PLACE = "mask.nii.gz was changed after it was written, so that what it was before isn't kept"


@dataclass(frozen=True, eq=False)
class Corrected:
    """The new `mask` (X, Y, Z) of `labels.CLASS_NAMES` on the scan's grid; `changed`: name before -> after, or level ->
    what was edited; `notices`: a sentence each."""

    mask: Volume
    changed: dict[str, str]
    notices: tuple[str, ...]


def correct_study(
    source: Path,
    output: Path,
    correction: Correction,
    preview: Path | None = None,
    series_uid: str | None = None,
    overwrite: bool = False,
    read: "Reader | None" = None,
) -> None:
    """Writes the corrected mask of `source` to `output`, OUT/mask.nii.gz, its levels beside it as .json, and a picture
    to `preview`. What lay in OUT is in OUT/before-N then, and what was made from the old mask is gone from OUT.

    The same instruction given twice is followed once. Nothing is changed when it can't be followed. Raises ConfigError
    (what is said can't be meant), NothingFound (no mask there), GridMismatch (of another study), UnsupportedStudy (an
    edited mask that isn't one), StudyError, OutputError, RunBusy."""
    from common.reading.study import read_study

    with only_one(output.parent):
        study = (read or read_study)(source, series_uid)
        name = study.uid or source.name
        fresh = correction.mask is not None and not output.is_file()  # an edited mask may be the first one
        earlier = None if fresh else earlier_version(output.parent, source)
        done = corrections_beside(output) if output.is_file() else []
        digest = None if correction.mask is None else _digest(correction.mask)
        if done and is_same(done[-1], correction, digest):
            tell(name, [f"followed already, so the mask stays: {sentence(done[-1])}. {_once_more(correction)}"])
            return
        made = _corrected(study.volume, earlier, correction, output)
        for path in (output, json_beside(output), *([preview] if preview else [])):
            if not overwrite:
                refuse_unrecorded(path)
        kept = keep(output.parent)
        said = said_before(None if earlier is None else earlier.result)
        done = [*done, entry(correction, digest, made.changed, kept, said)]
        about = _about(study.uid, study.volume, made, earlier, done)
        tell(name, about["notices"])
        # What could be lost is in before-N, were it changed since it was written, and were it the edited mask.
        outputs, given = [output, json_beside(output), preview], correction.mask
        if kept and given and given.parent.samefile(output.parent) and (output.parent / kept / given.name).is_file():
            given = None
        with answer_at(outputs, source, output, [given], overwrite=True) as record:
            weights = {} if earlier is None else _kept(earlier.provenance, "weights")
            provenance = {**record, "series": series_uid, **weights, KEY: done}
            if preview is not None:
                from stage1_segment.inference.preview import draw_preview

                draw_preview(study.volume, made.mask, preview, f"{name}, corrected by hand")
                store.write_record(preview, provenance, MASK)
            store.write_json(json_beside(output), about)
            store.write_record(json_beside(output), provenance, MASK)
            write_image(made.mask, output)
            store.write_record(output, provenance, MASK)


def _corrected(ct: Volume, earlier: Earlier | None, correction: Correction, output: Path) -> Corrected:
    before = None if earlier is None else onto(earlier.mask, ct.grid)
    touched = () if before is None or is_unchanged(output) else (IN_PLACE,)
    if correction.mask is None:
        if before is None:
            raise NothingFound(f"{output}: there is no mask whose levels could be named")
        by = steps(before, [parse(words) for words in correction.levels])
        mask, names, said = moved(before, by)
        return Corrected(Volume(mask.array, ct.affine), names, (*touched, *said))
    turned = () if earlier is None else tuple(earlier.about.get(TURNED) or ())
    whole, scheme = read_edited(correction.mask, correction.scheme)
    mask = mask_on(ct, whole, scheme, correction.mask, own=bool(turned), turned=turned)
    if touched and correction.mask.samefile(output):
        before = None  # what it was before, nobody knows
    changed = _edited(before, mask)
    if not changed:
        raise ConfigError(f"--mask {correction.mask}: is the mask that is there already; nothing is to be corrected")
    return Corrected(Volume(mask.array, ct.affine), changed, (*touched, *mask.notices))


def _edited(before: Volume | None, after: Volume) -> dict[str, str]:
    """Level or thoracic -> what was edited, in ml; levels that are alike are left out."""
    cell = abs(float(np.linalg.det(after.affine[:3, :3]))) / 1000
    found = {}
    for value, name in enumerate(CLASS_NAMES[1:], start=1):
        new = after.array == value
        old = np.zeros_like(new) if before is None else before.array == value
        more, less = int((new & ~old).sum()), int((old & ~new).sum())
        if more or less:
            found[name] = f"+{more * cell:.2f} -{less * cell:.2f} ml" if before is not None else f"{more * cell:.2f} ml"
    return found


def _about(
    uid: str | None, ct: Volume, made: Corrected, earlier: Earlier | None, done: list[dict[str, Any]]
) -> dict[str, Any]:
    """The content of the mask's JSON file. The network's confidence stays with levels whose voxels are as they were,
    the certainty of a level with a vertebra that is called as before."""
    from stage1_segment.inference.anatomy.row import row_contradictions

    old = {} if earlier is None else earlier.about
    named = {name: dict((old.get("levels") or {}).get(name) or {}) for name in LEVEL_IDS}
    parts = {name: _part_kept(earlier, made.mask, value) for name, value in LEVEL_IDS.items()}
    alike = {name for name, part in parts.items() if part == 1}
    sure = {LEVEL_IDS[name]: said["confidence"] for name, said in named.items() if name in alike}
    levels = describe(made.mask, sure)
    for name, level in levels.items():
        # What is said of the level's name stays with a vertebra that has kept it.
        stays = level["present"] and parts[name] > LEAST_KEPT
        level["certainty"] = named[name].get("certainty") if stays else None
        level["alternatives"] = named[name].get("alternatives", {}) if stays else {}
        if stays and UNCERTAIN in named[name].get("flags", ()):
            level["flags"].append(UNCERTAIN)
        if level["present"] and name not in alike:
            level["flags"].append(BY_HAND)
    before = [text for text in old.get("notices") or () if isinstance(text, str) and text not in ct.notices]
    before = [text for text in before if not text.startswith((BEFORE, *map(sentence, done[:-1])))]
    notices = [
        *map(sentence, done),
        *made.notices,
        *ct.notices,
        *row_contradictions(made.mask),
        *(BEFORE + text for text in before),
    ]
    kept: dict[str, Any] = {key: old[key] for key in ("precision", "seen_in_training") if key in old}
    return {
        "study": uid,
        "certainty": None,
        "levels": levels,
        "notices": list(dict.fromkeys(notices)),
        TURNED: old.get(TURNED, []),
        **kept,
        KEY: done,
    }


def _part_kept(earlier: Earlier | None, after: Volume, value: int) -> float:
    """Part (0..1) of a level's voxels, before and after, that are the same ones; 0 without a version before."""
    if earlier is None:
        return 0.0
    old, new = onto(earlier.mask, after.grid).array == value, after.array == value
    return float((old & new).sum() / max((old | new).sum(), 1))


def _digest(mask: Path) -> str:
    return store.digest_value(mask_files.digest(mask))


def _kept(provenance: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: provenance[name] for name in names if name in provenance}


def _once_more(correction: Correction) -> str:
    if correction.mask is not None:
        return "Outputs are made from it again"
    return "Outputs are made from it again; to move the row once more, name another pair of levels, or a point"
