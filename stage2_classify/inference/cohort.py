"""Predictions for a cohort's test studies: a file for each, and all of them as a table."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from common.config import DataSettings
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.device import check_device, choose_device, prediction_precision
from common.errors import PARTLY_FAILED, WeightsError
from common.outputs import store
from common.outputs.ledger import Step
from common.outputs.notices import tell
from common.outputs.own_files import refuse_unrecorded, run_outputs_at
from common.outputs.study_lock import only_one_makes
from common.progress import progress
from common.training import train as training
from common.training.task import WEIGHTS
from common.workers import cluster
from common.workers.cores import threads_each
from common.workers.failing import LOG, Failed
from common.workers.pool import HERE, here_or, shared
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.masks import masks_of
from stage2_classify.inference.classifier import Classifier, existing
from stage2_classify.inference.compatibility import check_described
from stage2_classify.prediction import Prediction
from stage2_classify.predictions import read_prediction, write_prediction, write_predictions
from stage2_classify.run_folder import chosen_folds, fold_folder, prediction_path, stage_folder, weights_paths
from stage2_classify.schema import PREDICTIONS
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import studies as training_studies
from stage2_classify.training.out_of_fold import decision_provenance

FEW = 16
"""Studies that are predicted sooner than processes have started."""


@dataclass(frozen=True)
class Networks:
    """Which networks predict, and how; `digest`: of their files and the decision's, since a worker of a cluster
    outlives a command and keeps what it has loaded."""

    weights: tuple[Path, ...]
    digest: str
    device: str
    precision: str
    augmented: bool


@dataclass(frozen=True)
class Job:
    """One study to predict: its `crops`, and what its file, `output`, is to be made from."""

    uid: str
    crops: Path
    output: Path
    networks: Networks
    provenance: dict[str, Any]


def predict_cohort(data: DataSettings, settings: ClassifySettings) -> int:
    """Writes stage2/test.csv for the test studies; a study that fails has no row. Returns an exit code. Raises
    ConfigError for a device that isn't there, before anything is read; WeightsError for networks or a decision that
    aren't of this configuration and these training studies."""
    check_device(settings.train.device)
    output = stage_folder(data, settings) / "test.csv"
    refuse_unrecorded(output)
    competition = Competition.open(data.root)
    weights = existing(weights_paths(data, settings))
    check_described(weights, settings)
    labels = competition.train_labels()
    folds = stored_folds(data.run / "folds.csv", labels, data.folds, data.fold_seed)
    usable, _ = training_studies.usable_labels(competition, labels, data, settings)
    folders = {fold: fold_folder(data, settings, fold) for fold in chosen_folds(data, settings)}
    check_run(folders, usable, folds, data, settings)
    kind, uids = settings.network.kind, competition.test_studies()
    failed = crop_files.make_crops(uids, data, masks_of(data, settings.masks), settings.crops, kind, competition)
    for uid, error in failed.items():
        print(f"not predicted: {uid}: {error}")
    crops = {uid: crop_files.path_of(data, kind, uid) for uid in uids if uid not in failed}
    provenance = _provenance(weights, crops, data, settings)
    step = _step(uids, data, settings, provenance, failed)
    if store.is_current(output, provenance, PREDICTIONS):
        return PARTLY_FAILED if failed else 0
    networks = _networks(weights, provenance, settings)
    found, not_predicted = _predict_each(_jobs(crops, networks, provenance, data, settings), step, data, networks)
    tell("all studies", _classifier(networks).caveats)
    with run_outputs_at([output]):
        write_predictions(output, found)
        # A table that lacks studies for other reasons than their files' is made again by the next call.
        lacking = {"not_predicted": sorted(not_predicted)} if not_predicted else {}
        store.write_record(output, {**provenance, **lacking}, PREDICTIONS)
    return PARTLY_FAILED if failed or not_predicted else 0


def _provenance(
    weights: list[Path], crops: dict[str, Path], data: DataSettings, settings: ClassifySettings
) -> dict[str, Any]:
    """What the table is made from."""
    return {
        "weights": [store.digest_file(path) for path in weights],
        "crops": store.digest_value([[uid, store.recorded_digest(path)] for uid, path in crops.items()]),
        "decision": store.digest_file(stage_folder(data, settings) / "decision.json"),
        "settings": settings.decision.model_dump(mode="json"),
        "precision": prediction_precision(settings.decision.precision, settings.train.device),
    }


def _networks(weights: list[Path], provenance: dict[str, Any], settings: ClassifySettings) -> Networks:
    digest = store.digest_value([provenance["weights"], provenance["decision"]])
    augmented = settings.decision.test_time_augmentation
    return Networks(tuple(weights), digest, settings.train.device, provenance["precision"], augmented)


