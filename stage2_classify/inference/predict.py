"""Answers of stage 2: for a cohort's test studies as a table, for one study as JSON."""

from pathlib import Path
from typing import Any

import numpy as np

from common import __version__
from common.commandline import NOT_MEDICAL
from common.config import DataSettings
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.device import check_device, prediction_precision
from common.errors import PARTLY_FAILED, NoCervicalLevel, WeightsError
from common.labels import TARGETS
from common.masks import files as mask_files
from common.masks.segmentation import segmentation_on
from common.masks.turned import turned, turned_beside
from common.outputs import store
from common.outputs.notices import json_beside, tell
from common.outputs.out_folder import answer_at
from common.outputs.own_files import refuse_unrecorded, run_outputs_at
from common.progress import progress
from common.reading.study import read_study
from common.resample import canonical
from common.volume import Volume
from common.workers.failing import LOG, Failed
from common.workers.pool import HERE, shared
from stage2_classify.calibration import decide
from stage2_classify.calibration.posterior import Posterior
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.cut import Crops, cut_study, shrink_study
from stage2_classify.crops.masks import masks_of
from stage2_classify.inference.belongs import check_alike, check_described, check_run, read_decision
from stage2_classify.predictions import Prediction, write_predictions
from stage2_classify.run_folder import chosen_folds, fold_folder, stage_folder, weights_paths
from stage2_classify.schema import ANSWERS
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import studies as training_studies

OF_SYNTHETIC_ONLY = "These networks learned from synthetic studies alone: about a real scan they say nothing."
NO_LEVEL = "no level in view, prior"


