"""Folds: which studies are held out together, stratified by the labels, stored so that every run has the same."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.dataset.ids import UID
from common.dataset.tables import read_table
from common.errors import ConfigError, DatasetError
from common.labels import LEVELS, OVERALL, TARGETS
from common.outputs.own_files import run_outputs_at
from common.outputs.schema import FOLDS
from common.outputs.store import atomic, digest_value, is_current, write_record


def assign_folds(labels: pd.DataFrame, folds: int, seed: int) -> pd.Series:
    """labels (index StudyInstanceUID, columns labels.TARGETS) -> fold number 0..folds-1 of each study.

    Stratified by patient_overall and the study's rarest fractured level; keys rarer than `folds` are merged.
    A study has one row, hence one fold. Raises ConfigError when there are fewer studies than folds, DatasetError
    without any.
    """
    from sklearn.model_selection import StratifiedKFold

    if labels.empty:
        raise DatasetError("train.csv names no study: there is nothing to split into folds or to train on")
    if not 2 <= folds <= len(labels):
        raise ConfigError(f"data.folds is {folds}, expected 2..{len(labels)}, the number of training studies")
    keys = _stratum(labels, folds)
    assigned = pd.Series(-1, index=labels.index, name="fold")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    if np.unique(keys, return_counts=True)[1].min() < folds:
        keys = np.zeros(len(labels), dtype=int)  # a handful of studies can't be stratified
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(labels)), keys)):
        assigned.iloc[held_out] = fold
    return assigned


def stored_folds(path: Path, labels: pd.DataFrame, folds: int, seed: int) -> pd.Series:
    """The folds in `path` (StudyInstanceUID, fold) when they were made for these labels, folds and seed;
    else they are assigned and written there. Index in the labels' order. Raises OutputError where somebody else's file
    stands."""
    kept = kept_folds(path, labels, folds, seed)
    if kept is not None:
        return kept
    assigned = assign_folds(labels, folds, seed)
    with run_outputs_at([path]):
        with atomic(path) as scratch:
            assigned.rename_axis(UID).to_csv(scratch)
        write_record(path, _origin(labels, folds, seed), FOLDS)
    return assigned


def kept_folds(path: Path, labels: pd.DataFrame, folds: int, seed: int) -> pd.Series | None:
    """What `stored_folds` left there for these labels, folds and seed; None without. Writes nothing."""
    if not is_current(path, _origin(labels, folds, seed), FOLDS):
        return None
    return read_table(path, (UID, "fold")).set_index(UID)["fold"].astype(int)


def _origin(labels: pd.DataFrame, folds: int, seed: int) -> dict[str, object]:
    rows = [[uid, *map(int, row)] for uid, row in zip(labels.index, labels[list(TARGETS)].to_numpy())]
    return {"labels": digest_value(rows), "folds": folds, "seed": seed}


def _stratum(labels: pd.DataFrame, folds: int) -> np.ndarray:
    """(N,) a number for each study: 0 negative, else its rarest fractured level, rare ones merged into one."""
    values = labels[list(LEVELS)].to_numpy()
    by_rarity = np.argsort(values.sum(axis=0), kind="stable")
    positive = labels[OVERALL].to_numpy() > 0
    rarest = values[:, by_rarity].argmax(axis=1)
    keys = np.where(positive, 1 + rarest, 0)
    counts = np.bincount(keys, minlength=len(LEVELS) + 1)
    merged, size = keys.copy(), 0
    group = 1
    for key in range(1, len(LEVELS) + 1):  # from the rarest level on, join neighbours until a group is large enough
        merged[keys == key] = group
        size += counts[key]
        if size >= folds:
            group, size = group + 1, 0
    if 0 < size < folds:
        merged[merged == group] = max(group - 1, 1)
    return merged
