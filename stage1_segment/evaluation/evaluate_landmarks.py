"""Predicts marked scans and reports the level of every landmark."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.errors import PARTLY_FAILED, ConfigError
from common.labels import BACKGROUND, CLASS_NAMES, THORACIC
from common.outputs import store
from common.progress import progress
from common.workers.failing import Failed, attempt
from stage1_segment.evaluation.landmarks import MARKED, compare_marks, find_scan, out_of_order, read_marks, totals
from stage1_segment.settings import PredictSettings


def evaluate_landmarks(
    marks_path: Path,
    folder: Path,
    weights: Path,
    report: Path | None = None,
    only: list[str] | None = None,
    device: str = "auto",
    predict: PredictSettings | None = None,
) -> int:
    """Predicts every scan of `marks_path` that lies in `folder`, prints a table and writes the same as JSON. `only`
    picks cases. Exit code 0, or PARTLY_FAILED when a scan can't be read. Raises DatasetError, ConfigError."""
    from common.reading.study import read_study
    from stage1_segment.inference.segmenter import Segmenter, segment

    marks = read_marks(marks_path)
    unknown = sorted(set(only or ()) - set(marks))
    if unknown:
        raise ConfigError(f"--only: {', '.join(unknown)}: not in {marks_path}, which has {', '.join(marks)}")
    chosen = {case: marks[case] for case in (only or marks)}
    segmenter = Segmenter.load(weights, device, predict)
    cases: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for case, places in progress(chosen.items(), len(chosen), "marked scans"):
        result = attempt(lambda case=case: segment(read_study(find_scan(folder, case)).volume, segmenter))
        if isinstance(result, Failed):
            failed[case] = result.message
            continue
        found = compare_marks(result.mask, places)
        cases[case] = {
            "marks": {level: asdict(mark) for level, mark in found.items()},
            "out_of_order": out_of_order(result.mask),
            "notices": list(result.notices),
            "certainty": None if result.certainty is None else asdict(result.certainty),
        }
    content = {"weights": store.digest_file(weights), "totals": totals(cases), "cases": cases, "failed": failed}
    if report is not None:
        store.write_json(report, content)
    print(table(content))
    for case, reason in failed.items():
        print(f"{case}: {reason}", file=sys.stderr)
    return PARTLY_FAILED if failed else 0


def table(content: dict[str, Any]) -> str:
    """A line per scan: what each landmark was found to be (= when right), with the distance in mm to its level."""
    lines = [f"{'case':14}" + "".join(f"{level:>13}" for level in MARKED)]
    for case, found in content["cases"].items():
        cells = [_cell(found["marks"].get(level)) for level in MARKED]
        certainty = "" if found.get("certainty") is None else f"   certainty {found['certainty']['study']:.0%}"
        lines.append(f"{case:14}" + "".join(f"{cell:>13}" for cell in cells) + certainty)
        lines += [f"{'':14}{pair}" for pair in found["out_of_order"]]
    total = content["totals"]
    lines.append(
        f"C2-C7: {total['right']} of {total['landmarks']} landmarks right, all of a scan's in "
        f"{total['scans_all_right']} of {total['scans']} scans; median distance to the level's bone "
        f"{total['median_distance_mm']} mm, to its body's middle {total['median_body_mm']} mm; "
        f"{total['scans_out_of_order']} scans out of order"
    )
    return "\n".join(lines)


def _cell(mark: dict[str, Any] | None) -> str:
    if mark is None:
        return "-"
    short = {CLASS_NAMES[THORACIC]: "T", CLASS_NAMES[BACKGROUND]: "none"}
    name = "=" if mark["right"] else short.get(mark["found"], mark["found"])
    return f"{name} {'-' if mark['distance_mm'] is None else mark['distance_mm']}"
