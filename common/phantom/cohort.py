"""A cohort on disk, made in parallel: only what is missing or came from something else is made again."""

from pathlib import Path

from common.dataset.competition import SYNTHETIC
from common.errors import OutputError
from common.outputs.study_lock import only_one_makes
from common.phantom.files.tables import TABLES, write_tables
from common.phantom.make_in_parallel import make_each
from common.phantom.painting.bone_look import Look
from common.phantom.study import is_made, make_study, manifest_path, read_boxes, remove_study
from common.phantom.study_plan import StudyPlan, plan_cohort
from common.progress import progress
from common.workers.failing import LOG


def make_cohort(
    out: Path,
    studies: int,
    test_studies: int,
    seed: int,
    matrix: int,
    workers: int,
    pretraining: bool = False,
    bone: Look = "drawn",
) -> tuple[int, dict[str, str]]:
    """Makes the cohort's folder (see `plan_cohort`); returns how many studies were made now, and what went wrong by
    StudyInstanceUID.

    The tables speak only of the studies that are there. Studies of an earlier plan are removed. Raises OutputError
    when `out` holds a dataset that wasn't made here.
    """
    found = [name for name in TABLES if (out / name).exists()]
    if found and not (out / SYNTHETIC).is_dir():
        raise OutputError(f"{out}: holds a {found[0]} that this program didn't write; choose another folder as --out")
    plans = plan_cohort(studies, test_studies, seed, pretraining, bone)
    _remove_others(out, {plan.uid for plan in plans})
    missing = [plan for plan in plans if not is_made(out, plan, matrix)]
    jobs = {plan.uid: (out, plan, matrix) for plan in missing}
    failures = dict(progress(make_each(make_unless_made, jobs, workers, out / LOG), len(jobs), "synthetic studies"))
    failures = {uid: reason for uid, reason in failures.items() if reason}
    present = [plan for plan in plans if plan.uid not in failures]
    write_tables(out, present, {plan.uid: read_boxes(out, plan.uid) for plan in present if plan.has_boxes})
    return len(missing) - len(failures), failures


def make_unless_made(out: Path, plan: StudyPlan, matrix: int) -> None:
    """`make_study`, unless another command has just made it. Raises StudyBusy while one does."""
    with only_one_makes(manifest_path(out, plan.uid)):
        if not is_made(out, plan, matrix):
            make_study(out, plan, matrix)


def _remove_others(out: Path, wanted: set[str]) -> None:
    for manifest in (out / SYNTHETIC).glob("*.json"):
        if not manifest.name.endswith(".record.json") and manifest.stem not in wanted:
            remove_study(out, manifest.stem)
