"""The report's list of studies: every study's prediction, and pictures of the best, the median and the worst."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from common.competition_metric import row_scores
from common.config import DataSettings
from common.dataset.competition import Competition
from common.labels import LEVELS, OVERALL, TARGETS
from common.outputs import store
from common.progress import progress
from common.workers.failing import Failed, attempt, say_failed
from stage2_classify.crops import files as crop_files
from stage2_classify.evaluation.evaluate_submission import read_submission
from stage2_classify.evaluation.metrics import folder_of
from stage2_classify.predictions import CALIBRATED, read_predictions
from stage2_classify.report import plots
from stage2_classify.report.study_pages import PAGES, page_files
from stage2_classify.run_folder import weights_paths
from stage2_classify.settings import ClassifySettings

if TYPE_CHECKING:
    from stage2_classify.predictor import Predictor

SHOWN = 4
"""Studies with pictures: so many of the worst, the median one, and so many of the best that have a fracture."""


@dataclass(frozen=True, eq=False)
class ShownStudy:
    """One row of the list. `cells`: (target, prediction or None, calibrated or None, truth 0/1 or None); `score` None
    where the truth isn't known; `why`: what it is shown for, "" for a row without pictures; pictures as data URIs or
    ""; `page`: link to its own page, "" where there is none."""

    uid: str
    score: float | None
    cells: list[tuple[str, float | None, float | None, int | None]]
    flags: str
    why: str = ""
    preview: str = ""
    attention: str = ""
    page: str = ""

    @property
    def fractured(self) -> bool | None:
        """Whether it has a fracture; None where that isn't known."""
        truth = self.cells[-1][3]
        return None if truth is None else truth == 1


@dataclass(frozen=True, eq=False)
class Ranked:
    """The submission's studies. `predictions`: a row each; `truth`: the same where it is known, or None; `scores`:
    the worst first, NaN and in the submission's order where it isn't; `reasons`: study -> why it has pictures."""

    predictions: pd.DataFrame
    truth: pd.DataFrame | None
    scores: pd.Series
    reasons: dict[str, str]


def ranked(data: DataSettings) -> Ranked | None:
    """None without a submission."""
    if not (data.run / "submission.csv").is_file():
        return None
    predictions = read_submission(data.run / "submission.csv")
    truth = Competition.open(data.root).test_labels()
    if truth is not None:
        truth = truth.loc[truth.index.intersection(predictions.dropna().index)]
        truth = None if truth.empty else truth
    if truth is None:
        scores = pd.Series(np.nan, index=predictions.index)
        return Ranked(predictions, None, scores, dict.fromkeys(predictions.index[: 2 * SHOWN], "first"))
    predictions = predictions.loc[truth.index]
    scores = pd.Series(row_scores(predictions.to_numpy(), truth.to_numpy()), truth.index)
    scores = scores.sort_values(ascending=False)
    return Ranked(predictions, truth, scores, chosen(scores, truth[OVERALL]))


def studies(data: DataSettings, settings: ClassifySettings) -> list[ShownStudy]:
    """All studies of the submission, the worst predicted first; in its order where the truth isn't known. [] without a
    submission."""
    found = ranked(data)
    if found is None:
        return []
    predictions, truth, scores, reasons = found.predictions, found.truth, found.scores, found.reasons
    said = read_predictions(folder_of(data, "vertebra3d") / "test.csv").reindex(predictions.index)
    predictors = _predictors(data, settings)
    pages = {path.stem: f"{PAGES}/{quote(path.name)}" for path in page_files(data)}
    rows = []
    for uid in progress(scores.index, len(scores), "studies of the report"):
        labels = None if truth is None else truth.loc[uid].to_numpy()
        shown = predictions.loc[uid].fillna(said.loc[uid, list(TARGETS)]).to_numpy(dtype=float)
        pictures = attempt(_pictures, uid, data, settings, predictors, shown, labels) if uid in reasons else {}
        if isinstance(pictures, Failed):
            say_failed(uid, f"no pictures: {pictures.message}", pictures, data.run)
            pictures = {}
        flags = said.at[uid, "flags"] if "flags" in said else ""
        rows.append(
            ShownStudy(
                uid,
                _number(scores[uid]),
                _cells(predictions.loc[uid], said.loc[uid], labels),
                flags if isinstance(flags, str) else "",
                reasons.get(uid, ""),
                page=pages.get(uid, ""),
                **pictures,
            )
        )
    return rows


def chosen(scores: pd.Series, fractured: pd.Series) -> dict[str, str]:
    """Scores by study, the worst first, and 0/1 -> study -> why it is shown."""
    picks = dict.fromkeys(scores.index[:SHOWN], "worst")
    picks.setdefault(scores.index[len(scores) // 2], "median")
    best = [uid for uid in scores.index[::-1] if fractured[uid] == 1]
    for uid in best[:SHOWN]:
        picks.setdefault(uid, "best of the fractured")
    return picks


def _cells(prediction: pd.Series, said: pd.Series, labels: np.ndarray | None) -> list[Any]:
    return [
        (target, _number(prediction[target]), _number(said.get(name)), None if labels is None else int(labels[column]))
        for column, (target, name) in enumerate(zip(TARGETS, CALIBRATED))
    ]


def _pictures(
    uid: str,
    data: DataSettings,
    settings: ClassifySettings,
    predictors: "list[Predictor]",
    prediction: np.ndarray,
    labels: np.ndarray | None,
) -> dict[str, str]:
    from stage2_classify.evaluation.attention import attend
    from stage2_classify.evaluation.attention_plot import draw_attention, levels_to_show

    found = {}
    preview = data.run / "masks" / f"{uid}.png"
    if preview.exists() and settings.masks.folder is None:  # otherwise they aren't the masks that were used from
        found["preview"] = plots.png_uri(preview.read_bytes())
    path = crop_files.path_of(data, "vertebra3d", uid)
    if predictors and crop_files.cut_as(path, predictors[0].settings.crops):
        crops = crop_files.load(path)
        rows = levels_to_show(prediction, labels, crops.present)
        truths = ["" if labels is None else ("fractured" if labels[row] else "healthy") for row in range(len(LEVELS))]
        captions = [f"{prediction[row]:.2f} {truths[row]}" for row in rows]
        if rows:
            found["attention"] = plots.png_uri(draw_attention(crops, attend(predictors, crops), rows, captions))
    return found


def _predictors(data: DataSettings, settings: ClassifySettings) -> "list[Predictor]":
    """The networks that predicted; [] where their weights aren't here."""
    from stage2_classify.predictor import load_predictor

    paths = [path for path in weights_paths(data, settings) if path.is_file()]
    answered_by = store.provenance_of(folder_of(data, "vertebra3d") / "test.csv").get("weights")
    if answered_by != [store.digest_file(path) for path in paths]:
        return []
    return [load_predictor(path, settings.train.device, settings.decision.precision) for path in paths]


def _number(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
