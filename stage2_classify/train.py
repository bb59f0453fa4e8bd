"""Training of stage 2: crops, a network for each fold, answers for the studies that a fold leaves out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common import store, training
from common.config import DataSettings
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.errors import PARTLY_FAILED, ConfigError, DatasetError
from common.labels import TARGETS
from common.progress import progress
from common.score import best_constants, score
from stage2_classify import crop_files, decide
from stage2_classify.masks import masks_of
from stage2_classify.settings import ClassifySettings
from stage2_classify.tables import Prediction, write_predictions

if TYPE_CHECKING:
    from torch import Tensor

HOW_TO_ANSWER = {"folds", "masks", "decision", "train"}
"""Settings that the weights of a fold don't depend on, or that are recorded in another way."""


def train(data: DataSettings, settings: ClassifySettings) -> int:
    """Trains what isn't current; returns an exit code. Raises DatasetError when no study is left to train on."""
    competition = Competition.open(data.root)
    labels = competition.train_labels()
    folds = stored_folds(data.run / "folds.csv", labels, data.folds, data.fold_seed)
    failed = crop_files.make_crops(
        competition.train_studies(), data, masks_of(data, settings.masks), settings.crops, settings.network.kind,
        competition,
    )  # fmt: skip
    usable = _usable(labels, failed, data)
    origins = {fold: _came_from(fold, usable, folds, data, settings) for fold in chosen_folds(data, settings)}
    folders = {fold: fold_folder(data, settings, fold) for fold in origins}
    due = [fold for fold in origins if not training.is_current(folders[fold], settings.train, origins[fold])]
    if due:
        crops = _load_crops(usable, data, settings)
        for fold in due:
            _train_fold(folders[fold], origins[fold], fold, crops, usable, folds, settings)
    _answer_out_of_fold(folders, usable, folds, data, settings)
    return PARTLY_FAILED if failed else 0


def chosen_folds(data: DataSettings, settings: ClassifySettings) -> list[int]:
    """The folds that are trained and used; ConfigError for one that there isn't."""
    chosen = list(range(data.folds)) if settings.folds is None else list(settings.folds)
    wrong = [fold for fold in chosen if not 0 <= fold < data.folds]
    if wrong or not chosen:
        raise ConfigError(f"folds is {chosen}: expected some of 0..{data.folds - 1}")
    return chosen


def stage_folder(data: DataSettings, settings: ClassifySettings) -> Path:
    """Where weights and answers lie: stage2/, for a kind that isn't the default stage2/<kind>/, so that kinds can be
    compared side by side."""
    kind = settings.network.kind
    return data.run / "stage2" if kind == "vertebra3d" else data.run / "stage2" / kind


def fold_folder(data: DataSettings, settings: ClassifySettings, fold: int) -> Path:
    return stage_folder(data, settings) / f"fold{fold}"


def weights_paths(data: DataSettings, settings: ClassifySettings) -> list[Path]:
    """The weights file of every chosen fold, whether or not it exists."""
    return [fold_folder(data, settings, fold) / training.WEIGHTS for fold in chosen_folds(data, settings)]


def _usable(labels: pd.DataFrame, failed: dict[str, str], data: DataSettings) -> pd.DataFrame:
    """The labels of the studies that have crops; says which have none."""
    for uid, error in failed.items():
        print(f"left out: {uid}: {error}")
    usable = labels.drop(index=list(failed))
    if usable.empty:
        raise DatasetError(f"{data.root}: none of {len(labels)} training studies could be used; see the lines above")
    return usable


def _came_from(
    fold: int, usable: pd.DataFrame, folds: pd.Series, data: DataSettings, settings: ClassifySettings
) -> dict[str, Any]:
    """What the weights of a fold depend on, beside the training's settings."""
    uids = [uid for uid in usable.index if folds[uid] != fold]
    records = [store.read_json(store.record_path(crop_files.path_of(data, settings.network.kind, u))) for u in uids]
    return {
        "stage": "classify",
        "fold": fold,
        "crops": store.digest_value([[uid, record] for uid, record in zip(uids, records)]),
        "labels": store.digest_value(usable.loc[uids, list(TARGETS)].to_numpy().tolist()),
        "settings": settings.model_dump(mode="json", exclude=HOW_TO_ANSWER),
    }


def _load_crops(usable: pd.DataFrame, data: DataSettings, settings: ClassifySettings) -> dict[str, Any]:
    """uid -> Crops of every usable study, in memory."""
    paths = {uid: crop_files.path_of(data, settings.network.kind, uid) for uid in usable.index}
    return {uid: crop_files.load(path) for uid, path in progress(paths.items(), len(paths), "reading crops")}


def _train_fold(
    folder: Path,
    origin: dict[str, Any],
    fold: int,
    crops: dict[str, Any],
    usable: pd.DataFrame,
    folds: pd.Series,
    settings: ClassifySettings,
) -> None:
    from stage2_classify.predictor import KIND
    from stage2_classify.samples import Example
    from stage2_classify.task import ClassifyTask

    examples = {
        uid: Example(uid, crops[uid], usable.loc[uid, list(TARGETS)].to_numpy(dtype=np.float32))
        for uid in usable.index
        if crops[uid].present.any()
    }
    kept = [example for uid, example in examples.items() if folds[uid] != fold]
    left_out = [example for uid, example in examples.items() if folds[uid] == fold]
    if not kept:
        raise DatasetError(f"fold {fold}: no training study with a vertebra in view; are the masks empty?")
    prior = best_constants(np.stack([example.labels for example in kept]))
    encoder = None if settings.network.kind == "naive" else _train_encoder(folder / "encoder", origin, kept, settings)
    task = ClassifyTask(kept, left_out, prior, settings, encoder)
    description = {
        "kind": KIND,
        "fold": fold,
        "prior": prior.tolist(),
        "settings": settings.model_dump(mode="json", exclude={"masks", "folds"}),
    }
    training.train(task, settings.train, folder, origin, description)


def _train_encoder(
    folder: Path, origin: dict[str, Any], examples: list[Any], settings: ClassifySettings
) -> "dict[str, Tensor]":
    """Trains the encoder alone, unless that is done; returns its weights."""
    from common.weights import load_weights
    from stage2_classify.encoder_task import EncoderTask

    description = {"kind": "vertebra encoder", "settings": settings.model_dump(mode="json", exclude={"masks", "folds"})}
    if training.is_current(folder, settings.encoder, origin):
        return load_weights(folder / training.WEIGHTS, "vertebra encoder")[0]
    weights = training.train(EncoderTask(examples, settings), settings.encoder, folder, origin, description)
    return load_weights(weights, "vertebra encoder")[0]


def _answer_out_of_fold(
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
