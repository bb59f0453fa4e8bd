"""The competition's submission: a probability for every row that test.csv asks for, in its order."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.config import DataSettings
from common.dataset.competition import Competition
from common.dataset.consistency import inconsistencies
from common.dataset.ids import UID, row_id
from common.errors import SubmissionError
from common.labels import TARGETS
from common.outputs import store
from common.outputs.notices import tell
from common.outputs.own_files import remove, run_outputs_at
from stage2_classify.predictions import read_probabilities
from stage2_classify.run_folder import stage_folder
from stage2_classify.schema import SUBMISSION
from stage2_classify.settings import ClassifySettings

CLIP = 1e-4
"""Probabilities are kept this far from 0 and 1."""
COLUMNS = ("row_id", UID, "prediction_type")


@dataclass(frozen=True)
class Filled:
    """Rows that had no prediction and were filled with the prior."""

    rows: tuple[str, ...]
    studies: tuple[str, ...]


def make_submission(
    asked: pd.DataFrame, predictions: pd.DataFrame, prior: np.ndarray | None
) -> tuple[pd.DataFrame, Filled]:
    """asked: test.csv (row_id, StudyInstanceUID, prediction_type); predictions: indexed by StudyInstanceUID, a column
    per target -> the table `row_id, fractured`, and what was filled with `prior` (8,).

    SubmissionError when a row has no finite prediction and `prior` is None, or test.csv asks for something unknown.
    """
    absent = [column for column in COLUMNS if column not in asked.columns]
    if absent:
        raise SubmissionError(f"test.csv lacks the columns {', '.join(absent)}; expected {', '.join(COLUMNS)}")
    unknown = sorted(set(asked["prediction_type"]) - set(TARGETS))
    if unknown:
        raise SubmissionError(f"test.csv asks for {unknown[0]!r}; known prediction types are {', '.join(TARGETS)}")
    doubled = predictions.index[predictions.index.duplicated()]
    if len(doubled):
        raise SubmissionError(f"two predictions for study {doubled[0]}; predict again")

    wrong = [row for row, uid, kind in asked[list(COLUMNS)].itertuples(index=False) if row != row_id(uid, kind)]
    if wrong:
        raise SubmissionError(f"test.csv: row_id {wrong[0]!r} isn't its study and its prediction type; correct it")
    if asked["row_id"].duplicated().any():
        raise SubmissionError(f"test.csv: row_id {asked['row_id'][asked['row_id'].duplicated()].iloc[0]} comes twice")
    columns = asked["prediction_type"].map(TARGETS.index).to_numpy(dtype=int)
    table = predictions.reindex(asked[UID])[list(TARGETS)].to_numpy(dtype=np.float64)
    values = table[np.arange(len(asked)), columns]
    missing = ~np.isfinite(values)
    filled = Filled(tuple(asked["row_id"][missing]), tuple(dict.fromkeys(asked[UID][missing])))
    if missing.any():
        if prior is None:
            raise SubmissionError(
                f"{missing.sum()} of {len(asked)} rows have no prediction, {len(filled.studies)} studies, the first "
                f"{filled.studies[0]}; predict them (what failed is told there), or give --fill-missing to fill them "
                "with the prior (`make submission SUBMIT=--fill-missing`)"
            )
        values[missing] = np.asarray(prior)[columns[missing]]
    submission = pd.DataFrame({"row_id": asked["row_id"], "fractured": np.clip(values, CLIP, 1 - CLIP)})
    return submission, filled


def write_submission(path: Path, submission: pd.DataFrame) -> None:
    """Writes `row_id,fractured` atomically."""
    store.write_text(path, submission.to_csv(index=False, float_format="%.6f"))


def submit(data: DataSettings, settings: ClassifySettings, fill_missing: bool = False) -> int:
    """stage2/test.csv -> submission.csv (for the default kind of network; other kinds beside their test.csv). What in
    the competition's folder doesn't fit together is told.

    Returns 0. Raises SubmissionError when a row would be missing and `fill_missing` isn't given; no older submission is
    left then.
    """
    stage = stage_folder(data, settings)
    source, decision = stage / "test.csv", stage / "decision.json"
    competition = Competition.open(data.root)
    tell(data.root.name, inconsistencies(competition))
    if not source.is_file():
        raise SubmissionError(f"{source}: no predictions yet; run `python -m stage2_classify predict` first")
    asked = competition.test_rows()
    output = (data.run if stage == data.run / "stage2" else stage) / "submission.csv"
    provenance = {
        "predictions": store.digest_file(source),
        "asked": store.digest_file(data.root / "test.csv"),
        "fill_missing": fill_missing,
        "prior": store.digest_file(decision) if fill_missing and decision.is_file() else None,
    }
    if store.is_current(output, provenance, SUBMISSION):
        return 0
    with run_outputs_at([output]):
        remove(output)
        prior = _prior(decision) if fill_missing else None
        submission, filled = make_submission(asked, read_probabilities(source, may_be_empty=True), prior)
        if filled.rows:
            tell(str(output), [f"{len(filled.rows)} rows of {len(filled.studies)} studies are filled with the prior"])
            tell(str(output), [f"filled with the prior: {uid}" for uid in filled.studies])
        write_submission(output, submission)
        store.write_record(output, provenance, SUBMISSION)
    return 0


def _prior(decision: Path) -> np.ndarray:
    try:
        prior = np.array(store.read_json(decision)["prior"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = type(error).__name__
        raise SubmissionError(f"{decision}: holds no prior to fill with ({why}); train first") from None
    if prior.shape != (len(TARGETS),) or not ((prior > 0) & (prior < 1)).all():
        raise SubmissionError(f"{decision}: its prior isn't {len(TARGETS)} numbers within 0..1; train again")
    return prior
