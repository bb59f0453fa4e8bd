"""The studies of one hospital: what was predicted of them, by which weights, and what is true."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.dataset.competition import read_labels
from common.errors import DatasetError
from common.labels import LEVELS, TARGETS
from common.outputs import store
from common.outputs.fingerprints import digest_value
from stage2_classify.inference.classifier import find_weights
from stage2_classify.inference.result import NOT_JUDGED
from stage2_classify.predictions import CALIBRATED, read_predictions

NOT_IN_VIEW = "not in view"
LEAST = 2
"""Fewer studies can't be cross-validated."""
AGAIN = "predict these studies again"


@dataclass(frozen=True, eq=False)
class Predicted:
    """Of N studies `names`: `calibrated` (N, 8) before any local map, `judged` (N, 7) whether a level's picture
    counted, and the digests of the weights and the decision that made them."""

    names: tuple[str, ...]
    calibrated: np.ndarray
    judged: np.ndarray
    weights: tuple[str, ...]
    decision: str


@dataclass(frozen=True, eq=False)
class LocalStudies:
    """N studies with predictions and labels: `calibrated` (N, 8), `labels` (N, 8) 0/1, `judged` (N, 8) bool, for the
    patient whether any level was; `weights`, `decision` as in `Predicted`; `notices`; `digest` of all of it."""

    calibrated: np.ndarray
    labels: np.ndarray
    judged: np.ndarray
    weights: tuple[str, ...]
    decision: str
    notices: tuple[str, ...] = ()
    digest: str = ""


def local_studies(predictions: Path, labels: Path, weights: Path | None = None) -> LocalStudies:
    """`predictions`: a folder with a result.json per study at any depth, or a table that `predict` wrote; `labels`: a
    table as train.csv. `weights`: of a table without a record. Raises DatasetError, WeightsError."""
    found = of_folder(predictions, labels) if predictions.is_dir() else of_table(predictions, weights)
    known = read_labels(labels)
    shared = [row for row, name in enumerate(found.names) if name in known.index]
    if not shared:
        raise DatasetError(
            f"{predictions}: none of its {len(found.names)} studies ({found.names[0]} ...) is among the {len(known)} "
            f"of {labels}; name the studies there by StudyInstanceUID, or those without one by the folder of their "
            "result.json"
        )
    if len(shared) < LEAST:
        raise DatasetError(
            f"{predictions}: {len(shared)} study with predictions and labels tells nothing; expected {LEAST} or more, "
            "and about 20 for an answer"
        )
    names = [found.names[row] for row in shared]
    notices = [
        f"{len(unused)} {what} (the first: {unused[0]})"
        for what, unused in (
            ("predicted studies have no labels and aren't used", [n for n in found.names if n not in known.index]),
            ("labelled studies have no prediction and aren't used", sorted(set(known.index) - set(found.names))),
        )
        if unused
    ]
    truth = known.loc[names, list(TARGETS)].to_numpy(dtype=np.float64)
    calibrated, levels = found.calibrated[shared], found.judged[shared]
    judged = np.column_stack([levels, levels.any(axis=1)])
    if unseen := int((~judged[:, -1]).sum()):
        notices.append(f"{unseen} studies have no level that was judged: there is nothing in them to calibrate")
    digest = digest_value([names, calibrated.tolist(), judged.tolist(), truth.tolist()])
    return LocalStudies(calibrated, truth, judged, found.weights, found.decision, tuple(notices), digest)


def of_folder(folder: Path, labels: Path) -> Predicted:
    """Every result.json below `folder`. A study is called by its StudyInstanceUID; by its folder's name where it has
    none, or where that is what `labels` know. Raises DatasetError."""
    paths = sorted(folder.rglob("result.json"))
    if not paths:
        raise DatasetError(
            f"{folder}: no result.json below it; predict each local study into a folder of its own there"
        )
    known = set(read_labels(labels).index)
    contents = [_content(path) for path in paths]
    names = []
    for path, content in zip(paths, contents):
        uid, place = content["study"], path.parent.name
        names.append(str(uid) if uid and (uid in known or place not in known) else place)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        where = [str(path.parent) for path, name in zip(paths, names) if name == twice[0]]
        raise DatasetError(f"{folder}: {twice[0]} has {len(where)} results, in {' and '.join(where)}; keep one")
    makers = {(tuple(sorted(map(str, c["weights"]))), str(c["decision"])) for c in contents}
    if len(makers) > 1:
        first = next(path for path, c in zip(paths, contents) if _maker(c) != _maker(contents[0]))
        raise DatasetError(f"{first} and {paths[0]}: made by other weights or another decision; {AGAIN} with the same")
    weights, decision = makers.pop()
    judged = np.array([[_is_judged(content, level) for level in LEVELS] for content in contents])
    return Predicted(tuple(names), np.array([_before(c) for c in contents]), judged, weights, decision)


