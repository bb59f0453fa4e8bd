"""What a worker needs: peak memory of caching, segmenting and cutting one large study, each in a process of its own.

    python -m tests.bench_memory --out /somewhere/with/2GB --shape 512 512 1000
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tests.bench.peak_memory import own_peak_mb
from tests.bench.studies import uncompressed

UID = "1.2.826.0.1.1"
SPACING_MM = (0.45, 0.45, 0.5)
STEPS = ("nothing", "dicom", "nifti", "mask", "preview", "crops")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench_memory", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the study and what is made of it")
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 1000), metavar="N")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        _do(arguments.step, arguments.out)
        print(int(own_peak_mb()))
        return 0
    if not (arguments.out / "scan.nii").exists():
        make_study(arguments.out, tuple(arguments.shape))
    print(f"{'x'.join(map(str, arguments.shape))} voxels int16: {np.prod(arguments.shape) * 2 / 2**20:.0f} MB")
    for step in arguments.steps:
        words = ["-m", "tests.bench_memory", "--out", arguments.out, "--step", step]
        began = time.monotonic()
        done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True, check=True)
        print(f"{step:8} {done.stdout.split()[-1]:>6} MB  {time.monotonic() - began:.0f} s", flush=True)
    return 0


def make_study(out: Path, shape: tuple[int, int, int]) -> None:
    """A synthetic neck, enlarged to pixels of a large study and repeated downwards, as DICOM and as NIfTI."""
    from common.phantom.files.dicom import write_series
    from common.phantom.render import render
    from common.phantom.study_plan import plan_cohort
    from common.reading.nifti import write_nifti
    from common.volume import Volume

    plan = plan_cohort(1, 0, 7)[0]
    ct = render(plan, 128).ct
    sizes = np.maximum(np.array(ct.array.shape) * ct.spacing / SPACING_MM, 1).astype(int)
    near = [np.linspace(0, n - 1, size).round().astype(int) for n, size in zip(ct.array.shape, sizes)]
    array = ct.array[np.ix_(*near)]
    lacking = [(max(n - size, 0) // 2, max(n - size, 0) - max(n - size, 0) // 2) for n, size in zip(shape[:2], sizes)]
    array = np.pad(array, (*lacking, (0, 0)), constant_values=-1000)[: shape[0], : shape[1]]
    array = array[:, :, np.arange(shape[2]) % array.shape[2]]
    volume = Volume(array, np.diag([*SPACING_MM, 1.0]))
    out.mkdir(parents=True, exist_ok=True)
    write_series(out / "dicom", volume, UID, uncompressed(plan.style))
    write_nifti(volume, out / "scan.nii")


def _do(step: str, out: Path) -> None:
    cache = out / "cache"
    if step in ("dicom", "nifti"):
        from common.dataset.cache import store_scan

        source = out / ("dicom" if step == "dicom" else "scan.nii")
        store_scan(source, cache / f"{UID}{'' if step == 'dicom' else '.nifti'}.b2nd", {})
    elif step in ("mask", "preview"):
        _segment(out, preview=step == "preview")
    elif step == "crops":
        from common.dataset.cache import CtCache
        from common.masks.segmentation import segmentation_on
        from stage2_classify.crops.cut import cut_study
        from stage2_classify.settings import CropSettings

        ct = CtCache(cache).volume(UID)
        cut_study(ct, segmentation_on(ct, out / "run" / "masks" / f"{UID}.nii.gz", "merged"), CropSettings())


def _segment(out: Path, preview: bool) -> None:
    import torch

    from common.dataset.cache import CtCache
    from common.outputs.store import read_json
    from common.workers.cores import usable_cores
    from stage1_segment.inference.cohort import Job, write_study
    from stage1_segment.inference.segmenter import Segmenter, segment
    from stage1_segment.pretrained import PRETRAINED
    from stage1_segment.run_folder import RunFolder

    torch.set_num_threads(usable_cores())
    segmenter = Segmenter.load(PRETRAINED, "cpu")
    run = RunFolder(out / "run")
    job = Job(UID, out / "dicom", CtCache(out / "cache"), run, PRETRAINED, None, {}, segmenter.predict, "cpu", preview)
    scan = job.cache.volume(UID)
    write_study(scan, segment(scan, segmenter), job)
    levels = read_json(run.levels(UID))["levels"]
    print(sum(level["present"] for level in levels.values()), "levels", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
