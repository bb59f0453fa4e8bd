"""Predictions for a cohort's test studies, as a table."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from common.config import DataSettings
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.device import check_device, prediction_precision
from common.errors import PARTLY_FAILED, WeightsError
from common.outputs import store
from common.outputs.notices import tell
from common.outputs.own_files import refuse_unrecorded, run_outputs_at
from common.progress import progress
from common.training import train as training
from common.training.task import WEIGHTS
from common.workers.failing import LOG, Failed
from common.workers.pool import HERE, shared
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.masks import masks_of
from stage2_classify.inference.classifier import Classifier, existing
from stage2_classify.inference.compatibility import check_described
from stage2_classify.prediction import Prediction
from stage2_classify.predictions import write_predictions
from stage2_classify.run_folder import chosen_folds, fold_folder, stage_folder, weights_paths
from stage2_classify.schema import PREDICTIONS
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import studies as training_studies
from stage2_classify.training.out_of_fold import decision_provenance


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
    kind = settings.network.kind
    uids = competition.test_studies()
    failed = crop_files.make_crops(uids, data, masks_of(data, settings.masks), settings.crops, kind, competition)
    for uid, error in failed.items():
        print(f"not predicted: {uid}: {error}")
    paths = {uid: crop_files.path_of(data, kind, uid) for uid in uids if uid not in failed}
    decision = stage_folder(data, settings) / "decision.json"
    precision = prediction_precision(settings.decision.precision, settings.train.device)
    provenance = {
        "weights": [store.digest_file(path) for path in weights],
        "crops": store.digest_value([[uid, store.recorded_digest(path)] for uid, path in paths.items()]),
        "decision": store.digest_file(decision),
        "settings": settings.decision.model_dump(mode="json"),
        "precision": precision,
    }
    if not store.is_current(output, provenance, PREDICTIONS):
        classifier = Classifier.load(weights, settings.train.device, precision)
        classifier = replace(classifier, flip=settings.decision.test_time_augmentation)

        def predict_file(uid: str, path: Path) -> Prediction:
            return classifier.predict(uid, crop_files.load(path))

        predictions, not_predicted = [], {}
        made = shared(predict_file, {uid: (uid, path) for uid, path in paths.items()}, HERE, data.run / LOG)
        for uid, prediction in progress(made, len(paths), "predicting"):
            if isinstance(prediction, Failed):
                not_predicted[uid] = prediction.message
                print(f"not predicted: {uid}: {prediction.message}")
            else:
                predictions.append(prediction)
        for prediction in predictions:
            tell(prediction.uid, prediction.notices)
        tell("all studies", classifier.caveats)
        with run_outputs_at([output]):
            write_predictions(output, predictions)
            # A table that lacks studies for other reasons than their files' is made again by the next call.
            lacking = {"not_predicted": sorted(not_predicted)} if not_predicted else {}
            store.write_record(output, {**provenance, **lacking}, PREDICTIONS)
        failed |= not_predicted
    return PARTLY_FAILED if failed else 0


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
