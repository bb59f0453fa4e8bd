"""Training of stage 2: crops, a network for each fold, answers for the studies that a fold leaves out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common import store, training
from common.config import DataSettings
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.errors import PARTLY_FAILED, DatasetError
from common.labels import TARGETS
from common.progress import progress
from common.score import best_constants
from stage2_classify import crop_files
from stage2_classify.masks import masks_of
from stage2_classify.out_of_fold import answer_out_of_fold
from stage2_classify.run_folder import chosen_folds, fold_folder
from stage2_classify.settings import ClassifySettings

if TYPE_CHECKING:
    from torch import Tensor

HOW_TO_ANSWER = {"folds": True, "masks": True, "decision": True, "train": True, "encoder": training.HOW_NOT_WHAT}
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
    answer_out_of_fold(folders, usable, folds, data, settings)
    return PARTLY_FAILED if failed else 0


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