def _jobs(
    crops: dict[str, Path],
    networks: Networks,
    provenance: dict[str, Any],
    data: DataSettings,
    settings: ClassifySettings,
) -> dict[str, Job]:
    """By study; a study's file depends on its own crops alone."""
    return {
        uid: Job(
            uid,
            path,
            prediction_path(data, settings, uid),
            networks,
            {**provenance, "crops": store.recorded_digest(path)},
        )
        for uid, path in crops.items()
    }


def _predict_each(
    jobs: dict[str, Job], step: Step, data: DataSettings, networks: Networks
) -> tuple[list[Prediction], list[str]]:
    """The predictions in the order of the jobs, their notices told, and the studies that failed, each said and noted
    in the ledger."""
    found: dict[str, Prediction] = {}
    failed: list[str] = []
    for uid, prediction in progress(_predicted(jobs, data, networks.device), len(jobs), "predicting"):
        step.note(uid, prediction.message if isinstance(prediction, Failed) else None)
        if isinstance(prediction, Failed):
            failed.append(uid)
            print(f"not predicted: {uid}: {prediction.message}")
        else:
            found[uid] = prediction
    predictions = [found[uid] for uid in jobs if uid in found]
    for one in predictions:
        tell(one.uid, one.notices)
    return predictions, failed


def _step(
    uids: list[str],
    data: DataSettings,
    settings: ClassifySettings,
    provenance: dict[str, Any],
    failed: dict[str, str],
) -> Step:
    """The ledger's, begun: predictions by these networks in this way; without those whose crops have `failed`."""
    kind, folder = settings.network.kind, prediction_path(data, settings, "").parent
    name = folder.name if kind == "vertebra3d" else f"{folder.name}-{kind}"
    step = Step(data.run, 4, name, str(folder.relative_to(data.run)), ".json", PREDICTIONS)
    step.begin(uids, {key: [value] for key, value in provenance.items() if key != "crops"})
    for uid, reason in failed.items():
        step.note(uid, reason)
    return step


def _predicted(jobs: dict[str, Job], data: DataSettings, device: str) -> Iterator[tuple[str, Prediction | Failed]]:
    """In processes with a thread each, which such small networks make more of than of a process with several threads;
    in this one for a few studies, and where there is a GPU."""
    few = len(jobs) <= FEW or choose_device(device).type == "cuda"
    workers = here_or(data.workers, few)
    share = workers if workers != HERE and cluster.used() is None else None
    of_each = {uid: (job, share) for uid, job in jobs.items()}
    yield from shared(predict_one, of_each, workers, data.run / LOG, gpu=device != "cpu")


def predict_one(job: Job, workers: int | None = None) -> Prediction:
    """A study's prediction, from its file where that is current; else it is made and written. `workers`: how many
    processes share this machine's cores; None: this one has been told how many threads it has. Raises StudyBusy."""
    with only_one_makes(job.output):
        if not store.is_current(job.output, job.provenance, PREDICTIONS):
            prediction = _classifier(job.networks, workers).predict(job.uid, crop_files.load(job.crops))
            with run_outputs_at([job.output]):
                write_prediction(job.output, prediction)
                store.write_record(job.output, job.provenance, PREDICTIONS)
        return read_prediction(job.output)


@lru_cache(maxsize=2)
def _classifier(networks: Networks, workers: int | None = None) -> Classifier:
    if workers is not None:
        import torch

        torch.set_num_threads(threads_each(workers))
    return replace(Classifier.load(networks.weights, networks.device, networks.precision), augmented=networks.augmented)


def check_run(
    folders: dict[int, Path], usable: pd.DataFrame, folds: pd.Series, data: DataSettings, settings: ClassifySettings
) -> None:
    """Raises WeightsError unless the run's networks were trained on just these studies with these settings, and its
    decision was fitted on their predictions."""
    for fold, provenance in training_studies.fold_provenance(list(folders), usable, folds, data, settings).items():
        if not training.is_current(folders[fold], settings.train, provenance):
            raise WeightsError(
                f"{folders[fold] / WEIGHTS}: not of this configuration and these training studies (their "
                "masks, crops or labels have changed); run `python -m stage2_classify train` first"
            )
    path = stage_folder(data, settings) / "decision.json"
    provenance = decision_provenance(folders, usable, folds, data, settings)
    provenance["precision"] = store.provenance_of(path).get("precision")  # that of the training's machine
    if not store.is_current(path, provenance, PREDICTIONS):
        raise WeightsError(
            f"{path}: missing, or not fitted on these networks' predictions; run "
            "`python -m stage2_classify train` first"
        )
