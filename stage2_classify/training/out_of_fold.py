"""Predictions for the training studies, each by a network that has not seen it, and the decision fitted on them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common.competition_metric import best_constants, score
from common.config import DataSettings
from common.device import prediction_precision
from common.labels import TARGETS
from common.outputs import store
from common.outputs.notices import tell
from common.outputs.own_files import refuse_unrecorded, run_outputs_at
from common.progress import progress
from common.training.task import WEIGHTS
from common.workers.failing import LOG, Failed
from common.workers.pool import HERE, shared
from stage2_classify.calibration import decide
from stage2_classify.calibration.calibration import Calibration
from stage2_classify.calibration.cross_fit import fit_each_fold
from stage2_classify.calibration.fit import fit_calibration, random_folds
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.masks import masks_of
from stage2_classify.prediction import Prediction
from stage2_classify.predictions import write_predictions
from stage2_classify.run_folder import stage_folder
from stage2_classify.schema import PREDICTIONS
from stage2_classify.settings import ClassifySettings, DecisionSettings

if TYPE_CHECKING:
    from stage2_classify.predictor import Predictor

MASK_SEEN = "by a network that learned from the true one"
LEAST_STUDIES = 4
"""Fewer aren't fitted to."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A training study as the network that hasn't learned from it sees it: `logits` (8,), `present` (7,) bool, the
    `prior` (8,) of that network."""

    uid: str
    fold: int
    logits: np.ndarray
    present: np.ndarray
    flags: dict[str, list[str]]
    prior: np.ndarray


def predict_out_of_fold(
    folders: dict[int, Path], usable: pd.DataFrame, folds: pd.Series, data: DataSettings, settings: ClassifySettings
) -> dict[str, str]:
    """out_of_fold.csv and decision.json, where they aren't current; returns uid -> error of those left out of them.

    Every row of out_of_fold.csv is by a network and a calibration that haven't seen its study.
    """
    stage = stage_folder(data, settings)
    table, decision_path = stage / "out_of_fold.csv", stage / "decision.json"
    weights = {fold: folder / WEIGHTS for fold, folder in folders.items()}
    held_out = {fold: [uid for uid in usable.index if folds[uid] == fold] for fold in weights}
    provenance = decision_provenance(folders, usable, folds, data, settings)
    if all(store.is_current(path, provenance, PREDICTIONS) for path in (table, decision_path)):
        return {}
    if provenance["masks_seen_in_training"]:
        tell("training studies", [masks_seen(len(provenance["masks_seen_in_training"]), len(usable))])
    refuse_unrecorded(table)
    refuse_unrecorded(decision_path)
    from stage2_classify.predictor import load_predictor

    found: list[Seen] = []
    failed: dict[str, str] = {}
    for fold, path in weights.items():
        predictor = load_predictor(path, settings.train.device, provenance["precision"])

        def see(uid: str, fold: int = fold, predictor: "Predictor" = predictor) -> Seen:
            crops = crop_files.load(crop_files.path_of(data, settings.network.kind, uid))
            known = {"mask": [MASK_SEEN]} if uid in provenance["masks_seen_in_training"] else {}
            logits = predictor.logits(crops, settings.decision.test_time_augmentation)
            return Seen(uid, fold, logits, crops.present, {**crops.flags, **known}, predictor.prior)

        seen = shared(see, {uid: (uid,) for uid in held_out[fold]}, HERE, data.run / LOG)
        for uid, one in progress(seen, len(held_out[fold]), f"predicting fold {fold}"):
            if isinstance(one, Failed):
                failed[uid] = one.message
                print(f"left out: {uid}: {one.message}")
            else:
                found.append(one)
    truth = usable.loc[[one.uid for one in found], list(TARGETS)].to_numpy()
    calibration, each = fit_decision(found, truth, settings.decision)
    decided = [decide.decide(one.logits[None], one.present, one.prior, own) for one, own in zip(found, each)]
    predictions = [Prediction(one.uid, d.answer, one.flags, d.calibrated, d.network) for one, d in zip(found, decided)]
    decision = {
        "decision": None if calibration is None else calibration.to_json(),
        "prior": best_constants(usable.to_numpy()).tolist(),
        "networks": provenance["weights"],
        "settings": provenance["decision"],
        **(_scores(decided, truth) if found else {}),
    }
    with run_outputs_at([table, decision_path]):
        write_predictions(table, predictions)
        # Without all of its studies the table isn't current, so that the next call predicts them.
        store.write_record(
            table, {**provenance, "not_predicted": sorted(failed)} if failed else provenance, PREDICTIONS
        )
        store.write_json(decision_path, decision)
        store.write_record(decision_path, provenance, PREDICTIONS)
    return failed


def decision_provenance(
    folders: dict[int, Path], usable: pd.DataFrame, folds: pd.Series, data: DataSettings, settings: ClassifySettings
) -> dict[str, Any]:
    """What out_of_fold.csv and decision.json depend on: fold -> its network, the crops of the studies held out."""
    held_out = [uid for fold in folders for uid in usable.index if folds[uid] == fold]
    masks = masks_of(data, settings.masks)
    seen = [] if settings.network.kind == "naive" else [uid for uid in held_out if masks.seen_in_training(uid)]
    crops = [[uid, store.recorded_digest(crop_files.path_of(data, settings.network.kind, uid))] for uid in held_out]
    return {
        "weights": {str(fold): store.digest_file(folder / WEIGHTS) for fold, folder in folders.items()},
        "crops": store.digest_value(crops),
        "masks_seen_in_training": seen,
        "decision": settings.decision.model_dump(mode="json"),
        "precision": prediction_precision(settings.decision.precision, settings.train.device),
    }


def masks_seen(seen: int, studies: int) -> str:
    """A notice: how many studies have masks that may be better than those of new ones."""
    return (
        f"{seen} of {studies} have masks by a network that had learned from their true ones (segment.train_folds), "
        "which may be better than those of new studies; out-of-fold figures hold them"
    )


def _scores(decided: list[decide.Decided], truth: np.ndarray) -> dict[str, float]:
    return {
        "out_of_fold_score": score(np.stack([d.answer for d in decided]), truth),
        "without_recalibration": score(np.stack([d.network for d in decided]), truth),
        "best_constant": score(np.tile(best_constants(truth), (len(truth), 1)), truth),
    }


def fit_decision(
    found: list[Seen], truth: np.ndarray, settings: DecisionSettings
) -> tuple[Calibration | None, list[Calibration | None]]:
    """Logits of the training studies and labels (N, 8) -> the calibration for new studies, fitted on all of them, and
    for each study the one fitted without its fold; None everywhere when recalibration isn't wanted."""
    if not settings.recalibrate or len(found) < LEAST_STUDIES:
        return None, [None] * len(found)
    logits, present = np.stack([one.logits for one in found]), np.stack([one.present for one in found])
    fold = np.array([one.fold for one in found])
    if len(np.unique(fold)) == 1:
        fold = random_folds(len(found), min(5, len(found)))
    calibration = fit_calibration(logits, truth, present, settings.regularisation_strengths)
    by_fold = fit_each_fold(logits, truth, present, fold, settings.regularisation_strengths)
    return calibration, [by_fold[number] for number in fold]
