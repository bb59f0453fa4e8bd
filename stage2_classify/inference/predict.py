"""Predictions of stage 2: for a cohort's test studies as a table, for one study as JSON."""

from dataclasses import replace
from pathlib import Path

from common.config import DataSettings
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.device import check_device, prediction_precision
from common.errors import PARTLY_FAILED, NoCervicalLevel
from common.masks import files as mask_files
from common.outputs import store
from common.outputs.notices import json_beside, tell
from common.outputs.out_folder import answer_at
from common.outputs.own_files import refuse_unrecorded, run_outputs_at
from common.progress import progress
from common.reading.study import read_study
from common.workers.failing import LOG, Failed
from common.workers.pool import HERE, shared
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.masks import masks_of
from stage2_classify.inference.classifier import Classifier, existing
from stage2_classify.inference.compatibility import check_described, check_run
from stage2_classify.inference.result import OF_SYNTHETIC_ONLY
from stage2_classify.predictions import Prediction, write_predictions
from stage2_classify.run_folder import chosen_folds, fold_folder, stage_folder, weights_paths
from stage2_classify.schema import PREDICTIONS
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import studies as training_studies


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
        if any(predictor.synthetic for predictor in classifier.predictors):
            tell("all studies", [OF_SYNTHETIC_ONLY])
        with run_outputs_at([output]):
            write_predictions(output, predictions)
            # A table that lacks studies for other reasons than their files' is made again by the next call.
            lacking = {"not_predicted": sorted(not_predicted)} if not_predicted else {}
            store.write_record(output, {**provenance, **lacking}, PREDICTIONS)
        failed |= not_predicted
    return PARTLY_FAILED if failed else 0


def predict_study(
    study: Path,
    mask: Path,
    output: Path,
    weights: list[Path],
    scheme: str,
    device: str = "auto",
    series_uid: str | None = None,
    precision: str = "32-true",
    overwrite: bool = False,
    settings: ClassifySettings | None = None,
) -> None:
    """One CT (DICOM folder, zip, NIfTI) and its mask (a NIfTI whose values follow `scheme`, or a folder with
    one file per vertebra) -> RESULT.json.

    Everything else comes out of the weights files, and from decision.json beside their folders where it lies, which
    must have been fitted on these networks. `settings`: what the weights must have been trained with, if given. What an
    older results left there go first; `overwrite`: so do files that aren't ours. Raises NoCervicalLevel after the
    result is written when no level is in view; StudyError, WeightsError, OutputError, RunBusy, ConfigError (no such
    device or precision), and then nothing is there.
    """
    folders = [folder for path in weights for folder in (path, path / "stage2", *path.parents[:2])]
    decisions = [folder / "decision.json" for folder in folders]
    with answer_at([output], study, mask, [mask, json_beside(mask), *weights, *decisions], overwrite) as about:
        classifier = Classifier.load(weights, device, precision, settings)
        scan = read_study(study, series_uid)
        result = classifier(scan, mask, scheme)
        tell(scan.uid or study.name, result.notices)
        store.write_json(output, result.to_json())
        provenance = {
            "mask": mask_files.digest(mask),
            "scheme": scheme,
            "series": series_uid,
            "weights": list(classifier.digests),
            "decision": None if classifier.calibration is None else classifier.calibration.to_json(),
            "precision": result.precision,
        }
        store.write_record(output, {**about, **provenance}, PREDICTIONS)
    if result.is_prior:
        raise NoCervicalLevel(
            f"{mask}: names no cervical vertebra that is large enough to judge, so {output} holds the prior; is it the "
            f"mask of {study}, and that a CT of the neck?"
        )
