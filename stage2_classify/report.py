"""report.html: one page, one file, readable offline; and metrics.json with the same figures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from common import __version__, store
from common.commandline import NOT_MEDICAL
from common.config import DataSettings
from common.dataset.competition import Competition
from common.labels import LEVELS, TARGETS
from common.score import row_scores
from stage2_classify import figures
from stage2_classify.metrics import KINDS, collect, folder_of
from stage2_classify.scoring import read_submission, report
from stage2_classify.tables import read_predictions

ENTRY_NAMES = {
    "vertebra3d": "3D CNN per vertebra + sequence head",
    "slices25d": "2.5D CNN + LSTM per vertebra",
    "naive": "one 3D CNN over the shrunk study",
}
SHOWN = 4
"""Studies shown of the worst and of the best."""


def make_report(data: DataSettings) -> int:
    """Writes metrics.json and report.html into the run's folder where they aren't current; returns 0."""
    came_from = _came_from(data)
    outputs = (data.run / "metrics.json", data.run / "report.html")
    if all(store.is_current(output, came_from) for output in outputs):
        return 0
    metrics = collect(data)
    store.write_json(outputs[0], metrics)
    store.write_text(outputs[1], _page(data, metrics))
    for output in outputs:
        store.write_record(output, came_from)
    print(report(metrics["test"]) if metrics["test"] else "the test studies' truth isn't known here")
    print(f"see {outputs[1]}")
    return 0


def _came_from(data: DataSettings) -> dict[str, Any]:
    files = [data.run / "submission.csv", data.run / "stage1" / "evaluation.json", data.root / "test_labels.csv"]
    files += [folder_of(data, kind) / name for kind in KINDS for name in ("test.csv", "out_of_fold.csv")]
    return {"files": {str(path): store.digest_file(path) if path.exists() else "absent" for path in files}}


def _page(data: DataSettings, metrics: dict[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    truth = Competition.open(data.root).test_labels()
    answers = read_submission(data.run / "submission.csv")
    known = truth is not None
    pictures = {"training": figures.training(metrics["training"])}
    if known:
        p, y = answers.loc[truth.index].to_numpy(), truth.to_numpy()
        pictures |= {"roc": figures.roc(p, y), "reliability": figures.reliability(p, y)}
    return environment.get_template("report.html.j2").render(
        notice=NOT_MEDICAL,
        version=__version__,
        cohort=str(data.root),
        metrics=metrics,
        entries=[(ENTRY_NAMES[kind], metrics["entries"][kind]) for kind in KINDS if kind in metrics["entries"]],
        levels=LEVELS,
        targets=TARGETS,
        per_level=(metrics["segmentation"] or {}).get("levels", {}),
        prevalence=truth.mean().to_dict() if known else {},
        studies=_studies(data, answers, truth),
        pictures=pictures,
    )


def _studies(data: DataSettings, answers: pd.DataFrame, truth: pd.DataFrame | None) -> list[dict[str, Any]]:
    """The studies to show: the worst and the best answered where the truth is known, else the first ones."""
    flags = read_predictions(folder_of(data, "vertebra3d") / "test.csv").get("flags", pd.Series(dtype=str))
    if truth is None:
        return [_study(data, uid, "", answers.loc[uid], None, None, flags) for uid in answers.index[: 2 * SHOWN]]
    scores = pd.Series(row_scores(answers.loc[truth.index].to_numpy(), truth.to_numpy()), index=truth.index)
    ordered = scores.sort_values(ascending=False)
    middle = len(ordered) // 2
    picks = [("worst", uid) for uid in ordered.index[:SHOWN]]
    picks += [("median", uid) for uid in ordered.index[middle : middle + 1]]
    fractured = [uid for uid in ordered.index[::-1] if truth.loc[uid, TARGETS[-1]] == 1]
    picks += [("best of the fractured", uid) for uid in fractured[:SHOWN]]
    return [_study(data, uid, why, answers.loc[uid], truth.loc[uid], scores[uid], flags) for why, uid in picks]


def _study(
    data: DataSettings,
    uid: str,
    why: str,
    answer: pd.Series,
    truth: pd.Series | None,
    score: float | None,
    flags: pd.Series,
) -> dict[str, Any]:
    preview = data.run / "masks" / f"{uid}.png"
    flag = flags.get(uid)
    return {
        "uid": uid,
        "why": why,
        "score": score,
        "rows": [
            (
                target,
                float(answer[target]) if np.isfinite(answer[target]) else None,
                None if truth is None else int(truth[target]),
            )
            for target in TARGETS
        ],
        "flags": flag if isinstance(flag, str) else "",
        "picture": figures.png_uri(preview.read_bytes()) if preview.exists() else "",
    }
