"""Segments every study of a cohort; the main process needs no torch to see that nothing is left to do."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config import DataSettings
from common.dataset.cache import CtCache
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.device import check_device, prediction_precision
from common.errors import PARTLY_FAILED
from common.outputs import store
from common.outputs.ledger import Step
from common.outputs.notices import tell
from common.outputs.own_files import refuse_unrecorded, remove, run_outputs_at
from common.outputs.study_lock import is_being_made, only_one_makes
from common.progress import progress
from common.reading.nifti import write_nifti
from common.workers import cluster
from common.workers.cores import threads_each
from common.workers.failing import LOG
from common.workers.pool import failures
from stage1_segment.inference.choose_network import Network, choose_fold, given_network, networks_of
from stage1_segment.inference.levels.model import digest_beside
from stage1_segment.run_folder import RunFolder
from stage1_segment.schema import MASK
from stage1_segment.settings import PredictSettings, SegmentSettings

if TYPE_CHECKING:
    from common.volume import Volume
    from stage1_segment.inference.segmenter import Segmenter


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
    provenance: dict[str, Any]
    predict: PredictSettings
    device: str
    preview: bool

    def outputs(self) -> list[Path]:
        made = [self.run.mask(self.uid), self.run.levels(self.uid)]
        return [*made, self.run.preview(self.uid)] if self.preview else made

    def is_current(self) -> bool:
        return all(store.is_current(path, self.provenance, MASK) for path in self.outputs())


def predict_cohort(
    data: DataSettings, settings: SegmentSettings, device: str = "auto", weights: Path | None = None
) -> int:
    """Masks, levels and previews of all training and test studies into the run's folder, by the run's own networks or
    by `weights`; exit code 0, or PARTLY_FAILED when some study can't be read. Raises WeightsError when a fold isn't
    trained, ConfigError for a device that isn't there."""
    check_device(device)
    competition = Competition.open(data.root)
    networks = {0: given_network(weights)} if weights else networks_of(data, settings)
    uids = dict.fromkeys([*competition.train_studies(), *competition.test_studies()])
    failed = CtCache(data.run / "cache").fill({uid: competition.images(uid) for uid in uids}, data.workers)
    all_jobs = _jobs(list(uids), competition, networks, data, settings, device)
    step = _step(all_jobs, data)
    jobs = [job for job in all_jobs if job.uid not in failed]
    due = [job for job in jobs if not job.is_current()]
    if not due and not failed:
        print(f"{len(jobs)} studies are segmented already", file=sys.stderr)
        return 0
    outputs = {job.uid: job.outputs() for job in all_jobs}
    for job in due:
        if not is_being_made(job.outputs()[0]):
            for path in job.outputs():
                refuse_unrecorded(path)
    for uid, reason in step.noted(_run(due, data.workers, device)):
        if reason is not None:
            failed[uid] = reason
    for uid, reason in failed.items():
        step.note(uid, reason)
        print(f"{uid}: {reason}", file=sys.stderr)
        for path in outputs[uid]:
            remove(path)  # an older prediction would pass for this one
    print(
        f"segmented {len(due) - sum(job.uid in failed for job in due)}, current before "
        f"{len(jobs) - len(due)}, failed {len(failed)}",
        file=sys.stderr,
    )
    return PARTLY_FAILED if failed else 0


def _jobs(
    uids: list[str],
    competition: Competition,
    networks: Mapping[int, Network],
    data: DataSettings,
    settings: SegmentSettings,
    device: str,
) -> list[Job]:
    run, cache = RunFolder(data.run), CtCache(data.run / "cache")
    folds: Mapping[str, int] = {}
    if len(networks) > 1:
        folds = dict(stored_folds(data.run / "folds.csv", competition.train_labels(), data.folds, data.fold_seed))
    precision = prediction_precision(settings.predict.precision, device)
    predict = settings.predict.model_copy(update={"precision": precision})
    digests = {fold: store.digest_file(network.weights) for fold, network in networks.items()}
    levels = {fold: digest_beside(network.weights) for fold, network in networks.items()}
    jobs = []
    for uid in uids:
        fold = choose_fold(uid, folds.get(uid), networks)
        images = competition.images(uid)
        seen = networks[fold].has_seen(uid)
        provenance = {
            "ct": cache.identity(uid),
            "weights": digests[fold],
            "levels": levels[fold],
            "seen_in_training": seen,
            "predict": predict.model_dump(mode="json"),
        }
        jobs.append(
            Job(
                uid, images, cache, run, networks[fold].weights, seen, provenance,
                predict, device, settings.previews,
            )
        )  # fmt: skip
    return jobs


def _step(jobs: list[Job], data: DataSettings) -> Step:
    """The ledger's, begun: masks by these networks in this way."""
    step = Step(data.run, 2, "masks", "masks", ".nii.gz", MASK)
    alike = {key: [job.provenance[key] for job in jobs] for key in ("weights", "predict")}
    step.begin([job.uid for job in jobs], {"weights": sorted(set(alike["weights"])), "predict": alike["predict"][:1]})
    return step


def _run(jobs: list[Job], workers: int, device: str) -> Iterator[tuple[str, str | None]]:
    """Yields (uid, None or the reason why it failed)."""
    if not jobs:
        return
    jobs_by_uid = {job.uid: (job, workers if cluster.used() is None else None) for job in jobs}
    made = failures(_segment_job, jobs_by_uid, workers, jobs[0].run.root / LOG, gpu=device != "cpu")
    yield from progress(made, len(jobs), "segmenting")


def _segment_job(job: Job, workers: int | None) -> None:
    """`workers`: how many processes share this machine's cores; None: each has been told how many threads it has."""
    with only_one_makes(job.outputs()[0]):
        if job.is_current():
            return
        segmenter = _segmenter(job.weights, job.provenance["weights"], job.device, job.predict, workers)
        scan = job.cache.volume(job.uid)
        write_study(scan, segmenter(scan), job)


@lru_cache(maxsize=8)
def _segmenter(weights: Path, digest: str, device: str, predict: PredictSettings, workers: int | None) -> "Segmenter":
    """`digest`: of the weights, since a worker of a cluster outlives a command and keeps what it has loaded."""
    import torch

    from stage1_segment.inference.segmenter import Segmenter

    if workers is not None:
        torch.set_num_threads(threads_each(workers))
    return Segmenter.load(weights, device, predict)


def write_study(scan: "Volume", result: Any, job: Job) -> None:
    """Mask on the grid of the study's own files, levels, preview, each with its record; the mask comes last. Notices
    are told."""
    from common.masks.segmentation import onto
    from stage1_segment.inference.mask_report import levels_of

    mask = onto(result.mask, job.cache.source_grid(job.uid))
    levels = levels_of(job.uid, scan, mask, result, precision=job.predict.precision, seen_in_training=job.seen)
    tell(job.uid, levels["notices"])
    with run_outputs_at(job.outputs()):
        store.write_json(job.run.levels(job.uid), levels)
        if job.preview:
            from stage1_segment.inference.preview import draw_preview

            draw_preview(scan, result.mask, job.run.preview(job.uid), job.uid, result.certainty)
        write_nifti(mask, job.run.mask(job.uid))
        for path in reversed(job.outputs()):
            store.write_record(path, job.provenance, MASK)
