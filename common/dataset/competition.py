"""The competition's folder, as RSNA laid it out in 2022; the synthetic cohort looks the same."""

import reprlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from common.dataset.ids import UID, is_uid
from common.dataset.tables import read_table, shown
from common.errors import DatasetError
from common.labels import LEVELS, OVERALL, TARGETS

LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
"""Text in a table of labels -> the label."""
LARGEST_NUMBER = 1e6
"""Beyond this nothing in a table is a pixel or a slice."""
SYNTHETIC = ".phantom"
"""Folder within a synthetic cohort that says how its studies were made; real data has none."""
BOX_COLUMNS = ("x", "y", "width", "height", "slice_number")


@dataclass(frozen=True)
class Competition:
    """`root` holds train.csv, train_bounding_boxes.csv, test.csv, sample_submission.csv, train_images/<uid>/,
    test_images/<uid>/, segmentations/<uid>.nii; the synthetic cohort also test_labels.csv and
    test_segmentations/. Tables are read when first asked for. Methods raise DatasetError."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> "Competition":
        """Raises DatasetError when `root` isn't a competition folder."""
        root = Path(root)
        if not root.is_dir():
            raise DatasetError(
                f"{root}: no such folder; give the competition's folder, or make a synthetic cohort with "
                f"`python -m common.phantom --out {root}`"
            )
        if not (root / "train.csv").is_file() and not (root / "test.csv").is_file():
            raise DatasetError(f"{root}: holds neither train.csv nor test.csv; give the folder that has them")
        return cls(root)

    @property
    def synthetic(self) -> bool:
        """Whether `common.phantom` made it."""
        return (self.root / SYNTHETIC).is_dir()

    def train_labels(self) -> pd.DataFrame:
        """Index StudyInstanceUID in the table's order, columns labels.TARGETS, int 0 or 1."""
        return self._train_labels

    def train_studies(self) -> list[str]:
        return list(self._train_labels.index)

    def test_studies(self) -> list[str]:
        """In the order in which test.csv first names them; none without test.csv."""
        return [] if not (self.root / "test.csv").is_file() else list(self.test_rows()[UID].drop_duplicates())

    def images(self, uid: str) -> Path:
        """The folder of a study's DICOM files, in train_images or in test_images, first where the tables have it. It
        may not exist (a missing one is read as NothingFound)."""
        folders = [self.root / f"{part}_images" / uid for part in ("train", "test")]
        if uid in self._test_uids and uid not in self._train_uids:
            folders.reverse()
        return next((folder for folder in folders if folder.is_dir()), folders[0])

    def segmentation(self, uid: str) -> Path | None:
        """The mask of a training study, None where it has none."""
        return _mask(self.root / "segmentations", uid)

    def segmented(self) -> list[str]:
        """Training studies with a mask, in train.csv's order."""
        stored = {mask_uid(path) for path in masks_in(self.root / "segmentations")}
        return [uid for uid in self.train_studies() if uid in stored]

    def boxes(self) -> pd.DataFrame:
        """StudyInstanceUID, x, y, width, height (pixels of that slice, x and y the upper left corner),
        slice_number (the file's number). Empty without train_bounding_boxes.csv."""
        return self._boxes

    def test_rows(self) -> pd.DataFrame:
        """row_id, StudyInstanceUID, prediction_type, in test.csv's order; the public one has only C1 rows."""
        return self._test_rows

    def test_labels(self) -> pd.DataFrame | None:
        """As `train_labels`; None without any, as on real data. For score, evaluate and report only."""
        path = self.root / "test_labels.csv"
        labels = read_labels(path) if path.is_file() else None
        return None if labels is None or labels.empty else labels

    def test_segmentation(self, uid: str) -> Path | None:
        """The true mask of a test study of the synthetic cohort, else None."""
        return _mask(self.root / "test_segmentations", uid)

    @cached_property
    def _train_labels(self) -> pd.DataFrame:
        return read_labels(self.root / "train.csv")

    @cached_property
    def _test_rows(self) -> pd.DataFrame:
        path = self.root / "test.csv"
        table = read_table(path, ("row_id", UID, "prediction_type"))
        check_uids(path, table[UID])
        return table

    @cached_property
    def _test_uids(self) -> frozenset[str]:
        known = (self.root / "test.csv").is_file()
        return frozenset(self._test_rows[UID]) if known else frozenset()

    @cached_property
    def _train_uids(self) -> frozenset[str]:
        known = (self.root / "train.csv").is_file()
        return frozenset(self._train_labels.index) if known else frozenset()

    @cached_property
    def _boxes(self) -> pd.DataFrame:
        path = self.root / "train_bounding_boxes.csv"
        if not path.is_file():
            return pd.DataFrame({UID: pd.Series(dtype=str), **{c: pd.Series(dtype=float) for c in BOX_COLUMNS}})
        table = read_table(path, (UID, *BOX_COLUMNS))
        check_uids(path, table[UID])
        values, good = box_values(table)
        if not good.all():
            row = int((~good).to_numpy().argmax())
            found = ", ".join(f"{column} {shown(table[column].iloc[row])}" for column in BOX_COLUMNS)
            raise DatasetError(f"{path}: line {row + 2} is no box: {found}; correct it (`verify` names all)")
        return pd.concat([table[[UID]], values.astype({"slice_number": int})], axis=1)


