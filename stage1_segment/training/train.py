"""Trains a network for each fold, or one from an anatomy bank."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from common.config import DataSettings
from common.dataset.cache import CtCache
from common.dataset.competition import Competition
from common.errors import ConfigError, DatasetError
from common.labels import CLASS_NAMES
from common.outputs import store
from common.progress import progress
from common.training.train import is_current, train
from common.workers.failing import LOG
from common.workers.pool import Failed, failures, shared
from stage1_segment.provenance import Split, provenances, sample_provenance, split
from stage1_segment.run_folder import RunFolder
from stage1_segment.schema import SAMPLE
from stage1_segment.settings import KIND, SegmentSettings
from stage1_segment.training.patches import CohortSamples
from stage1_segment.training.samples import Sample, load_sample, write_sample
from stage1_segment.training.synthetic.sample import BankSamples
from stage1_segment.training.synthetic.subject import Subject, load_subject
from stage1_segment.training.synthetic.validation_scan import whole_scan
from stage1_segment.training.task import BankTask, SegmentTask

VALIDATED = 2
"""Held-out studies that a validation during training looks at, at most; `evaluate` looks at all."""


def train_folds(data: DataSettings, settings: SegmentSettings) -> list[Path]:
    """Trains what isn't current; returns the weights files. A segmented study that can't be read is reported
    and left out. Raises DatasetError when none is left."""
    run = RunFolder(data.run)
    failed = set()
    if settings.source == "cohort":
        _check_sizes(settings)
        competition = Competition.open(data.root)
        failed = _make_samples(competition, run, list(split(competition, data, settings).values()), data, settings)
    due = {
        fold: (part, provenance)
        for fold, (part, provenance) in provenances(data, settings).items()
        if not is_current(run.fold(fold), settings.train, provenance)
    }
    for fold, (part, provenance) in due.items():
        if settings.source == "synthetic":
            task = _from_bank(part, settings, data.workers)
        else:
            task = _from_cohort(part, failed, run, data, settings)
        description = {
            "kind": KIND,
            "classes": list(CLASS_NAMES),
            "fold": fold,
            "learned": [Path(name).name for name in part.learned],
            "held_out": [Path(name).name for name in part.held_out],
            **settings.model_dump(mode="json", include={"network", "patch", "predict"}),
        }
        train(task, settings.train, run.fold(fold), provenance, description)
    return [run.weights(fold) for fold in settings.train_folds]


def _check_sizes(settings: SegmentSettings) -> None:
    coarse, fine = settings.patch.window(True), settings.patch.window(False)
    if coarse != fine and settings.train.batch > 1:
        raise ConfigError(f"patch sizes {coarse} and {fine} can't share a batch of {settings.train.batch}: set batch=1")


def _from_bank(part: Split, settings: SegmentSettings, workers: int) -> SegmentTask:
    jobs = {file: (Path(file),) for file in part.learned}
    read = dict(progress(shared(load_subject, jobs, workers), len(jobs), "reading the bank"))
    failed = [file for file, subject in read.items() if isinstance(subject, Failed)]
    if failed:
        raise DatasetError(f"{failed[0]}: {read[failed[0]].message}")
    subjects = [one for file in part.learned if isinstance(one := read[file], Subject)]
    looked_at = enumerate(part.held_out[:VALIDATED])
    held_out: list[Callable[[], Sample]] = [partial(whole_scan, Path(file), number) for number, file in looked_at]
    return BankTask(settings, BankSamples(subjects, settings), held_out)


def _from_cohort(
    part: Split, failed: set[str], run: RunFolder, data: DataSettings, settings: SegmentSettings
) -> SegmentTask:
    learned = [run.sample(uid) for uid in part.learned if uid not in failed]
    held_out = [run.sample(uid) for uid in part.held_out if uid not in failed]
    if not learned:
        raise DatasetError(f"{data.root}: none of the {len(part.learned)} segmented studies can be read")
    studies = [load_sample(path) for path in learned]
    looked_at: list[Callable[[], Sample]] = [partial(load_sample, path) for path in held_out[:VALIDATED]]
    return SegmentTask(settings, CohortSamples(studies, settings), looked_at)


def _make_samples(
    competition: Competition, run: RunFolder, splits: list[Split], data: DataSettings, settings: SegmentSettings
) -> set[str]:
    """Makes the training samples that aren't current, in processes; returns the studies that failed."""
    uids = sorted({uid for part in splits for uid in part.learned + part.held_out})
    cache = CtCache(data.run / "cache")
    failed = cache.fill({uid: competition.images(uid) for uid in uids}, data.workers)
    samples: dict[str, Any] = {uid: sample_provenance(competition, uid, data, settings) for uid in uids}
    missing = [uid for uid in uids if uid not in failed and not store.is_current(run.sample(uid), samples[uid], SAMPLE)]
    jobs = {
        uid: (cache, uid, competition.segmentation(uid), run.sample(uid), samples[uid], settings.patch.fine_mm)
        for uid in missing
    }
    written = failures(write_sample, jobs, data.workers, data.run / LOG)
    for uid, reason in progress(written, len(jobs), "training samples"):
        if reason is not None:
            failed[uid] = reason
    for uid, reason in failed.items():
        print(f"{uid}: left out of the training: {reason}", file=sys.stderr)
    return set(failed)
