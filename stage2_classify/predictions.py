"""Predictions as CSV: StudyInstanceUID, the targets, the same as calibrated_* and network_*, flags, notices; and each
study's as JSON, to the last bit."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.dataset.competition import check_uids
from common.dataset.ids import UID
from common.dataset.tables import read_table, shown
from common.errors import DatasetError
from common.labels import TARGETS
from common.outputs import store
from stage2_classify.prediction import Prediction

CALIBRATED = tuple(f"calibrated_{target}" for target in TARGETS)
NETWORK = tuple(f"network_{target}" for target in TARGETS)


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Writes one study's prediction as JSON, atomically."""
    content = asdict(prediction)
    store.write_json(path, {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in content.items()})


def read_prediction(path: Path) -> Prediction:
    """What `write_prediction` wrote. Raises OSError, KeyError, TypeError or ValueError when the file is no such."""
    content = store.read_json(path)
    arrays = {
        name: None if content[name] is None else np.array(content[name], dtype=float)
        for name in ("probabilities", "calibrated", "network")
    }
    fields: dict[str, Any] = {**content, **arrays, "notices": tuple(content["notices"])}
    return Prediction(**fields)


def write_predictions(path: Path, predictions: list[Prediction]) -> None:
    """Writes the table atomically, a row for each prediction; the columns `CALIBRATED`, `NETWORK` and notices only
    where some are known."""
    rows, columns = [], [UID, *TARGETS]
    for p in predictions:
        row = {UID: p.uid, **dict(zip(TARGETS, np.round(p.probabilities, 6))), "flags": flags_text(p.flags)}
        for names, values in ((CALIBRATED, p.calibrated), (NETWORK, p.network)):
            row |= {} if values is None else dict(zip(names, np.round(values, 6)))
        row |= {"notices": "; ".join(p.notices)} if p.notices else {}
        rows.append(row)
    for names in (CALIBRATED, NETWORK):
        columns += names if any(names[0] in row for row in rows) else ()
    columns += ["flags", "notices"] if any("notices" in row for row in rows) else ["flags"]
    store.write_text(path, pd.DataFrame(rows, columns=columns).to_csv(index=False))


def read_predictions(path: Path) -> pd.DataFrame:
    """The table, indexed by StudyInstanceUID: the targets, and `CALIBRATED`, `NETWORK`, "flags" and "notices" where it
    has them; numbers but for these two. DatasetError when it is absent, lacks a column, or holds what is no id."""
    table = read_table(path, (UID, *TARGETS), (*CALIBRATED, *NETWORK, "flags", "notices"))
    check_uids(path, table[UID])
    table = table.set_index(UID)
    if table.index.has_duplicates:
        raise DatasetError(f"{path}: {table.index[table.index.duplicated()][0]} has more than one row; keep one")
    for column in (*CALIBRATED, *NETWORK):
        if column in table:
            table[column] = pd.to_numeric(table[column], errors="coerce")
    return table.assign(**_probabilities(path, table[list(TARGETS)].replace("", "nan")))


def read_probabilities(path: Path, may_be_empty: bool = False) -> pd.DataFrame:
    """A table of anyone's predictions: index StudyInstanceUID, columns labels.TARGETS, within 0..1. DatasetError, also
    for one without rows unless it `may_be_empty`."""
    table = read_predictions(path)[list(TARGETS)].astype(float)
    if table.empty and not may_be_empty:
        raise DatasetError(f"{path}: holds no study; expected a row for each")
    return table


def _probabilities(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    numbers = table.apply(pd.to_numeric, errors="coerce")
    for wrong, found in ((numbers.isna(), "is no number"), ((numbers < 0) | (numbers > 1), "is not within 0..1")):
        if wrong.any(axis=None):
            uid, target = wrong.stack()[lambda cell: cell].index[0]
            raise DatasetError(
                f"{path}: {uid} has {target} = {shown(table.at[uid, target])}, which {found}; expected a probability "
                f"({int(wrong.sum().sum())} such values); predict these studies again, or leave their rows out"
            )
    return numbers


def flags_text(flags: dict[str, list[str]]) -> str:
    """{"C1": ["not in view"]} -> "C1 not in view"."""
    return "; ".join(f"{name} {remark}" for name, remarks in flags.items() for remark in remarks)