def read_labels(path: Path) -> pd.DataFrame:
    """A table of labels: index StudyInstanceUID, columns labels.TARGETS, int 0 or 1. Raises DatasetError, also where
    patient_overall isn't the largest of the levels."""
    table = read_table(path, (UID, *TARGETS))
    check_uids(path, table[UID])
    table = table.set_index(UID)
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise DatasetError(f"{path}: {twice} has more than one row; keep one")
    values, usable = label_values(table)
    if not usable.all(axis=None):
        row, column = next((r, c) for r in table.index for c in TARGETS if not usable.at[r, c])
        raise DatasetError(f"{path}: {row} has {column} = {shown(table.at[row, column])}, expected 0 or 1")
    for uid, contradiction in contradictions(values).items():
        raise DatasetError(f"{path}: {uid} has {contradiction}; correct it (`verify` names all)")
    return values


def label_values(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table's text, columns TARGETS -> the labels as int (-1: none), and which of them are 0 or 1."""
    values = table[list(TARGETS)].apply(lambda column: column.map(LABELS)).astype(float).fillna(-1).astype(int)
    return values, values >= 0


def contradictions(labels: pd.DataFrame) -> dict[str, str]:
    """Study -> what contradicts in its labels: a patient has a fracture where a level has one, and only there."""
    expected = labels[list(LEVELS)].max(axis=1)
    return {
        uid: f"{OVERALL} = {labels.at[uid, OVERALL]}, expected the largest of C1..C7, {expected[uid]}"
        for uid in labels.index[labels[OVERALL] != expected]
    }


def box_values(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """A table's text, columns BOX_COLUMNS -> its numbers, and which rows are boxes: of some size, on a whole slice."""
    values = table[list(BOX_COLUMNS)].apply(pd.to_numeric, errors="coerce").astype(float)
    good = (values.abs() < LARGEST_NUMBER).all(axis=1) & (values["width"] > 0) & (values["height"] > 0)
    return values, good & (values["slice_number"] == values["slice_number"].round())


def check_uids(path: Path, uids: pd.Series) -> None:
    """Raises DatasetError when some value couldn't name a file below a run's folder (such as `../x`)."""
    for row, uid in enumerate(uids):
        if not is_uid(uid):
            raise DatasetError(
                f"{path}: line {row + 2} has {UID} = {reprlib.repr(uid)}, expected digits and dots, at most 64"
            )


def masks_in(folder: Path) -> list[Path]:
    """The NIfTI files of a folder, by name; none when it doesn't exist."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in files if path.name.endswith((".nii", ".nii.gz")) and not path.name.startswith(".")]


def mask_uid(path: Path) -> str:
    """`<uid>.nii` or `<uid>.nii.gz` -> uid."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _mask(folder: Path, uid: str) -> Path | None:
    return next((p for p in (folder / f"{uid}.nii", folder / f"{uid}.nii.gz") if p.is_file()), None)
