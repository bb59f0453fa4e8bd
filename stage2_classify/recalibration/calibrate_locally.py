"""`python -m stage2_classify calibrate-locally`: how far predictions are off at a hospital, and a map of them."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from common import __version__
from common.commandline import NOT_MEDICAL
from common.errors import ConfigError
from common.outputs import store
from common.outputs.notices import tell
from common.outputs.own_files import outputs_at, remove
from stage2_classify.calibration.local_map import GROUPS, IDENTITY, LocalMap
from stage2_classify.recalibration.analysis import Analysis, analyse
from stage2_classify.recalibration.local_studies import LocalStudies, local_studies
from stage2_classify.recalibration.picture import reliability_png
from stage2_classify.recalibration.words import as_text, heading, summary, table
from stage2_classify.report.plots import png_uri
from stage2_classify.schema import LOCAL_CALIBRATION

MAP, REPORT, PICTURE, FIGURES = "calibration.json", "report.html", "reliability.png", "figures.json"
THRESHOLDS = (0.2, 0.5)


@dataclass(frozen=True)
class Request:
    """`predictions`: a folder with a result.json per study, or a table of `predict`; `labels`: a table as train.csv;
    `out`: the folder to write to; `weights`: what made a table without a record; `thresholds`: of the sensitivities,
    within 0..1; `force`: save a map although there is too little to tell."""

    predictions: Path
    labels: Path
    out: Path
    weights: Path | None = None
    thresholds: tuple[float, ...] = THRESHOLDS
    force: bool = False
    overwrite: bool = False


def calibrate_locally(request: Request) -> str:
    """Writes `out`/report.html, reliability.png, figures.json, and calibration.json, the map, where there is enough to
    tell or `force`; else an older map of ours there is removed. Returns what to print. Raises DatasetError,
    WeightsError, ConfigError, OutputError."""
    if wrong := [t for t in request.thresholds if not 0 < t < 1]:
        raise ConfigError(f"--thresholds: {wrong[0]:g} isn't between 0 and 1")
    outputs = {name: request.out / name for name in (REPORT, PICTURE, FIGURES, MAP)}
    with outputs_at(outputs.values(), [request.predictions, request.labels, request.weights], request.overwrite):
        local = local_studies(request.predictions, request.labels, request.weights)
        tell(str(request.predictions), local.notices)
        analysis = analyse(local, request.thresholds, request.force)
        made = date.today().isoformat()
        found = _map(local, analysis, request.force, made)
        picture = reliability_png(local, analysis.after)
        kept = _kept(analysis, found, outputs[MAP])
        provenance = {"studies": local.digest, "thresholds": list(request.thresholds), "force": request.force}
        with store.atomic(outputs[PICTURE]) as scratch:
            scratch.write_bytes(picture)
        store.write_json(outputs[FIGURES], _figures(local, analysis))
        store.write_text(outputs[REPORT], _page(local, analysis, kept, png_uri(picture), made))
        remove(outputs[MAP])
        if found is not None:
            store.write_json(outputs[MAP], _map_file(found, local, analysis))
        for path in outputs.values():
            if path.is_file():
                store.write_record(path, provenance, LOCAL_CALIBRATION)
    return f"{as_text(analysis)}\n\n{kept}\nreport: {outputs[REPORT]}"


def _map(local: LocalStudies, analysis: Analysis, force: bool, made: str) -> LocalMap | None:
    """None where there is too little to tell; with `force` only where one kind of study is missing altogether."""
    if not (analysis.enough or force) or (analysis.lines == IDENTITY).all():
        return None
    on = len(local.labels), int(local.labels[:, -1].sum())
    return LocalMap(analysis.lines, local.weights, local.decision, *on, analysis.forced, made)


def _kept(analysis: Analysis, found: LocalMap | None, path: Path) -> str:
    if found is None:
        if (analysis.lines == IDENTITY).all():
            return "No map is saved: studies with a fracture and studies without are needed, --force or not."
        return "No map is saved: the shipped probabilities are kept. --force saves one nevertheless, marked as such."
    parts = [
        f"{group} {'as shipped' if line == [0.0, 1.0] else 'log odds = {:+.2f} + {:.2f} x shipped'.format(*line)}"
        for group, line in zip(GROUPS, found.lines.tolist())
    ]
    forced = ", though not all of it has enough studies (--force)" if found.forced else ""
    return f"A map is saved{forced}: {'; '.join(parts)}. Use it: cervical-fracture predict STUDY --calibration {path}"


def _map_file(found: LocalMap, local: LocalStudies, analysis: Analysis) -> dict[str, Any]:
    """What `predict` needs, and for people why it is there."""
    verdicts = {group: of.to_json() for group, of in analysis.verdicts.items()}
    return {**found.to_json(), "version": __version__, "studies_digest": local.digest, "verdicts": verdicts}


def _figures(local: LocalStudies, analysis: Analysis) -> dict[str, Any]:
    return {
        "studies": len(local.labels),
        "notices": list(local.notices),
        "enough": analysis.enough,
        "verdicts": {group: of.to_json() for group, of in analysis.verdicts.items()},
        "map": dict(zip(GROUPS, analysis.lines.tolist())),
        "figures": {name: of.to_json() for name, of in analysis.figures.items()},
    }


def _page(local: LocalStudies, analysis: Analysis, kept: str, picture: str, made: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        studies=len(local.labels),
        not_medical=NOT_MEDICAL,
        kept=kept,
        lines=summary(analysis),
        notices=local.notices,
        picture=picture,
        tables=[(heading(name, of), table(of)) for name, of in analysis.figures.items()],
        weights=[digest[:12] for digest in local.weights],
        decision=local.decision[:12],
        version=__version__,
        made=made,
    )