def of_table(path: Path, weights: Path | None) -> Predicted:
    """A table with the columns calibrated_*, and its record beside it unless `weights` names what made it. Raises
    DatasetError, WeightsError."""
    table = read_predictions(path)
    if table.empty or (absent := [column for column in CALIBRATED if column not in table]):
        what = "holds no study" if table.empty else f"lacks the columns {', '.join(absent)}"
        raise DatasetError(f"{path}: {what}; expected a table of `predict` by networks with a decision.json")
    values = table[list(CALIBRATED)].astype(float)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any(axis=None):
        uid, column = wrong.stack()[lambda cell: cell].index[0]
        raise DatasetError(f"{path}: {uid} has {column} = {values.at[uid, column]}, expected 0..1; {AGAIN}")
    flags = table["flags"] if "flags" in table else pd.Series("", index=table.index)
    judged = np.array([[_judged_in(text, level) for level in LEVELS] for text in flags])
    return Predicted(tuple(table.index), values.to_numpy(), judged, *_makers(path, weights))


def _content(path: Path) -> dict[str, Any]:
    """A result.json that can be used. Raises DatasetError."""
    try:
        content = dict(store.read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(f"{path}: can't be read as JSON ({error}); {AGAIN}, or move it away") from None
    if absent := [name for name in ("study", "decision", "calibrated", "weights", "flags") if name not in content]:
        raise DatasetError(f"{path}: says no {', '.join(absent)}, so an older version made it; {AGAIN}")
    if content["calibrated"] is None or content["decision"] is None:
        raise DatasetError(f"{path}: isn't calibrated: its networks have no decision.json; {AGAIN} with some that have")
    values = _before(content)
    if not ((values >= 0) & (values <= 1)).all():
        raise DatasetError(f"{path}: a calibrated probability is {values.tolist()}, expected 0..1; {AGAIN}")
    return content


def _before(content: dict[str, Any]) -> np.ndarray:
    """(8,) calibrated probabilities before a local map; NaN for what is no number."""
    given = (content.get("local_calibration") or {}).get("calibrated_before") or content["calibrated"]
    return np.array([_number(given.get(target)) for target in TARGETS])


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _maker(content: dict[str, Any]) -> tuple[list[str], str]:
    return sorted(content["weights"]), content["decision"]


def _is_judged(content: dict[str, Any], level: str) -> bool:
    remarks = content["flags"].get(level, ())
    return not any(remark.startswith((NOT_IN_VIEW, NOT_JUDGED)) for remark in remarks)


def _judged_in(flags: str, level: str) -> bool:
    """The same from the column flags, such as "C1 not in view; C7 cut off"."""
    return not any(f"{level} {remark}" in flags for remark in (NOT_IN_VIEW, NOT_JUDGED))


def _makers(path: Path, weights: Path | None) -> tuple[tuple[str, ...], str]:
    """Digests of the weights and the decision.json that a table was made by."""
    if weights is not None:
        paths = find_weights([weights])
        decision = paths[0].parent.parent / "decision.json"
        if not decision.is_file():
            raise DatasetError(f"{decision}: missing; name weights that have one with --weights")
        return tuple(sorted(map(store.digest_file, paths))), store.digest_file(decision)
    made = store.provenance_of(path)
    if isinstance(made.get("weights"), list) and isinstance(made.get("decision"), str):
        return tuple(sorted(map(str, made["weights"]))), made["decision"]
    raise DatasetError(
        f"{path}: no record of `predict` beside it ({store.record_path(path).name}) that says which weights made it; "
        "copy the record as well, or name the weights with --weights"
    )
