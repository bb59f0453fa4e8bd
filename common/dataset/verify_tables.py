"""Faults of the competition's tables, each by itself and against each other."""

import reprlib
from pathlib import Path

import pandas as pd

from common.dataset.competition import BOX_COLUMNS, box_values, contradictions, label_values
from common.dataset.faults import Fault
from common.dataset.ids import UID, is_uid
from common.dataset.ids import row_id as make_row_id
from common.dataset.tables import read_table
from common.errors import DatasetError
from common.labels import OVERALL, TARGETS


def table_or_fault(path: Path, columns: tuple[str, ...], faults: list[Fault]) -> pd.DataFrame | None:
    """The rows of the table that can be a study's, as text; None, and a fault, when it can't be read."""
    try:
        table = read_table(path, columns)
    except DatasetError as error:
        faults.append(Fault("table", path.name, str(error)))
        return None
    if UID not in table.columns:
        return table
    named = table[UID].map(is_uid).astype(bool)
    for line in table.index[~named]:
        faults.append(Fault("study id", f"{path.name}:{line + 2}", f"{reprlib.repr(table.at[line, UID])}"))
    return table[named]


def check_labels(path: Path, faults: list[Fault]) -> pd.DataFrame | None:
    """The usable rows of a table of labels (index StudyInstanceUID, columns TARGETS, int), None without one."""
    table = table_or_fault(path, (UID, *TARGETS), faults)
    if table is None:
        return None
    for uid, count in table[UID].value_counts().items():
        if count > 1:
            faults.append(Fault("duplicate row", uid, f"{count} rows in {path.name}"))
    table = table.drop_duplicates(UID).set_index(UID)
    values, usable = label_values(table)
    for uid, row in table[~usable.all(axis=1)].iterrows():
        wrong = ", ".join(f"{c} = `{row[c]}`" for c in TARGETS if not usable.at[uid, c])
        faults.append(Fault("label value", uid, f"{wrong} in {path.name}"))
    values = values[usable.all(axis=1)]
    for uid, contradiction in contradictions(values).items():
        faults.append(Fault("contradiction", uid, f"{contradiction} in {path.name}"))
    return values


def check_boxes(path: Path, labels: pd.DataFrame, known: set[str] | None, faults: list[Fault]) -> pd.DataFrame:
    """The boxes that can be placed, numbers; those of unknown and negative studies are faults."""
    table = table_or_fault(path, (UID, *BOX_COLUMNS), faults)
    if table is None:
        return pd.DataFrame(columns=[UID, *BOX_COLUMNS])
    numbers, good = box_values(table)
    for line in table.index[~good]:
        row = ", ".join(f"{c} `{table.at[line, c]}`" for c in BOX_COLUMNS)
        faults.append(Fault("box", table.at[line, UID], f"line {line + 2} of {path.name}: {row}"))
    for uid, count in table[UID].value_counts().items():
        if known is not None and uid not in known:
            faults.append(Fault("box", uid, f"{count} boxes of a study that train.csv doesn't have"))
        elif uid in labels.index and not labels.at[uid, OVERALL]:
            faults.append(Fault("box negative", uid, f"{count} boxes, patient_overall is 0"))
    twice = int(table.duplicated().sum())
    if twice:
        faults.append(Fault("duplicate row", path.name, f"{twice} rows stand there twice"))
    return pd.concat([table[[UID]], numbers], axis=1)[good]


def check_test(root: Path, faults: list[Fault]) -> list[str] | None:
    """test.csv and sample_submission.csv; returns the test studies, None when test.csv can't be read."""
    rows = table_or_fault(root / "test.csv", ("row_id", UID, "prediction_type"), faults)
    sample = table_or_fault(root / "sample_submission.csv", ("row_id", "fractured"), faults)
    if rows is None:
        return None
    for line, row_id, uid, kind in rows.itertuples():
        number = line + 2
        if kind not in TARGETS:
            faults.append(Fault("test row", f"test.csv:{number}", f"prediction_type `{kind}`, expected one of TARGETS"))
        elif row_id != make_row_id(uid, kind):
            expected = f"row_id `{row_id}`, expected `{make_row_id(uid, kind)}`"
            faults.append(Fault("test row", f"test.csv:{number}", expected))
    _check_ids(rows["row_id"], "test.csv", faults)
    if sample is not None:
        _check_ids(sample["row_id"], "sample_submission.csv", faults)
        wanted, found = set(rows["row_id"]), set(sample["row_id"])
        for row_id in sorted(wanted - found):
            faults.append(Fault("submission", row_id, "in test.csv, not in sample_submission.csv"))
        for row_id in sorted(found - wanted):
            faults.append(Fault("submission", row_id, "in sample_submission.csv, not in test.csv"))
    return list(rows[UID].drop_duplicates())


def _check_ids(ids: pd.Series, name: str, faults: list[Fault]) -> None:
    for row_id, count in ids.value_counts().items():
        if count > 1:
            faults.append(Fault("duplicate row", row_id, f"{count} rows in {name}"))
