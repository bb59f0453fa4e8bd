"""What is compared, by name; and the commands as whole processes, and synthetic studies."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import predicting, reading, training
from tests.bench.compare import Way
from tests.bench.studies import SMALL, dicom

STUDIES = 2 if SMALL else 8
"""Synthetic ones."""


def commands(out: Path) -> list[Way]:
    """Whole processes: Python alone, torch alone, and both stages' commands for one study."""
    study, made = dicom(out), out / "made"
    segment = ["stage1_segment", "predict", "-i", study, "-o", made / "mask.nii.gz", "--overwrite"]
    both = ["common.cli", "predict", study, "-o", made / "both", "--overwrite"]
    return [
        Way("torch imported", _process("-c", "import torch")),
        Way("stage1_segment predict", _process("-m", *segment)),
        Way("cervical-fracture predict", _process("-m", *both)),
    ]


def synthetic(out: Path) -> list[Way]:
    """Studies of a default cohort in turn: with all their files, without, and a quarter as large."""
    from common.phantom.render import render
    from common.phantom.study import make_study
    from common.phantom.study_plan import plan_cohort

    plans = plan_cohort(STUDIES, 0, 7)

    def with_files(matrix: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out) as place:
            for plan in plans:
                make_study(Path(place), plan, matrix)

    def without(matrix: int) -> None:
        for plan in plans:
            render(plan, matrix)

    side = 64 if SMALL else 256
    return [
        Way(f"{STUDIES} of {side} x {side} with files", lambda: with_files(side)),
        Way("the same without files", lambda: without(side)),
        Way(f"{STUDIES} of {side // 2} x {side // 2} with files", lambda: with_files(side // 2)),
    ]


def _process(*words: object) -> Callable[[], object]:
    def run() -> None:
        done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
        if done.returncode not in (0, 14):
            raise RuntimeError(done.stderr)

    return run


COMPARISONS: dict[str, Callable[[Path], Sequence[Way]]] = {
    "reading": reading.reading,
    "jpeg-lossless": reading.jpeg_lossless,
    "jpeg2000": reading.jpeg2000,
    "segment": predicting.segment,
    "segment-bfloat16": predicting.segment_bfloat16,
    "classify": predicting.classify,
    "load-segment": training.load_segment,
    "load-classify": training.load_classify,
    "load-encoder": training.load_encoder,
    "train-segment": training.train_segment,
    "train-classify": training.train_classify,
    "train-encoder": training.train_encoder,
    "commands": commands,
    "synthetic": synthetic,
}
