"""Training of stage 2: crops, a network for each fold, predictions for the studies that a fold leaves out."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common.competition_metric import best_constants
from common.config import DataSettings
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.errors import PARTLY_FAILED, DatasetError
from common.outputs.lock import belongs_to_another
from common.training import train as training
from stage2_classify.run_folder import chosen_folds, fold_folder
from stage2_classify.settings import KIND, ClassifySettings
from stage2_classify.training import ground_examples
from stage2_classify.training import studies as training_studies
from stage2_classify.training.out_of_fold import predict_out_of_fold
from stage2_classify.training.pretrain import train_encoder

if TYPE_CHECKING:
    from stage2_classify.training.samples import Example


def train(data: DataSettings, settings: ClassifySettings) -> int:
    """Trains what isn't current; returns an exit code. Raises DatasetError when no study is left to train on."""
    competition = Competition.open(data.root)
    labels = competition.train_labels()
    folds = stored_folds(data.run / "folds.csv", labels, data.folds, data.fold_seed)
    usable, failed = training_studies.usable_labels(competition, labels, data, settings)
    folders = {fold: fold_folder(data, settings, fold) for fold in chosen_folds(data, settings)}
    learned = training_studies.learned_labels(list(folders), usable, folds)
    grounds, not_made = ground_examples.make_for_folds(learned, data, settings)
    provenances = training_studies.fold_provenance(list(folders), usable, folds, data, settings)
    due = [fold for fold in provenances if not training.is_current(folders[fold], settings.train, provenances[fold])]
    if due:
        examples = training_studies.load_examples(usable, data, settings)
        for fold in due:
            of_fold = _Fold(fold, folders[fold], provenances[fold], grounds[fold])
            _train_fold(of_fold, examples, folds, settings, competition.synthetic)
    if belongs_to_another(os.environ):
        return 0  # the rest is for the first of the processes that trained together
    not_predicted = predict_out_of_fold(folders, usable, folds, data, settings)
    return PARTLY_FAILED if failed or not_made or not_predicted else 0


@dataclass(frozen=True)
class _Fold:
    """A fold's network: its number, its folder, what it depends on, the files of its encoder's grounds."""

    number: int
    folder: Path
    provenance: dict[str, Any]
    grounds: list[Path]


def _train_fold(
    fold: _Fold,
    examples: "dict[str, Example]",
    folds: pd.Series,
    settings: ClassifySettings,
    synthetic: bool,
) -> None:
    from stage2_classify.training.task import ClassifyTask

    kept = [example for uid, example in examples.items() if folds[uid] != fold.number]
    left_out = [example for uid, example in examples.items() if folds[uid] == fold.number]
    if not kept:
        raise DatasetError(f"fold {fold.number}: no training study with a vertebra in view; are the masks empty?")
    prior = best_constants(np.stack([example.labels for example in kept]))
    encoder = None
    if settings.network.kind != "naive":
        grounds = ground_examples.load(fold.grounds)
        encoder = train_encoder(fold.folder / "encoder", fold.provenance, kept, settings, grounds, left_out)
    task = ClassifyTask(kept, left_out, prior, settings, encoder)
    description = {
        "kind": KIND,
        "fold": fold.number,
        "prior": prior.tolist(),
        "synthetic": synthetic,
        "settings": settings.model_dump(mode="json", exclude={"masks", "folds"}),
    }
    training.train(task, settings.train, fold.folder, fold.provenance, description)
