"""The cohort's tables, with the columns of the competition's."""

import dataclasses
from pathlib import Path

import pandas as pd

from common.dataset.ids import row_id
from common.labels import LEVELS, OVERALL, TARGETS
from common.outputs import store
from common.phantom.files.boxes import Box
from common.phantom.study_plan import StudyPlan

LABEL_COLUMNS = ["StudyInstanceUID", OVERALL, *LEVELS]
TABLES = ("train.csv", "train_bounding_boxes.csv", "test.csv", "sample_submission.csv", "test_labels.csv")
BOX_COLUMNS = ["StudyInstanceUID", "x", "y", "width", "height", "slice_number"]


def write_tables(out: Path, plans: list[StudyPlan], boxes: dict[str, list[Box]]) -> None:
    """Writes train.csv, train_bounding_boxes.csv, test.csv, sample_submission.csv and, with the truth of the test
    studies, test_labels.csv. `boxes`: by StudyInstanceUID. A table that already reads so is left untouched."""
    train = [plan for plan in plans if plan.split == "train"]
    test = [plan for plan in plans if plan.split == "test"]
    box_rows = [
        {"StudyInstanceUID": plan.uid, **dataclasses.asdict(box)}
        for plan in sorted(train, key=lambda plan: plan.uid)
        for box in boxes.get(plan.uid, [])
        if plan.has_boxes
    ]
    test_rows = [
        {"row_id": row_id(plan.uid, target), "StudyInstanceUID": plan.uid, "prediction_type": target}
        for plan in test
        for target in TARGETS
    ]
    test_columns = ["row_id", "StudyInstanceUID", "prediction_type"]
    submission = [{"row_id": row["row_id"], "fractured": 0.5} for row in test_rows]
    _write(out / "train.csv", [plan.row() for plan in train], LABEL_COLUMNS)
    _write(out / "train_bounding_boxes.csv", box_rows, BOX_COLUMNS)
    _write(out / "test.csv", test_rows, test_columns)
    _write(out / "sample_submission.csv", submission, ["row_id", "fractured"])
    _write(out / "test_labels.csv", [plan.row() for plan in test], LABEL_COLUMNS)


def _write(path: Path, rows: list[dict], columns: list[str]) -> None:
    text = pd.DataFrame(rows, columns=columns).to_csv(index=False)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        store.write_text(path, text)
