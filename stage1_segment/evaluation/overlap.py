"""Dice, HD95 and centroid error of a cohort's masks against the truth."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from common.config import DataSettings
from common.dataset.competition import Competition
from common.errors import PARTLY_FAILED, DatasetError
from common.labels import LEVEL_IDS, LEVELS
from common.masks.segmentation import segmentation_on
from common.masks.values import boxes_of, dice
from common.outputs import store
from common.outputs.notices import seen_in_training
from common.outputs.own_files import run_outputs_at
from common.progress import progress
from common.reading.nifti import read_nifti
from common.volume import Volume
from common.workers.failing import LOG
from common.workers.pool import Failed, shared
from stage1_segment.run_folder import RunFolder
from stage1_segment.schema import EVALUATION
from stage1_segment.settings import SegmentSettings

SEEN = "seen in training"


def evaluate(data: DataSettings, settings: SegmentSettings) -> int:
    """Prints tables and writes stage1/evaluation.json: on the test studies whose truth is known, else on the segmented
    ones. Those whose mask is by a network that learned from their segmentation (`seen_in_training` beside the mask),
    and those of which that isn't known, are summed up apart. Exit code 0 or PARTLY_FAILED."""
    competition = Competition.open(data.root)
    run = RunFolder(data.run)
    truth = {uid: path for uid in competition.test_studies() if (path := competition.test_segmentation(uid))}
    cohort = "test" if truth else "held-out"
    if not truth:
        truth = {uid: path for uid in competition.segmented() if (path := competition.segmentation(uid))}
    if not truth:
        raise DatasetError(f"{data.root}: no study with a true mask to compare with; segmentations/ holds none")
    seen = {uid: seen_in_training(run.mask(uid), unknown=None if cohort == "held-out" else False) for uid in truth}
    provenance = {uid: [store.Files(p), store.Files(run.mask(uid)), seen[uid]] for uid, p in truth.items()}
    output = run.stage / "evaluation.json"
    if not store.is_current(output, provenance, EVALUATION):
        with run_outputs_at([output]):
            studies, failed = _compare_all(truth, run, data.workers)
            if not studies:
                raise DatasetError(f"{run.mask('<uid>')}: nothing there; run `python -m stage1_segment predict` first")
            store.write_json(output, {**apart(studies, seen, cohort), "failed": failed})
            store.write_record(output, provenance, EVALUATION)
    result = store.read_json(output)
    print(table(result))
    for uid, reason in result["failed"].items():
        print(f"{uid}: {reason}", file=sys.stderr)
    return PARTLY_FAILED if result["failed"] else 0


def apart(studies: dict[str, dict], seen: dict[str, bool | None], cohort: str) -> dict[str, Any]:
    """`summary` and the `studies` themselves of those that no network of theirs has learned from; the same of the
    others as `seen` and `unknown`, None where there are none."""
    groups = {flag: {uid: of for uid, of in studies.items() if seen[uid] is flag} for flag in (False, True, None)}
    named = {False: cohort, True: SEEN, None: "perhaps " + SEEN}
    found = {flag: {"cohort": named[flag], **summary(of), "studies": of} for flag, of in groups.items()}
    others = {name: found[flag] if groups[flag] else None for name, flag in (("seen", True), ("unknown", None))}
    return {**found[False], **others}


def compare(prediction: Volume, truth: Volume) -> dict[str, dict[str, float | None]]:
    """Level -> dice, hd95_mm, centroid_mm for each level in the truth; a level that the prediction lacks has Dice 0
    and None for the others. A level that only the prediction has: dice 0 and `invented` true. Same grids."""
    spacing = truth.spacing
    highest = max(LEVEL_IDS.values())
    boxes = [boxes_of(volume.array, highest) for volume in (prediction, truth)]
    result: dict[str, dict[str, Any]] = {}
    for level, value in LEVEL_IDS.items():
        own, true = (found[value - 1] for found in boxes)
        if true is None:
            if own is not None:
                result[level] = {"dice": 0.0, "hd95_mm": None, "centroid_mm": None, "invented": True}
            continue
        if own is None:
            result[level] = {"dice": 0.0, "hd95_mm": None, "centroid_mm": None}
            continue
        box = _around(own, true)
        a, t = prediction.array[box] == value, truth.array[box] == value
        centres = [truth.grid.to_world(np.argwhere(m).mean(axis=0)) for m in (a, t)]
        result[level] = {
            "dice": round(dice(a, t), 4),
            "hd95_mm": round(hd95(a, t, spacing), 3),
            "centroid_mm": round(float(np.linalg.norm(centres[0] - centres[1])), 3),
        }
    return result


