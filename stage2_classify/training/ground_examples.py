"""Rescanned healthy scans as examples of the encoder's training."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common.config import DataSettings
from common.dataset.competition import Competition
from common.errors import DatasetError, NothingFound
from common.labels import TARGETS
from common.outputs import store
from common.outputs.notices import tell
from common.progress import progress
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.masks import masks_of
from stage2_classify.grounds.variants import Ground, broken_levels, grounds_in, make_variants, paths
from stage2_classify.settings import ClassifySettings

if TYPE_CHECKING:
    from stage2_classify.training.samples import Example


def make(data: DataSettings, settings: ClassifySettings) -> tuple[list[Path], dict[str, str]]:
    """The files of the grounds that the settings name, made where they aren't current, and name -> error of those that
    failed; none without grounds. Raises DatasetError, ConfigError."""
    labels = Competition.open(data.root).train_labels() if settings.grounds.negatives else pd.DataFrame()
    return _make(_named(labels, data, settings), data, settings)


def make_for_folds(
    learned: dict[int, pd.DataFrame], data: DataSettings, settings: ClassifySettings
) -> tuple[dict[int, list[Path]], dict[str, str]]:
    """Fold -> the files of its encoder's grounds, and name -> error of those that failed. `learned`: fold -> the labels
    of its training studies; `grounds.negatives` are of these alone. Raises DatasetError, ConfigError."""
    of = settings.grounds
    if any((of.folder, of.synthetic, of.negatives)) and not _in_folds(settings):
        tell("grounds", ["not used: no encoder is trained, or its labels are shuffled"])
    of_fold = {fold: _of_fold(labels, data, settings) for fold, labels in learned.items()}
    each = {ground.name: ground for grounds in of_fold.values() for ground in grounds}
    made, failed = _make(list(each.values()), data, settings)
    return {fold: [path for path in paths(of_fold[fold], data) if path in made] for fold in learned}, failed


def fold_provenance(learned: pd.DataFrame, data: DataSettings, settings: ClassifySettings) -> dict[str, Any]:
    """`provenance` of a fold's grounds, `learned`: the labels of its training studies. Raises DatasetError."""
    return provenance(paths(_of_fold(learned, data, settings), data))


def _of_fold(learned: pd.DataFrame, data: DataSettings, settings: ClassifySettings) -> list[Ground]:
    return _named(learned, data, settings) if _in_folds(settings) else []


def _in_folds(settings: ClassifySettings) -> bool:
    """Whether folds learn from grounds: not where labels are shuffled so that there is nothing to learn."""
    return settings.network.kind != "naive" and settings.encoder.steps > 0 and not settings.shuffle_labels


def _make(
    grounds: list[Ground], data: DataSettings, settings: ClassifySettings
) -> tuple[list[Path], dict[str, str]]:
    files, failed = make_variants(grounds, data, settings)
    for name, error in failed.items():
        print(f"left out: {name}: {error}")
    return files, failed


def load(files: list[Path]) -> "list[Example]":
    """The crops of these files in memory, labelled by what was broken."""
    from stage2_classify.training.samples import Example

    examples = []
    for path in progress(files, len(files), "reading rescanned vertebrae"):
        crops = crop_files.load(path)
        labels = np.zeros(len(TARGETS), np.float32)
        labels[:-1] = broken_levels(crops)
        labels[-1] = labels.max()
        if crops.present.any():
            examples.append(Example(f"{path.parent.name}/{path.stem}", crops, labels))
    return examples


def provenance(files: list[Path]) -> dict[str, Any]:
    """What the grounds add to what an encoder's weights depend on; nothing without them."""
    if not files:
        return {}
    return {"grounds": store.digest_value([[path.parent.name, store.recorded_digest(path)] for path in files])}


def _named(labels: pd.DataFrame, data: DataSettings, settings: ClassifySettings) -> list[Ground]:
    """The grounds that the settings name, negatives among the studies of `labels`."""
    of = settings.grounds
    grounds = [] if of.folder is None else grounds_in(of.folder, of.scheme, of.variants)
    synthetic = [] if of.synthetic is None else grounds_in(of.synthetic, "merged", of.synthetic_variants)
    names = {ground.name for ground in grounds}
    if twice := sorted(ground.name for ground in synthetic if ground.name in names):
        raise DatasetError(f"{of.synthetic}: {twice[0]} is in {of.folder}, too; each scan needs a name of its own")
    return grounds + synthetic + (_negatives(labels, data, settings) if of.negatives else [])


def _negatives(labels: pd.DataFrame, data: DataSettings, settings: ClassifySettings) -> list[Ground]:
    """The first of these studies without a fracture whose mask is there."""
    competition, masks = Competition.open(data.root), masks_of(data, settings.masks)
    found: list[Ground] = []
    for uid in labels.index[labels[list(TARGETS)].to_numpy().max(axis=1) == 0]:
        if len(found) == settings.grounds.negatives:
            break
        with suppress(NothingFound):
            scan, mask = competition.images(uid), masks.path(uid)
            found.append(Ground(uid, scan, mask, masks.scheme, settings.grounds.variants))
    return found