def predict_cohort(data: DataSettings, settings: ClassifySettings) -> int:
    """Writes stage2/test.csv for the test studies; a study that fails has no row. Returns an exit code. Raises
    ConfigError for a device that isn't there, before anything is read; WeightsError for networks or a decision that
    aren't of this configuration and these training studies."""
    check_device(settings.train.device)
    output = stage_folder(data, settings) / "test.csv"
    refuse_unrecorded(output)
    competition = Competition.open(data.root)
    weights = _existing(weights_paths(data, settings))
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
        print(f"not answered: {uid}: {error}")
    paths = {uid: crop_files.path_of(data, kind, uid) for uid in uids if uid not in failed}
    decision = stage_folder(data, settings) / "decision.json"
    origin = {
        "weights": [store.digest_file(path) for path in weights],
        "crops": store.digest_value([[uid, store.recorded_digest(path)] for uid, path in paths.items()]),
        "decision": store.digest_file(decision),
        "settings": settings.decision.model_dump(mode="json"),
        "precision": prediction_precision(settings.decision.precision, settings.train.device),
    }
    if not store.is_current(output, origin, ANSWERS):
        ensemble = _load(weights, settings.train.device, origin["precision"])
        posterior, _ = read_decision(decision, origin["weights"])

        def answer_file(uid: str, path: Path) -> Prediction:
            return answer(uid, crop_files.load(path), ensemble, posterior, settings.decision.flip)

        predictions, unanswered = [], {}
        answered = shared(answer_file, {uid: (uid, path) for uid, path in paths.items()}, HERE, data.run / LOG)
        for uid, prediction in progress(answered, len(paths), "answering"):
            if isinstance(prediction, Failed):
                unanswered[uid] = prediction.message
                print(f"not answered: {uid}: {prediction.message}")
            else:
                predictions.append(prediction)
        for prediction in predictions:
            tell(prediction.uid, prediction.notices)
        if any(predictor.synthetic for predictor in ensemble):
            tell("all studies", [OF_SYNTHETIC_ONLY])
        with run_outputs_at([output]):
            write_predictions(output, predictions)
            # A table that lacks studies for other reasons than their files' is made again by the next call.
            lacking = {"unanswered": sorted(unanswered)} if unanswered else {}
            store.write_record(output, {**origin, **lacking}, ANSWERS)
        failed |= unanswered
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
    older answer left there goes first; `overwrite`: so do files that aren't ours. Raises NoCervicalLevel after the
    result is written when no level is in view; StudyError, WeightsError, OutputError, RunBusy, ConfigError (no such
    device or precision), and then nothing is there.
    """
    decisions = [folder / "decision.json" for path in weights for folder in (path, *path.parents[:2])]
    with answer_at([output], study, mask, [mask, json_beside(mask), *weights, *decisions], overwrite) as about:
        check_device(device)
        precision = prediction_precision(precision, device)
        weights = find_weights(weights)
        if settings is not None:
            check_described(weights, settings)
        check_alike(weights)
        ensemble = _load(weights, device, precision)
        digests = [predictor.digest for predictor in ensemble]
        posterior, fitted = read_decision(_stage_of(weights) / "decision.json", digests)

        scan = read_study(study, series_uid)
        crops = _crops_of(scan.volume, mask, scheme, ensemble[0].settings)
        flip = (fitted or ensemble[0].settings.decision).flip
        prediction = answer(scan.uid or study.name, crops, ensemble, posterior, flip)

        synthetic = any(predictor.synthetic for predictor in ensemble)
        content = result(prediction, digests, scheme, synthetic, precision)
        tell(prediction.uid, content["notices"])
        store.write_json(output, content)
        origin = {
            "mask": mask_files.digest(mask),
            "scheme": scheme,
            "series": series_uid,
            "weights": digests,
            "decision": None if posterior is None else posterior.to_json(),
            "precision": precision,
        }
        store.write_record(output, {**about, **origin}, ANSWERS)
    if not crops.present.any():
        raise NoCervicalLevel(
            f"{mask}: names no cervical vertebra that is large enough to judge, so {output} holds the prior; is it the "
            f"mask of {study}, and that a CT of the neck?"
        )


def _crops_of(scan: Volume, mask: Path, scheme: str, settings: ClassifySettings) -> Crops:
    ct = canonical(scan)
    if settings.network.kind == "naive":
        return shrink_study(ct, settings.crops)
    turn = turned_beside(mask)
    labels = segmentation_on(ct, mask, scheme)
    return cut_study(turned(ct, turn), turned(labels, turn), settings.crops)


def answer(uid: str, crops: Crops, ensemble: list[Any], posterior: Posterior | None, flip: bool) -> Prediction:
    """Crops of a study -> its probabilities, flags and notices, by all networks of the `ensemble`."""
    logits = np.stack([predictor.logits(crops, flip) for predictor in ensemble])
    prior = np.mean([predictor.prior for predictor in ensemble], axis=0)
    flags = {level: list(remarks) for level, remarks in crops.flags.items()}
    notices = crops.notices
    if not crops.present.any():
        flags["patient_overall"] = [NO_LEVEL]
        notices = (*notices, NO_LEVEL)
    decided = decide.decide(logits, crops.present, prior, posterior)
    return Prediction(uid, decided.answer, flags, decided.calibrated, decided.network, notices)


def result(
    prediction: Prediction, digests: list[str], scheme: str, synthetic: bool = False, precision: str = "32-true"
) -> dict[str, Any]:
    """The content of RESULT.json. `probabilities`: what the competition's score rewards; `calibrated`: how likely each
    fracture is, for people (None without a fitted posterior). `synthetic`: the networks have seen no patient."""
    return {
        "probabilities": _by_target(prediction.probabilities),
        "calibrated": None if prediction.calibrated is None else _by_target(prediction.calibrated),
        "flags": prediction.flags,
        "notices": [*prediction.notices, *([OF_SYNTHETIC_ONLY] if synthetic else [])],
        "mask_scheme": scheme,
        "precision": precision,
        "version": __version__,
        "weights": digests,
        "notice": f"{NOT_MEDICAL} {OF_SYNTHETIC_ONLY}" if synthetic else NOT_MEDICAL,
    }


def _by_target(values: np.ndarray) -> dict[str, float]:
    return {target: round(float(value), 6) for target, value in zip(TARGETS, values)}


def find_weights(given: list[Path]) -> list[Path]:
    """Files, or folders below which every `fold*/weights.safetensors` is taken; WeightsError when there is none."""
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            here = path / "weights.safetensors"
            found += [here] if here.is_file() else sorted(path.glob("fold*/weights.safetensors"))
        else:
            found.append(path)
    return _existing(found)


def _stage_of(weights: list[Path]) -> Path:
    """.../stage2/fold0/weights.safetensors -> .../stage2"""
    return weights[0].parent.parent


def _existing(paths: list[Path]) -> list[Path]:
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        what = missing[0] if missing else "no weights"
        raise WeightsError(f"{what}: no such weights; train first (`make classify`), or name them with --weights")
    return paths


def _load(weights: list[Path], device: str, precision: str) -> list[Any]:
    from stage2_classify.predictor import load_predictor

    return [load_predictor(path, device, precision) for path in weights]