def hd95(one: np.ndarray, other: np.ndarray, spacing: np.ndarray) -> float:
    """HD95 in mm of two bodies, bool (X, Y, Z), neither of them empty, whose voxels measure `spacing` (3,) mm: of the
    distances from each surface voxel to the other's surface the 95th percentile, and of both directions the larger one
    (Maier-Hein et al. 2024, Metrics reloaded). MONAI's `compute_hausdorff_distance` says the same, and takes longer to
    import than a cohort to compare."""
    surfaces = [np.argwhere(body & ~ndimage.binary_erosion(body)) * spacing for body in (one, other)]
    apart = (KDTree(there).query(here)[0] for here, there in (surfaces, surfaces[::-1]))
    return max(float(np.percentile(distances, 95)) for distances in apart)


def summary(studies: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Means over studies per level, and over all levels of all studies; `missed` and `invented` are counts."""
    rows = {level: [s[level] for s in studies.values() if level in s] for level in LEVELS}
    rows["all"] = [row for level in LEVELS for row in rows[level]]
    return {"levels": {name: _means(values) for name, values in rows.items()}}


def table(result: dict[str, Any]) -> str:
    """The summaries as text."""
    others = [table(result[name]) for name in ("seen", "unknown") if result.get(name)]
    if others and not result["studies"]:
        return "\n".join([f"0 {result['cohort']} studies", *others])
    lines = [f"{len(result['studies'])} {result['cohort']} studies"]
    lines.append(f"{'level':6} {'n':>4} {'Dice':>7} {'HD95 mm':>8} {'centroid mm':>12} {'missed':>7} {'invented':>9}")
    for name, row in result["levels"].items():
        figures = [_number(row["dice"], 7, 3), _number(row["hd95_mm"], 8, 2), _number(row["centroid_mm"], 12, 2)]
        lines.append(f"{name:6} {row['n']:>4} {' '.join(figures)} {row['missed']:>7} {row['invented']:>9}")
    return "\n".join([*lines, *others])


def _compare_all(truth: dict[str, Path], run: RunFolder, workers: int) -> tuple[dict, dict[str, str]]:
    studies, failed = {}, {}
    jobs = {uid: (run.mask(uid), path) for uid, path in truth.items()}
    for uid, result in progress(shared(_compare_files, jobs, workers, run.root / LOG), len(jobs), "evaluating"):
        if isinstance(result, Failed):
            failed[uid] = result.message
        else:
            studies[uid] = result
    return {uid: studies[uid] for uid in truth if uid in studies}, failed


def _compare_files(mask: Path, truth: Path) -> dict[str, Any]:
    prediction = read_nifti(mask)
    return compare(prediction, segmentation_on(prediction, truth, "rsna", is_ct=False))


def _around(one: tuple[slice, ...], other: tuple[slice, ...]) -> tuple[slice, ...]:
    """The box that holds both, and a voxel more on every side."""
    return tuple(slice(max(min(a.start, b.start) - 1, 0), max(a.stop, b.stop) + 1) for a, b in zip(one, other))


def _means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    real = [row for row in rows if not row.get("invented")]

    def mean(key: str) -> float | None:
        values = [row[key] for row in real if row[key] is not None]
        return round(float(np.mean(values)), 4) if values else None

    return {
        "n": len(real),
        "dice": mean("dice"),
        "hd95_mm": mean("hd95_mm"),
        "centroid_mm": mean("centroid_mm"),
        "missed": sum(row["centroid_mm"] is None for row in real),
        "invented": len(rows) - len(real),
    }


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-' if value is None else format(value, f'.{digits}f'):>{width}}"
