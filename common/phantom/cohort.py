"""A cohort on disk, made in parallel: only what is missing or came from something else is made again."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from common.errors import DatasetError
from common.phantom.study_files import MANIFESTS, is_made, make_study, read_boxes, remove_study
from common.phantom.study_plan import StudyPlan, plan_cohort
from common.phantom.tables import write_tables
from common.progress import progress

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def make_cohort(
    out: Path, studies: int, test_studies: int, seed: int, matrix: int, workers: int
) -> tuple[int, dict[str, str]]:
    """Makes the cohort's folder; returns how many studies were made now, and what went wrong by StudyInstanceUID.

    The tables speak only of the studies that are there. Studies of an earlier plan are removed. Raises DatasetError
    when `out` holds a dataset that wasn't made here.
    """
    if (out / "train.csv").exists() and not (out / MANIFESTS).is_dir():
        raise DatasetError(f"{out}: holds a train.csv that this program didn't write; choose another folder as --out")
    plans = plan_cohort(studies, test_studies, seed)
    _remove_others(out, {plan.uid for plan in plans})
    missing = [plan for plan in plans if not is_made(out, plan, matrix)]
    failures = dict(progress(_make(out, missing, matrix, workers), len(missing), "synthetic studies"))
    failures = {uid: reason for uid, reason in failures.items() if reason}
    present = [plan for plan in plans if plan.uid not in failures]
    write_tables(out, present, {plan.uid: read_boxes(out, plan.uid) for plan in present if plan.has_boxes})
    return len(missing) - len(failures), failures


def _make(out: Path, plans: list[StudyPlan], matrix: int, workers: int) -> Iterator[tuple[str, str]]:
    """Makes the studies over processes; yields each one's StudyInstanceUID and what went wrong, "" when nothing."""
    if not plans:
        return
    with single_threaded(), ProcessPoolExecutor(min(workers, len(plans)), get_context("spawn")) as pool:
        futures = {pool.submit(make_study, out, plan, matrix): plan.uid for plan in plans}
        try:
            for future in as_completed(futures):
                error = future.exception()
                yield futures[future], f"{type(error).__name__}: {error}" if error else ""
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _remove_others(out: Path, wanted: set[str]) -> None:
    for manifest in (out / MANIFESTS).glob("*.json"):
        if not manifest.name.endswith(".record.json") and manifest.stem not in wanted:
            remove_study(out, manifest.stem)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Processes started inside compute with one thread each: faster together, and the same to the last bit."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
