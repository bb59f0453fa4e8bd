"""`python -m tests.bench.scale`: what a cohort costs as it grows, on thin studies of 24 x 24 x 24 voxels."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from common.commandline import run
from tests.bench.peak_memory import largest_peak_mb

STEPS = ("cache", "crops", "nothing to do", "status")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--studies", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--one", nargs=2, metavar=("STEP", "DIR"), help=argparse.SUPPRESS)
    parser.add_argument("--cluster", default="local", help=argparse.SUPPRESS)
    parser.add_argument("--run", default="run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, place = arguments.one
        return step(name, Path(place), arguments.studies[0], Path(place) / arguments.run, arguments.cluster)
    print(f"{'step':<15}{'studies':>8}{'core-s':>9}{'ms a study':>12}{'peak MB':>9}{'wall s':>9}")
    for studies in arguments.studies:
        with tempfile.TemporaryDirectory(prefix="scale-") as place:
            make(Path(place), studies)
            for name in STEPS:
                words = [sys.executable, "-m", "tests.bench.scale", "--studies", str(studies), "--one", name, place]
                began = time.monotonic()
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                wall = time.monotonic() - began
                core_s, own, peak = json.loads(done.stdout.splitlines()[-1])
                each = 1000 * own / studies
                print(f"{name:<15}{studies:>8}{core_s:>9.2f}{each:>12.1f}{peak:>9.0f}{wall:>9.1f}", flush=True)
    return 0


def make(place: Path, studies: int) -> None:
    """One scan and one mask, under as many names as there are studies."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from small_study import write_ct, write_mask

    for folder, write in (("scans", write_ct), ("masks", write_mask)):
        (place / folder).mkdir()
        first = write(place / folder / "1.0.nii.gz")
        for number in range(1, studies):
            (place / folder / f"1.{number}.nii.gz").hardlink_to(first)


def step(name: str, place: Path, studies: int, folder: Path, where: str) -> int:
    """Prints core-seconds of this process, those without importing, and its peak memory in MB; returns an exit code."""
    from common.config import DataSettings
    from common.errors import PARTLY_FAILED
    from common.outputs.status import as_table, status
    from common.workers import cluster

    failed: dict[str, str] = {}

    if name != "status":
        import pandas as pd

        from common.dataset.competition import BOX_COLUMNS, UID
        from stage2_classify.crops.files import make_crops
        from stage2_classify.crops.masks import Masks
        from stage2_classify.settings import CropSettings

        boxes = pd.DataFrame(columns=[UID, *BOX_COLUMNS])
    began = time.process_time()
    uids = [f"1.{number}" for number in range(studies)]
    if name == "status":
        as_table(status(folder))
    else:
        from common.dataset.cache import CtCache

        data = DataSettings(run=folder, workers=1)
        images = {uid: place / "scans" / f"{uid}.nii.gz" for uid in uids}
        with cluster.use(where):
            if name == "cache":
                failed = CtCache(data.run / "cache").fill(images, workers=1)
            else:
                cohort = SimpleNamespace(images=images.get, boxes=lambda: boxes)
                masks = Masks(place / "masks", "merged")
                failed = make_crops(uids, data, masks, CropSettings(spacing_mm=4), "vertebra3d", cohort)
    own = time.process_time() - began
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own += children.ru_utime + children.ru_stime
    peak = largest_peak_mb()
    for uid, reason in failed.items():
        print(f"{uid}: {reason}")
    print(json.dumps([time.process_time() + children.ru_utime + children.ru_stime, own, peak]))
    return PARTLY_FAILED if failed else 0


if __name__ == "__main__":
    run(main)
