"""Segments every study of a cohort; the main process needs no torch to see that nothing is left to do."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import store
from common.config import DataSettings
from common.cores import usable_cores
from common.dataset.cache import CtCache
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.device import check_device, prediction_precision
from common.errors import PARTLY_FAILED, WeightsError
from common.failing import LOG
from common.notices import tell
from common.own_files import refuse_unrecorded, remove, run_outputs_at
from common.progress import progress
from common.reading.nifti import write_nifti
from common.training import is_current
from common.workers import failures
from stage1_segment.run_folder import RunFolder, Split, origins
from stage1_segment.settings import PredictSettings, SegmentSettings
from stage1_segment.shipped_weights import own_or_shipped

if TYPE_CHECKING:
    from common.volume import Volume
    from stage1_segment.predict import Segmenter


@dataclass(frozen=True)
class Job:
    """One study to segment: with which weights, and whether these have `seen` its segmentation in training (None: of
    weights from elsewhere that isn't known)."""

    uid: str
    images: Path
    cache: CtCache
    run: RunFolder
    weights: Path
    seen: bool | None
    came_from: dict[str, Any]
    predict: PredictSettings
    device: str
    preview: bool

    def outputs(self) -> list[Path]:
        made = [self.run.mask(self.uid), self.run.levels(self.uid)]
        return [*made, self.run.preview(self.uid)] if self.preview else made

    def is_current(self) -> bool:
        return all(store.is_current(path, self.came_from) for path in self.outputs())


def predict_cohort(
    data: DataSettings, settings: SegmentSettings, device: str = "auto", weights: Path | None = None
) -> int:
    """Masks, levels and previews of all training and test studies into the run's folder, by the run's own networks or
    by `weights`; exit code 0, or PARTLY_FAILED when some study can't be read. Raises WeightsError when a fold isn't
    trained, ConfigError for a device that isn't there."""
    check_device(device)
    jobs = _jobs(data, settings, device, weights)
    due = [job for job in jobs if not job.is_current()]
    if not due:
        print(f"{len(jobs)} studies are segmented already", file=sys.stderr)
        return 0
    outputs = {job.uid: job.outputs() for job in due}
    for path in chain.from_iterable(outputs.values()):
        refuse_unrecorded(path)
    cache = CtCache(data.run / "cache")
    failed = cache.fill({job.uid: job.images for job in due}, data.workers)
    due = [job for job in due if job.uid not in failed]
    for uid, reason in _run(due, data.workers, device):
        if reason is not None:
            failed[uid] = reason
    for uid, reason in failed.items():
        print(f"{uid}: {reason}", file=sys.stderr)
        for path in outputs[uid]:
            remove(path)  # an older answer would pass for this one
    print(
        f"segmented {len(due) - sum(job.uid in failed for job in due)}, current before "
        f"{len(jobs) - len(due) - sum(job.uid in failed for job in jobs if job not in due)}, failed {len(failed)}",
        file=sys.stderr,
    )
    return PARTLY_FAILED if failed else 0


def _jobs(data: DataSettings, settings: SegmentSettings, device: str, weights: Path | None) -> list[Job]:
    competition = Competition.open(data.root)
    run = RunFolder(data.run)
    networks = {0: (weights, None)} if weights else _networks(data, settings)
    folds = stored_folds(data.run / "folds.csv", competition.train_labels(), data.folds, data.fold_seed)
    precision = prediction_precision(settings.predict.precision, device)
    predict = settings.predict.model_copy(update={"precision": precision})
    digests = {fold: store.digest_file(path) for fold, (path, _) in networks.items()}
    jobs = []
    for uid in dict.fromkeys([*competition.train_studies(), *competition.test_studies()]):
        fold = choose_fold(folds.get(uid), networks)
        images = competition.images(uid)
        came_from = {
            "ct": store.fingerprint(images),
            "weights": digests[fold],
            "predict": predict.model_dump(mode="json"),
        }
        path, part = networks[fold]
        seen = None if part is None else uid in part.learned
        jobs.append(
            Job(
                uid, images, CtCache(data.run / "cache"), run, path, seen, came_from,
                predict, device, settings.previews,
            )
        )  # fmt: skip
    return jobs


def _networks(data: DataSettings, settings: SegmentSettings) -> dict[int, tuple[Path, Split]]:
    """Fold -> its network's weights and what these have seen; those that come with the project when the run has none
    at all. Raises WeightsError when a fold isn't trained."""
    run = RunFolder(data.run)
    own = [run.weights(fold) for fold in settings.train_folds]
    if own and not any(path.is_file() for path in own) and (weights := own_or_shipped(own[0])) != own[0]:
        return {settings.train_folds[0]: (weights, Split((), ()))}
    networks = {}
    for fold, (part, origin) in origins(data, settings).items():
        if not is_current(run.fold(fold), settings.train, origin):
            raise WeightsError(
                f"{run.weights(fold)}: missing or not of this configuration; run `python -m stage1_segment train` first"
            )
        networks[fold] = (run.weights(fold), part)
    return networks


def choose_fold(fold: int | None, splits: Mapping[int, Any]) -> int:
    """The network for a study: the one of the study's own fold, which hasn't seen it, else the first."""
    return int(fold) if fold is not None and int(fold) in splits else next(iter(splits))


def _run(jobs: list[Job], workers: int, device: str):
    """Yields (uid, None or the reason why it failed)."""
    if not jobs:
        return
    jobs_by_uid = {job.uid: (job, workers) for job in jobs}
    answers = failures(_segment_job, jobs_by_uid, workers, jobs[0].run.root / LOG)
    yield from progress(answers, len(jobs), "segmenting")


def _segment_job(job: Job, workers: int) -> None:
    from stage1_segment.orientation import checked
    from stage1_segment.predict import segment

    segmenter = _segmenter(job.weights, job.device, job.predict, workers)
    scan = job.cache.volume(job.uid)
    result = checked(scan, partial(segment, segmenter=segmenter), segmenter.predict.orientation)
    write_study(scan, result, job)


@lru_cache(maxsize=8)
def _segmenter(weights: Path, device: str, predict: PredictSettings, workers: int) -> "Segmenter":
    import torch

    from stage1_segment.predict import load_segmenter

    torch.set_num_threads(max(usable_cores() // max(workers, 1), 1))
    return load_segmenter(weights, device, predict)


def write_study(scan: "Volume", result: Any, job: Job) -> None:
    """Mask on the grid of the study's own files, levels, preview, each with its record; the mask comes last. Notices
    are told."""
    from common.dataset.masks import onto
    from stage1_segment.answer import levels_of

    mask = onto(result.mask, job.cache.source_grid(job.uid))
    levels = levels_of(job.uid, scan, mask, result, precision=job.predict.precision, seen_in_training=job.seen)
    tell(job.uid, levels["notices"])
    with run_outputs_at(job.outputs()):
        store.write_json(job.run.levels(job.uid), levels)
        if job.preview:
            from stage1_segment.preview import draw_preview

            draw_preview(scan, result.mask, job.run.preview(job.uid), job.uid)
        write_nifti(mask, job.run.mask(job.uid))
        for path in reversed(job.outputs()):
            store.write_record(path, job.came_from)
