"""Two encoders' evidence for the same vertebrae, compared study by study."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.dataset.ids import UID
from common.dataset.tables import read_table
from common.errors import DatasetError
from common.labels import LEVELS, TARGETS
from stage2_classify.evaluation.roc import aucs

DRAWS, AT_ONCE = 1000, 50
"""Of the bootstrap over studies, and how many of them are in memory."""


def read_evidence(path: Path) -> pd.DataFrame:
    """What `evaluate-encoder --evidence` wrote. Raises DatasetError when it isn't such a table."""
    try:
        table = read_table(path, (UID, *TARGETS)).set_index(UID).astype(float)
    except (DatasetError, ValueError) as error:
        raise DatasetError(f"{path}: no table of evidence as evaluate-encoder --evidence writes it: {error}") from None
    if not np.isfinite(table.to_numpy()).all() or table.index.duplicated().any():
        raise DatasetError(f"{path}: has a study twice, or evidence that is no number; write it again")
    return table


def less_other(evidence: pd.DataFrame, other: pd.DataFrame, labels: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """The area under the curve over all vertebrae less that of `other`, over the `studies` that both have: `value`, and
    its 95 % `interval` by paired bootstrap over studies. All three are indexed by study, a column per target. Raises
    DatasetError when too little is in common to compare."""
    both = evidence.index.intersection(other.index)
    own, its, y = (table.loc[both, list(LEVELS)].to_numpy(dtype=float) for table in (evidence, other, labels))
    if not 0 < y.sum() < y.size:
        raise DatasetError(
            f"the {len(both)} studies that both tables of evidence have don't show both fractured and healthy "
            "vertebrae; were they judged on one cohort?"
        )
    picks = np.random.default_rng(seed).integers(0, len(both), (DRAWS, len(both)))
    resampled = [
        _area(own[some], y[some]) - _area(its[some], y[some]) for some in np.array_split(picks, DRAWS // AT_ONCE)
    ]
    low, high = np.nanquantile(np.concatenate(resampled), [0.025, 0.975])
    value = _area(own[None], y[None]) - _area(its[None], y[None])
    return {"studies": len(both), "value": float(value[0]), "interval": [float(low), float(high)]}


def _area(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(draws, N, 7) -> (draws,)."""
    return aucs(p.reshape(len(p), -1), y.reshape(len(y), -1))
