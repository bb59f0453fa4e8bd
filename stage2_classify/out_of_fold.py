"""Answers for the training studies, each by a network that has not seen it, and the decision fitted on them."""

from pathlib import Path

import numpy as np
import pandas as pd

from common import store, training
from common.config import DataSettings
from common.labels import TARGETS
from common.progress import progress
from common.score import best_constants, score
from stage2_classify import crop_files, decide
from stage2_classify.run_folder import stage_folder
from stage2_classify.settings import ClassifySettings
from stage2_classify.tables import Prediction, write_predictions


def answer_out_of_fold(
    folders: dict[int, Path], usable: pd.DataFrame, folds: pd.Series, data: DataSettings, settings: ClassifySettings
) -> None:
    """out_of_fold.csv and decision.json, where they aren't current."""
    stage = stage_folder(data, settings)
    table, decision_path = stage / "out_of_fold.csv", stage / "decision.json"
    weights = {fold: folder / training.WEIGHTS for fold, folder in folders.items()}
    held_out = {fold: [uid for uid in usable.index if folds[uid] == fold] for fold in weights}
    records = [
        store.read_json(store.record_path(crop_files.path_of(data, settings.network.kind, uid)))
        for uids in held_out.values()
        for uid in uids
    ]
    origin = {
        "weights": {fold: store.digest_file(path) for fold, path in weights.items()},
        "crops": store.digest_value(records),
        "decision": settings.decision.model_dump(mode="json"),
    }
    if store.is_current(table, origin) and store.is_current(decision_path, origin):
        return
    from stage2_classify.predictor import load_predictor

    uids, logits, seen, flags, priors = [], [], [], [], []
    for fold, path in weights.items():
        predictor = load_predictor(path, settings.train.device)
        for uid in progress(held_out[fold], len(held_out[fold]), f"answering for fold {fold}"):
            crops = crop_files.load(crop_files.path_of(data, settings.network.kind, uid))
            uids.append(uid)
            logits.append(predictor.logits(crops, settings.decision.flip))
            seen.append(crops.present)
            flags.append(crops.flags)
            priors.append(predictor.prior)
    truth = usable.loc[uids, list(TARGETS)].to_numpy()
    decision = decide.IDENTITY
    if settings.decision.recalibrate:
        decision = decide.fit(np.stack(logits), truth, settings.decision.strength)
    answers = [decide.decide(x[None], s, p, decision) for x, s, p in zip(logits, seen, priors)]
    write_predictions(table, [Prediction(u, a, f) for u, a, f in zip(uids, answers, flags)])
    store.write_record(table, origin)
    before = [decide.decide(x[None], s, p, decide.IDENTITY) for x, s, p in zip(logits, seen, priors)]
    store.write_json(
        decision_path,
        {
            "decision": decision,
            "prior": best_constants(usable.to_numpy()).tolist(),
            "out_of_fold_score": score(np.stack(answers), truth),
            "without_recalibration": score(np.stack(before), truth),
            "best_constant": score(np.tile(best_constants(truth), (len(truth), 1)), truth),
        },
    )
    store.write_record(decision_path, origin)
