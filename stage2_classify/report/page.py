"""report.html: one page, one file, readable offline; and metrics.json with the same figures."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from common import __version__
from common.commandline import NOT_MEDICAL
from common.config import DataSettings
from common.dataset.competition import Competition
from common.dataset.consistency import inconsistencies
from common.errors import PARTLY_FAILED, SubmissionError
from common.labels import LEVELS, OVERALL, TARGETS
from common.outputs import store
from common.outputs.own_files import run_outputs_at
from common.workers.failing import said_failed
from stage2_classify.evaluation.evaluate_submission import report
from stage2_classify.evaluation.metrics import FOLDERS, KINDS, collect, folder_of
from stage2_classify.evaluation.roc import ALL
from stage2_classify.report import plots
from stage2_classify.report.studies import ShownStudy, ranked, studies
from stage2_classify.report.study_pages import page_files, write_study_pages
from stage2_classify.run_folder import weights_paths
from stage2_classify.schema import REPORT
from stage2_classify.settings import ClassifySettings

ENTRY_NAMES = {
    "vertebra3d": "3D CNN per vertebra + sequence head",
    "slices25d": "2.5D CNN + LSTM per vertebra",
    "naive": "one 3D CNN over the shrunk study",
}
NAMES = {OVERALL: "any", ALL: "all vertebrae"}


def make_report(data: DataSettings, settings: ClassifySettings, with_pages: bool = False) -> int:
    """Writes metrics.json and report.html into the run's folder where they aren't current, `with_pages` after a page
    for each study that has pictures; returns 0, or PARTLY_FAILED where a study lacks its picture or page. Without a
    submission they tell of the training studies alone, and SubmissionError is raised after; before, where these have no
    predictions either."""
    # The submission is that of the default kind, whatever entry the command names.
    network = settings.network.model_copy(update={"kind": "vertebra3d"})
    settings = settings.model_copy(update={"network": network})
    submission = data.run / "submission.csv"
    missing = SubmissionError(f"{submission}: no submission yet; run `python -m stage2_classify submit` first")
    if not submission.is_file() and not (folder_of(data, "vertebra3d") / "out_of_fold.csv").is_file():
        raise missing
    said_failed.clear()
    if with_pages and (found := ranked(data)) is not None:
        write_study_pages(found.reasons, data, settings)
    notices = inconsistencies(Competition.open(data.root))
    notices += [] if submission.is_file() else ["there is no submission: what follows is of the training studies alone"]
    provenance = {**_provenance(data, settings), "notices": notices}
    outputs = (data.run / "metrics.json", data.run / "report.html")
    if not all(store.is_current(output, provenance, REPORT) for output in outputs):
        with run_outputs_at(outputs):
            _write(outputs, data, settings, notices, provenance)
    if not submission.is_file():
        raise missing
    return PARTLY_FAILED if said_failed else 0


def _write(
    outputs: tuple[Path, Path], data: DataSettings, settings: ClassifySettings, notices: list[str], provenance: dict
) -> None:
    metrics, shown = collect(data, settings), studies(data, settings)
    metrics["notices"] = [*notices, *metrics["notices"]]
    metrics["studies"] = [_as_json(study) for study in shown]
    store.write_json(outputs[0], metrics)
    store.write_text(outputs[1], page(str(data.root), metrics, shown))
    lacking = {"lacking": sorted(said_failed)} if said_failed else {}  # made again by the next call
    for output in outputs:
        store.write_record(output, {**provenance, **lacking}, REPORT)
    for kind, judged in metrics["out_of_fold"].items():
        ours, constant = judged["score"], judged["best_constant_score"]
        print(f"training studies, out of fold, {kind}: score {ours:.6f}, best constant prediction {constant:.6f}")
    print(report(metrics["test"]) if metrics["test"] else "the test studies' truth isn't known here")
    print(f"see {outputs[1]}")


def page(cohort: str, metrics: dict[str, Any], shown: list[ShownStudy]) -> str:
    """The page as text. What comes from files is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pictures: dict[str, Any] = {}
    if metrics["curves"]:
        pictures |= {"ROC curves": plots.roc(metrics["curves"])}
        pictures |= {"Precision-recall curves": plots.precision_recall(metrics["curves"])}
    for name, bins in metrics["reliability"].items():
        pictures[f"Reliability {name}"] = plots.reliability(bins, f"Reliability, {name}")
    if training := plots.training(metrics["training"]):
        pictures["Training losses"] = training
    return environment.get_template("report.html.j2").render(
        notice=NOT_MEDICAL,
        version=__version__,
        cohort=cohort,
        metrics=metrics,
        entries=_named(metrics["entries"]),
        out_of_fold=_named(metrics["out_of_fold"]),
        names={target: NAMES.get(target, target) for target in (*TARGETS, ALL)},
        levels=LEVELS,
        per_level=(metrics["segmentation"] or {}).get("levels", {}),
        studies=shown,
        pictures=pictures,
    )


def _named(entries: dict[str, Any]) -> dict[str, Any]:
    return {ENTRY_NAMES[kind]: entries[kind] for kind in KINDS if kind in entries}


def _as_json(study: ShownStudy) -> dict[str, Any]:
    fields = ("prediction", "calibrated", "fractured")
    return {
        "uid": study.uid,
        "score": study.score,
        "flags": study.flags,
        "targets": {target: dict(zip(fields, values)) for target, *values in study.cells},
    }


def _provenance(data: DataSettings, settings: ClassifySettings) -> dict[str, Any]:
    files = [data.run / "submission.csv", data.run / "folds.csv", data.run / "stage1" / "evaluation.json"]
    files += [data.root / name for name in ("test_labels.csv", "train.csv", "train_bounding_boxes.csv")]
    files += [folder_of(data, kind) / name for kind in KINDS for name in ("test.csv", "out_of_fold.csv")]
    files += [*weights_paths(data, settings), *sorted((data.run / "masks").glob("*.png"))]
    files += [log for folder in FOLDERS.values() for log in sorted((data.run / folder).glob("fold*/log.jsonl"))]
    states = {str(path): store.digest_file(path) if path.exists() else "absent" for path in files}
    return {"files": states, "pages": [path.name for path in page_files(data)]}
