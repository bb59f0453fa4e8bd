"""A cohort of a few tiny studies and the commands of a whole run on it, a few training steps each."""

import importlib
import multiprocessing
import os
import runpy
import signal
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import forked
import nibabel as nib
import numpy as np
import pandas as pd
import pydicom

from common.outputs.store import SCRATCH

LITTLE = ("batch=1", "workers=0", "precision=32-true", "checkpoint_every=1")
SEGMENT = [
    "network.channels=[8,8]",
    "network.decoder_channels=[8,8]",
    "train.init_from=null",
    "patch.size=16",
    "patch.coarse_mm=16",
    "patch.fine_mm=8",
    "train.steps=4",
    *(f"train.{setting}" for setting in LITTLE),
]
CLASSIFY = [
    "crops.spacing_mm=4",
    "network.channels=[4,8]",
    "encoder.init_from=null",
    "network.embedding=8",
    "network.hidden=4",
    *(f"{part}.{setting}" for part in ("encoder", "train") for setting in ("steps=3", *LITTLE)),
]
_started: list[int] = []
PRIVATE = {
    "PatientName": "Quixotus^Zebedeus",
    "PatientID": "PATID-77-4242",
    "PatientBirthDate": "19020304",
    "PatientAddress": "Nowhere Lane 5150",
    "AccessionNumber": "ACCESS-991188",
    "InstitutionName": "Hospital Hippocrene",
    "ReferringPhysicianName": "Ferdydurke^Witold",
    "OperatorsName": "Opponitrix^Petra",
    "StudyDescription": "STUDYDESC-NECK-OF-ZEBEDEUS",
    "StudyDate": "19630225",
    "StudyID": "STUDYID-31337",
}
"""Written into every DICOM file of the cohort; none of it may leave them."""


def make_cohort(data: Path) -> None:
    """Six training and two test studies with their true masks in `data`/masks and PRIVATE in every header."""
    arguments = ["--studies", "6", "--test-studies", "2", "--seed", "5", "--matrix", "64"]
    data.parent.mkdir(parents=True, exist_ok=True)
    run("common.phantom", "--out", str(data), *arguments, log=data.parent / "cohort.txt")
    for path in data.glob("*_images/*/*.dcm"):
        slice_ = pydicom.dcmread(path)
        for name, value in PRIVATE.items():
            setattr(slice_, name, value)
        slice_.save_as(path)
    masks = data / "masks"
    masks.mkdir()
    for folder in ("segmentations", "test_segmentations"):
        for path in (data / folder).glob("*.nii"):
            (masks / path.name).symlink_to(path.resolve())
    for uid in pd.read_csv(data / "train.csv")["StudyInstanceUID"]:
        if not (masks / f"{uid}.nii").exists():
            _empty_mask(data / "train_images" / uid, masks / f"{uid}.nii")


def commands(data: Path, folder: Path) -> dict[str, list[str]]:
    """Name -> arguments after `python -m`, in the order of a run with its results in `folder`."""
    places = ["--config", "configs/phantom.yaml", f"data.root={data}", f"data.run={folder}", "data.folds=2"]
    # An untrained stage 1 finds no vertebra: the true masks stand in, through the way for masks made elsewhere.
    classify = [*places, f"masks.folder={data / 'masks'}", "masks.scheme=rsna", *CLASSIFY]
    segment = {name: ["stage1_segment", name, *places, *SEGMENT] for name in ("train", "predict", "evaluate")}
    steps = ("train", "predict", "submit", "report")
    return {
        **{f"segment {name}": words for name, words in segment.items()},
        **{f"classify {name}": ["stage2_classify", name, *classify] for name in steps},
    }


@lru_cache(maxsize=1)
def _import_all() -> None:
    """Imports once what every command would import: a run takes seconds instead of a minute, and is killed while it
    works rather than while it imports."""
    stage1 = ("training.train", "inference.segmenter", "inference.cohort", "inference.preview", "evaluation.overlap")
    stage2 = ("training.train", "training.encoder_task", "predictor", "inference.submit", "report.page")
    for package, names in {"stage1_segment": stage1, "stage2_classify": stage2}.items():
        for name in names:
            importlib.import_module(f"{package}.{name}")


def start(*arguments: str, log: Path) -> int:
    """`python -m arguments` in a process group of its own, which is returned; what it says goes to `log`. The processes
    that it starts are forked as well."""
    _import_all()

    def work() -> None:
        fork = multiprocessing.get_context("fork")
        multiprocessing.get_context = lambda method=None: fork
        sys.argv = ["", *arguments[1:]]
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)

    _started.append(forked.start(work, log))
    return _started[-1]


def end_all() -> None:
    """Ends what is left of every group that `start` began: workers of a command that was killed."""
    while _started:
        with suppress(ProcessLookupError):
            os.killpg(_started.pop(), signal.SIGKILL)


def code_of(pid: int) -> int | None:
    """Exit code of a process that `start` began, None while it runs; negative: the signal that ended it."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def answer(*arguments: str, log: Path) -> tuple[int, str]:
    """The same, waited for: (exit code, what it said)."""
    began = log.stat().st_size if log.exists() else 0
    code = forked.code_of(start(*arguments, log=log))
    return code, log.read_bytes()[began:].decode()


def run(*arguments: str, log: Path) -> None:
    """The same. Raises RuntimeError unless it ends with 0."""
    code, said = answer(*arguments, log=log)
    if code:
        raise RuntimeError(f"{' '.join(arguments[:2])}: exit code {code}\n{said[-3000:]}")


@lru_cache(maxsize=1)
def finished() -> tuple[TemporaryDirectory, Path, Path]:
    """Made once for all tests: (keeper, cohort, run's folder); what the commands said lies in `run`/../said.txt."""
    keeper = TemporaryDirectory(prefix="tiny-run-")
    data, folder = Path(keeper.name) / "cohort", Path(keeper.name) / "run"
    make_cohort(data)
    for arguments in commands(data, folder).values():
        run(*arguments, log=Path(keeper.name) / "said.txt")
    return keeper, data, folder


def results(folder: Path) -> dict[str, bytes]:
    """What must be the same after every way to the end of a run: all but the logs' times, checkpoints, records, and
    what a killed process left half-written, which the next write beside it removes."""
    kept = (".nii.gz", ".safetensors", ".csv", ".npz", ".b2nd", ".png", ".json")
    paths = [p for p in folder.rglob("*") if p.name.endswith(kept) and not p.name.endswith(".record.json")]
    paths = [path for path in paths if path.parent.name != "csv"]  # a training's log
    names = {str(path.relative_to(folder)): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if SCRATCH not in name}


def _empty_mask(study: Path, path: Path) -> None:
    from common.reading.study import read_study

    volume = read_study(study).volume
    nib.save(nib.Nifti1Image(np.zeros(volume.array.shape, np.uint8), volume.affine), path)
