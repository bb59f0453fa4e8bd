"""The studies that stage 2 learns from: their crops made, their labels, what their use depends on."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common.config import DataSettings
from common.dataset.competition import Competition
from common.errors import DatasetError
from common.labels import TARGETS
from common.outputs import store
from common.outputs.notices import tell
from common.progress import progress
from common.training.task import RUNTIME_ONLY
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.masks import masks_of
from stage2_classify.pretrained.encoder import init_provenance
from stage2_classify.schema import WEIGHTS
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import ground_examples

if TYPE_CHECKING:
    from stage2_classify.training.samples import Example


NOT_LEARNED: dict[str, Any] = {"folds": True, "masks": True, "decision": True, "train": True, "encoder": RUNTIME_ONLY}
"""Settings that weights don't depend on, or that are recorded in another way."""


def usable_labels(
    competition: Competition, labels: pd.DataFrame, data: DataSettings, settings: ClassifySettings
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Makes the crops that aren't current; the labels of the studies that have crops, and uid -> error of the others.

    Raises DatasetError when no study is left.
    """
    masks = masks_of(data, settings.masks)
    failed = crop_files.make_crops(
        competition.train_studies(), data, masks, settings.crops, settings.network.kind, competition
    )
    for uid, error in failed.items():
        print(f"left out: {uid}: {error}")
    usable = labels.drop(index=list(failed))
    if usable.empty:
        raise DatasetError(f"{data.root}: none of {len(labels)} training studies could be used; see the lines above")
    return usable, failed


def provenance(learned: pd.DataFrame, data: DataSettings, settings: ClassifySettings) -> dict[str, Any]:
    """What weights depend on that learned from the studies of `learned` (their labels, by uid)."""
    crops = [[uid, store.recorded_digest(_crops(uid, data, settings))] for uid in learned.index]
    return {
        "stage": "classify",
        "schema": str(WEIGHTS),
        "crops": store.digest_value(crops),
        "labels": store.digest_value(learned[list(TARGETS)].to_numpy().tolist()),
        "settings": settings.model_dump(mode="json", exclude=NOT_LEARNED),
        **init_provenance(settings),
    }


def learned_labels(chosen: list[int], usable: pd.DataFrame, folds: pd.Series) -> dict[int, pd.DataFrame]:
    """Fold -> the labels of its training studies: those of the other folds."""
    return {fold: usable[folds[usable.index] != fold] for fold in chosen}


def fold_provenance(
    chosen: list[int], usable: pd.DataFrame, folds: pd.Series, data: DataSettings, settings: ClassifySettings
) -> dict[int, dict[str, Any]]:
    """Fold -> what its network's weights depend on: the studies of the other folds, and the grounds of its encoder."""
    return {
        fold: {
            "fold": fold,
            **provenance(learned, data, settings),
            **ground_examples.fold_provenance(learned, data, settings),
        }
        for fold, learned in learned_labels(chosen, usable, folds).items()
    }


def load_examples(usable: pd.DataFrame, data: DataSettings, settings: ClassifySettings) -> "dict[str, Example]":
    """uid -> crops and labels of the studies that show a vertebra, in memory."""
    from stage2_classify.training.samples import Example

    examples = {}
    for uid in progress(usable.index, len(usable), "reading crops"):
        crops = crop_files.load(_crops(uid, data, settings))
        tell(uid, crops.notices)
        if crops.present.any():
            examples[uid] = Example(uid, crops, usable.loc[uid, list(TARGETS)].to_numpy(dtype=np.float32))
    return _shuffled(examples) if settings.shuffle_labels else examples


def _shuffled(examples: "dict[str, Example]") -> "dict[str, Example]":
    """Each study with the labels and the boxes' distances of another one drawn at random."""
    others = np.random.default_rng(0).permutation(list(examples))
    return {
        uid: replace(
            own, crops=replace(own.crops, distance=examples[other].crops.distance), labels=examples[other].labels
        )
        for (uid, own), other in zip(examples.items(), others)
    }


def _crops(uid: str, data: DataSettings, settings: ClassifySettings) -> Path:
    return crop_files.path_of(data, settings.network.kind, uid)
