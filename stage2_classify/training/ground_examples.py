"""Rescanned healthy scans as examples of the encoder's training."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.config import DataSettings
from common.dataset.competition import Competition
from common.labels import TARGETS
from common.outputs import store
from common.progress import progress
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.masks import masks_of
from stage2_classify.grounds.variants import Ground, broken_levels, grounds_in, make_variants
from stage2_classify.settings import ClassifySettings

if TYPE_CHECKING:
    from stage2_classify.training.samples import Example


def make(data: DataSettings, settings: ClassifySettings) -> tuple[list[Path], dict[str, str]]:
    """The files of the grounds that the settings name, made where they aren't current, and name -> error of those that
    failed; none without grounds. Raises DatasetError, ConfigError."""
    grounds: list[Ground] = []
    if settings.grounds.folder is not None:
        grounds += grounds_in(settings.grounds.folder, settings.grounds.scheme)
    if settings.grounds.negatives:
        grounds += _negatives(data, settings)
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


def _negatives(data: DataSettings, settings: ClassifySettings) -> list[Ground]:
    """The cohort's first studies without a fracture whose mask is there."""
    competition = Competition.open(data.root)
    labels = competition.train_labels()
    masks = masks_of(data, settings.masks)
    uids = labels.index[labels[list(TARGETS)].to_numpy().max(axis=1) == 0]
    chosen = list(uids[: settings.grounds.negatives])
    return [Ground(uid, competition.images(uid), masks.path(uid), masks.scheme) for uid in chosen]
