"""What is compared: reading, segmenting, classifying, training, the commands as whole processes, a synthetic study."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.bench.compare import Way

if TYPE_CHECKING:
    from common.volume import Volume

SMALL = bool(os.environ.get("SMALL"))
"""Little of everything, to see that each comparison runs; its ratios mean nothing."""
SIDE, SLICES = (128, 60) if SMALL else (512, 206)
COMPRESSED = 12 if SMALL else SLICES
"""Slices of the compressed series."""
STUDIES = 2 if SMALL else 8
"""Synthetic ones."""
STAGES = (4, 8, 8)
"""Of the peer's network, when small."""


def reading(out: Path) -> list[Way]:
    """An uncompressed series of 512 x 512: ours with all checks, and others."""
    return _readers(_study(out))


def jpeg_lossless(out: Path) -> list[Way]:
    """The same, JPEG lossless (process 14, selection value 1)."""
    return _readers(_compressed(out, "JPEGLosslessProcess14_1"))


def jpeg2000(out: Path) -> list[Way]:
    """The same, JPEG 2000 lossless."""
    return _readers(_compressed(out, "JPEG2000Lossless"))


def commands(out: Path) -> list[Way]:
    """Whole processes: Python alone, torch alone, and both stages' commands for one study."""
    study, made = _study(out), out / "made"
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


def segment(out: Path) -> list[Way]:
    """One study of 512 x 512, from array to mask on its own grid: ours, and nnU-Net as TotalSegmentator runs it."""
    from stage1_segment import Segmenter
    from tests.bench import nnunet

    volume = _volume(out)
    segmenter, lacks = Segmenter.pretrained(), _lacks("dynamic_network_architectures")
    network = None if lacks else nnunet.build(STAGES if SMALL else nnunet.STAGES)
    window = 32 if SMALL else 128

    def peer(spacing_mm: float, step: float) -> Callable[[], object]:
        return lambda: nnunet.segment(network, volume.array, volume.spacing, spacing_mm, step, window)

    return [
        Way("ours, both passes", lambda: segmenter(volume)),
        Way("nnU-Net, 1.5 mm, step 0.8", peer(1.5, 0.8), lacks),
        Way("nnU-Net, 1.5 mm, step 0.5", peer(1.5, 0.5), lacks),
        Way("nnU-Net, 3 mm (its fast mode), step 0.5", peer(3.0, 0.5), lacks),
    ]


def classify(out: Path) -> list[Way]:
    """A synthetic study with its true mask, from arrays to probabilities: ours, and the winner's 2.5D recipe, one
    network each."""
    from stage2_classify import Classifier
    from tests.bench import recipe25d

    volume, mask = _pair(out)
    classifier, lacks = Classifier.pretrained(), _lacks("timm")
    network = None if lacks else recipe25d.Recipe().eval()
    size = 64 if SMALL else 224
    return [
        Way("ours", lambda: classifier(volume, mask)),
        Way(
            f"2.5D recipe, {size} x {size}",
            lambda: recipe25d.classify(network, volume.array, mask.array, volume.spacing, size),
            lacks,
        ),
    ]


def training(out: Path) -> list[Way]:
    """Steps of stage 1's training: with our samples, with a plain loader's, and on one sample that is there already:
    what the first takes longer than that one is the loader's."""
    import itertools

    import torch

    from common.config import load
    from stage1_segment.settings import SegmentSettings
    from stage1_segment.training.patches import CohortSamples
    from stage1_segment.training.samples import make_sample
    from stage1_segment.training.task import SegmentTask
    from tests.bench.plain_loader import PlainSamples

    ct, mask = _pair(out)
    settings = load(Path("configs/phantom.yaml"), "segment", SegmentSettings, [])[1]
    task = SegmentTask(settings, CohortSamples([make_sample(ct, mask, settings.patch.fine_mm)], settings), [])
    plain = PlainSamples(out / "pair_ct.nii", out / "pair_mask.nii", settings.patch.window(coarse=False))
    optimizer = torch.optim.AdamW(task.network.parameters(), 1e-4)
    numbers, there = itertools.count(), task.sample(0)

    def steps(sample: Callable[[int], dict]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(2 if SMALL else 20):
                batch = {name: value[None] for name, value in sample(next(numbers)).items()}
                optimizer.zero_grad()
                task.loss(task.network, batch)["loss"].backward()
                optimizer.step()

        return run

    return [
        Way("ours", steps(task.sample)),
        Way("the network's steps alone", steps(lambda _: there)),
        Way("a plain loader of NIfTI", steps(plain.__getitem__)),
    ]


COMPARISONS: dict[str, Callable[[Path], Sequence[Way]]] = {
    "reading": reading,
    "jpeg-lossless": jpeg_lossless,
    "jpeg2000": jpeg2000,
    "segment": segment,
    "classify": classify,
    "training": training,
    "commands": commands,
    "synthetic": synthetic,
}


def _readers(folder: Path) -> list[Way]:
    from common.reading.study import read_study

    return [
        Way("ours", lambda: read_study(folder)),
        Way("SimpleITK's series reader", lambda: _by_itk(folder)),
        Way("pydicom in a loop, no checks", lambda: _by_pydicom(folder)),
        Way("dcm2niix (writes a NIfTI)", lambda: _by_dcm2niix(folder), _lacks("dcm2niix")),
    ]


def _by_itk(folder: Path) -> np.ndarray:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def _by_pydicom(folder: Path) -> np.ndarray:
    import pydicom

    slices = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda one: float(one.ImagePositionPatient[2]))
    return np.stack([one.pixel_array * one.RescaleSlope + one.RescaleIntercept for one in slices])


def _by_dcm2niix(folder: Path) -> None:
    target = folder.with_name("by_dcm2niix")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    words = [sys.executable, "-m", "dcm2niix", "-z", "n", "-o", str(target), str(folder)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _lacks(package: str) -> str | None:
    return None if importlib.util.find_spec(package) else f"pip install {package}"


def _process(*words: object) -> Callable[[], object]:
    def run() -> None:
        done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
        if done.returncode not in (0, 14):
            raise RuntimeError(done.stderr)

    return run


def _study(out: Path) -> Path:
    from tests.bench_memory import _make_study

    out.mkdir(parents=True, exist_ok=True)
    if not (out / "scan.nii").is_file():
        _make_study(out, (SIDE, SIDE, SLICES))
    return out / "dicom"


def _volume(out: Path) -> "Volume":
    from common.reading.study import read_study

    return read_study(_study(out)).volume


def _pair(out: Path) -> tuple["Volume", "Volume"]:
    """A synthetic study and its true mask, in memory and as pair_ct.nii and pair_mask.nii."""
    from common.phantom.render import render
    from common.phantom.study_plan import plan_cohort
    from common.reading.nifti import write_nifti

    made = render(plan_cohort(1, 0, 7)[0], 96 if SMALL else 256)
    mask = made.labels.with_array(np.minimum(made.labels.array, 8))
    write_nifti(made.ct, out / "pair_ct.nii")
    write_nifti(mask, out / "pair_mask.nii")
    return made.ct, mask


def _compressed(out: Path, process: str) -> Path:
    from common.reading.selftest.specimens import compress

    folder = out / process
    for path in sorted(_study(out).iterdir(), key=lambda path: int(path.stem))[:COMPRESSED]:
        if not (folder / path.name).is_file():
            compress(path, folder / path.name, process)
    return folder
