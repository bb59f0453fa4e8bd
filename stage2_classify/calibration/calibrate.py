"""The decision layer on anyone's predictions: `python -m stage2_classify calibrate`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.competition_metric import bootstrap, row_scores
from common.dataset.competition import read_labels
from common.dataset.ids import UID
from common.dataset.tables import read_table
from common.errors import DatasetError, WeightsError
from common.labels import LEVELS, OVERALL, TARGETS
from common.outputs import store
from stage2_classify.calibration.calibration import load_calibration, save_calibration
from stage2_classify.calibration.cross_fit import cross_fit
from stage2_classify.calibration.fit import fit_calibration, random_folds
from stage2_classify.calibration.plain_logistic import cross_fitted_logistic
from stage2_classify.calibration.reliability import reliability
from stage2_classify.predictions import (
    CALIBRATED,
    Prediction,
    read_predictions,
    read_probabilities,
    write_predictions,
)
from stage2_classify.schema import CALIBRATION
from stage2_classify.settings import DecisionSettings

NEAREST = 1e-6
"""Probabilities are taken to be this far from 0 and 1 before their logit."""


@dataclass(frozen=True)
class Request:
    """What was asked for: tables to read, what to write. `load` and `save` exclude each other; without `load`
    `labels` are needed. `folds`: a table StudyInstanceUID, fold; None: `n_folds` random ones."""

    predictions: Path
    labels: Path | None
    output: Path
    folds: Path | None = None
    n_folds: int = 5
    save: Path | None = None
    load: Path | None = None


def calibrate(request: Request, settings: DecisionSettings) -> str:
    """Writes `request.output`: StudyInstanceUID, C1..C7, patient_overall (what the score rewards), and calibrated_C1
    and so on (how likely each fracture is). Returns the scores as lines for a person, if labels are known.

    With `load` every study is answered by that calibration; else each by one fitted on the other folds, and `save`
    gets the one fitted on all. Raises DatasetError for tables that can't be used, WeightsError for a `load` that can't.
    """
    if request.predictions.is_dir():
        raise DatasetError(
            f"{request.predictions}: is a folder, expected a table; for the results of a hospital's own studies use "
            "`calibrate-locally` with the same --predictions and --labels"
        )
    given = read_probabilities(request.predictions)
    labels = None if request.labels is None else _labels_of(given, request, request.labels)
    if labels is None and request.load is None:
        raise DatasetError(
            f"{request.predictions}: no labels to learn from; give --labels, or --load a fitted calibration"
        )
    logits = _logits(given.to_numpy())
    fold = np.zeros(len(given), dtype=int) if request.load is not None else _folds_of(given, request)
    provenance = _provenance(request, settings)
    saved = request.save is None or store.is_current(request.save, provenance, CALIBRATION)
    if not (saved and store.is_current(request.output, provenance, CALIBRATION)):
        present = np.ones((len(given), len(LEVELS)), bool)
        if request.load is not None:
            calibration = load_calibration(request.load)
            if calibration is None:
                raise WeightsError(f"{request.load}: null, not a fitted calibration; make one with --save")
            answer, likely = calibration(logits, present)
        elif labels is not None:
            answer, likely = cross_fit(logits, labels, present, fold, settings.regularisation_strengths)
        if request.save is not None and labels is not None:
            save_calibration(request.save, fit_calibration(logits, labels, present, settings.regularisation_strengths))
            store.write_record(request.save, provenance, CALIBRATION)
        rows = zip(given.index, answer, likely)
        write_predictions(request.output, [Prediction(uid, p, {}, calibrated) for uid, p, calibrated in rows])
        store.write_record(request.output, provenance, CALIBRATION)
    if labels is None:
        return f"{len(given)} studies answered, {request.output}"
    answered = read_predictions(request.output)
    plain = None if request.load is not None else cross_fitted_logistic(logits, labels, fold)
    return report(
        given.to_numpy(), plain, answered[list(TARGETS)].to_numpy(), answered[list(CALIBRATED)].to_numpy(), labels
    )


def report(
    before: np.ndarray, plain: np.ndarray | None, answer: np.ndarray, likely: np.ndarray, labels: np.ndarray
) -> str:
    """Probabilities (N, 8) as given, after a plain logistic fit, as answered, and calibrated; labels (N, 8)."""
    rows = {"as given": row_scores(before, labels)}
    if plain is not None:
        rows["plain logistic per target"] = row_scores(plain, labels)
    ours = row_scores(answer, labels)
    lines = [f"{len(labels)} studies; the competition's score, 95 % bootstrap intervals"]
    for name, scores in {**rows, "calibrated for the score": ours}.items():
        lines.append(f"{name:<28}{scores.mean():.4f}   {_between(bootstrap(scores), '.4f')}")
    for name, scores in rows.items():
        less = ours - scores
        lines.append(f"{'against ' + name:<34}{less.mean():+.4f}   {_between(bootstrap(less), '+.4f')} (paired)")
    n = len(LEVELS)
    for name, columns in (("levels", slice(0, n)), (OVERALL, slice(n, n + 1))):
        lines.append(f"calibrated probabilities, {name}: said -> found")
        for of in reliability(likely[:, columns], labels[:, columns]):
            lines.append(f"  {of.low:4.2f}..{of.high:4.2f}   {of.said:.3f} -> {of.found:.3f}   of {of.count}")
    return "\n".join(lines)


def _between(interval: tuple[float, float], form: str) -> str:
    return f"{interval[0]:{form}} .. {interval[1]:{form}}"


def _labels_of(given: pd.DataFrame, request: Request, path: Path) -> np.ndarray:
    """(N, 8), in the predictions' order."""
    labels = read_labels(path)
    unknown = given.index.difference(labels.index)
    if len(unknown):
        raise DatasetError(
            f"{request.predictions}: {len(unknown)} of {len(given)} studies have no row in {request.labels}, the first "
            f"is {unknown[0]}; leave them out, or give the labels that belong to these predictions"
        )
    return labels.loc[given.index, list(TARGETS)].to_numpy(dtype=np.float64)


def _folds_of(given: pd.DataFrame, request: Request) -> np.ndarray:
    """(N,) a fold number for each study; at least two differ."""
    if request.folds is None:
        if not 2 <= request.n_folds <= len(given):
            raise DatasetError(
                f"{request.predictions}: {len(given)} studies can't be split into {request.n_folds} folds; "
                "give --n-folds between 2 and the number of studies"
            )
        return random_folds(len(given), request.n_folds)
    table = read_table(request.folds, (UID, "fold")).drop_duplicates(UID).set_index(UID)
    fold = table["fold"].reindex(given.index)
    if fold.isna().any():
        raise DatasetError(
            f"{request.folds}: {int(fold.isna().sum())} of {len(given)} studies have no fold, the first is "
            f"{fold.isna().idxmax()}; give every study of {request.predictions} one"
        )
    numbers = pd.factorize(fold)[0]
    if numbers.max() == 0:
        raise DatasetError(f"{request.folds}: all studies are in one fold, expected two or more; or use --n-folds")
    return numbers


def _logits(probabilities: np.ndarray) -> np.ndarray:
    p = np.clip(probabilities, NEAREST, 1 - NEAREST)
    return np.log(p / (1 - p))


def _provenance(request: Request, settings: DecisionSettings) -> dict[str, object]:
    files = {"predictions": request.predictions, "labels": request.labels, "folds": request.folds, "load": request.load}
    digests = {name: store.digest_file(path) for name, path in files.items() if path is not None and path.is_file()}
    return {"files": digests, "n_folds": request.n_folds, "strengths": list(settings.regularisation_strengths)}
