"""Predictions as CSV: StudyInstanceUID, C1..C7, patient_overall, flags."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from common import store
from common.dataset.competition import UID
from common.errors import DatasetError
from common.labels import TARGETS


@dataclass(frozen=True, eq=False)
class Prediction:
    """One study's answer: `probabilities` (8,) in the order of `TARGETS`; `flags`: level -> remarks."""

    uid: str
    probabilities: np.ndarray
    flags: dict[str, list[str]] = field(default_factory=dict)


def write_predictions(path: Path, predictions: list[Prediction]) -> None:
    """Writes the table atomically, a row for each prediction."""
    rows = [
        {UID: p.uid, **dict(zip(TARGETS, np.round(p.probabilities, 6))), "flags": flags_text(p.flags)}
        for p in predictions
    ]
    frame = pd.DataFrame(rows, columns=[UID, *TARGETS, "flags"])
    store.write_text(path, frame.to_csv(index=False))


def read_predictions(path: Path) -> pd.DataFrame:
    """The table, indexed by StudyInstanceUID; DatasetError when it is absent or lacks a column."""
    try:
        frame = pd.read_csv(path, dtype={UID: str, "flags": str}, keep_default_na=True)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: can't be read as a table of predictions: {error}") from None
    missing = [column for column in (UID, *TARGETS) if column not in frame.columns]
    if missing:
        raise DatasetError(f"{path}: lacks the columns {', '.join(missing)}; expected {UID}, {', '.join(TARGETS)}")
    return frame.set_index(UID)


def flags_text(flags: dict[str, list[str]]) -> str:
    """{"C1": ["not in view"]} -> "C1 not in view"."""
    return "; ".join(f"{name} {remark}" for name, remarks in flags.items() for remark in remarks)
