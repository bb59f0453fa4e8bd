"""The competition's folder, as RSNA laid it out in 2022; the synthetic cohort looks the same."""

import re
import reprlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from common.errors import DatasetError
from common.labels import TARGETS

UID = "StudyInstanceUID"
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
        """In the order in which test.csv first names them."""
        return list(self.test_rows()[UID].drop_duplicates())

    def images(self, uid: str) -> Path:
        """The folder of a study's DICOM files, whether or not it exists (a missing one is read as NothingFound)."""
        test = self.root / "test_images" / uid
        return test if uid in self._test_uids else self.root / "train_images" / uid

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
        """As `train_labels`; None on real data, where nobody has them. For score, evaluate and report only."""
        path = self.root / "test_labels.csv"
        return read_labels(path) if path.is_file() else None

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
    def _boxes(self) -> pd.DataFrame:
        path = self.root / "train_bounding_boxes.csv"
        if not path.is_file():
            return pd.DataFrame({UID: pd.Series(dtype=str), **{c: pd.Series(dtype=float) for c in BOX_COLUMNS}})
        table = read_table(path, (UID, *BOX_COLUMNS))
        check_uids(path, table[UID])
        for column in BOX_COLUMNS:
            table[column] = _numbers(path, table[column])
        table["slice_number"] = table["slice_number"].astype(int)
        return table


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV with at least `columns`, in these, all text. Raises DatasetError."""
    try:
        table = pd.read_csv(path, dtype=str, encoding="utf-8-sig", keep_default_na=False)
    except FileNotFoundError:
        raise DatasetError(f"{path}: missing; the competition's folder has it, copy it there") from None
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: can't be read as a table ({str(error).strip()[:300]}); copy it again") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise DatasetError(f"{path}: its rows have more values than its header names; take the competition's file")
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise DatasetError(
            f"{path}: column {', '.join(absent)} is missing, found {', '.join(map(reprlib.repr, table.columns[:20]))}; "
            "take the competition's file"
        )
    return table[list(columns)]


def read_labels(path: Path) -> pd.DataFrame:
    """A table of labels: index StudyInstanceUID, columns labels.TARGETS, int 0 or 1. Raises DatasetError."""
    table = read_table(path, (UID, *TARGETS))
    check_uids(path, table[UID])
    table = table.set_index(UID)
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise DatasetError(f"{path}: {twice} has more than one row; keep one")
    wrong = ~table.isin(["0", "1", "0.0", "1.0"])
    if wrong.any(axis=None):
        row, column = next((r, c) for r in table.index for c in TARGETS if wrong.at[r, c])
        raise DatasetError(f"{path}: {row} has {column} = `{table.at[row, column][:50]}`, expected 0 or 1")
    return table.astype(float).astype(int)


def is_uid(text: str) -> bool:
    """Whether a StudyInstanceUID can name files: letters, digits, `.`, `-`, `_`, at most 64, no dot in front."""
    return re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", text) is not None


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


def _numbers(path: Path, column: pd.Series) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = ~(values.abs() < LARGEST_NUMBER)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        found = reprlib.repr(column.iloc[row])
        raise DatasetError(f"{path}: line {row + 2} has {column.name} = {found}, expected a number")
    return values
