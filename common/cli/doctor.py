"""`cervical-fracture doctor STUDY`: what is to be expected of a study, before anything is predicted for good."""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.cli.registry import DOCTOR, registered
from common.cli.request import ALWAYS, CONFIG, Request, read_once
from common.commandline import NOT_MEDICAL, add_overwrite
from common.doctor.facts import facts, header_facts
from common.doctor.likeness import StageView
from common.doctor.report import as_text, report
from common.errors import StudyError
from common.outputs import store
from common.outputs.own_files import outputs_at

TERMINAL = Path("-")


def main(words: Sequence[str]) -> int:
    """What a study is like, whether the networks know its like, what to expect of each stage.

    Raises, after the report is out, what makes the study unusable."""
    parser = argparse.ArgumentParser(
        prog="cervical-fracture doctor", description=(main.__doc__ or "").splitlines()[0], epilog=NOT_MEDICAL
    )
    parser.add_argument("study", type=Path, metavar="STUDY", help="DICOM folder, zip of one, NIfTI, NRRD or MetaImage")
    parser.add_argument("--quick", action="store_true", help="without networks: nothing is said of levels")
    parser.add_argument(
        "--json", type=Path, nargs="?", const=TERMINAL, metavar="FILE", help="as JSON to FILE, or instead of the table"
    )
    parser.add_argument("--run", type=Path, metavar="DIR", help="networks of this run instead of the pretrained ones")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"the run's configuration; default: {CONFIG}")
    parser.add_argument("--series-uid", metavar="UID", help="the DICOM series to read; default: the best neck CT")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N; default: auto")
    add_overwrite(parser)
    given = parser.parse_args(words)
    file = None if given.json in (None, TERMINAL) else given.json
    with outputs_at([file], [given.study], given.overwrite), tempfile.TemporaryDirectory() as folder:
        request = Request(
            given.study, Path(folder), given.config, given.run, given.series_uid, given.device, outputs=ALWAYS,
            read=read_once(),
        )  # fmt: skip
        found, error = examine(request, given.quick)
        if file is not None:
            store.write_json(file, found)
        print(json.dumps(found, indent=1) if given.json == TERMINAL else as_text(found))
    if error is not None:
        raise error
    return 0


def examine(request: Request, quick: bool) -> tuple[dict[str, Any], StudyError | None]:
    """The report on a request's study, and what ended it early. Raises what is no fault of the study."""
    source: Mapping[str, Any] = {}
    known: Mapping[str, Any] = {}
    notices: tuple[str, ...] = ()
    stages: dict[str, StageView] = {}
    with suppress(StudyError):  # whatever is wrong is told when it is read
        source = header_facts(request.study, request.series_uid)
    try:
        study = request.read(request.study, request.series_uid)
        notices, known = study.volume.notices, facts(study)
        for name, examined in registered(DOCTOR).items():
            view = stages[name.partition("-")[2]] = examined(request, known, quick)
            if view.error is not None:
                raise view.error
    except StudyError as error:
        return report(source, known, notices, stages, error), error
    return report(source, known, notices, stages), None
