"""`python -m common.phantom.bank.healthy_scans`: healthy necks in fine voxels, with masks, as stage 2's
`grounds.folder` wants them: fractures are drawn into them there (docs/real_bone.md)."""

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.commandline import check_least, run
from common.errors import ConfigError
from common.outputs import store
from common.outputs.own_files import run_outputs_at
from common.outputs.schema import PHANTOM_STUDY
from common.phantom.anatomy.person import Person
from common.phantom.make_in_parallel import make_each, parser_of, say_what_was_made
from common.phantom.render import render
from common.phantom.study import generator_digest
from common.phantom.study_plan import AS_DICOM, StudyPlan, plan_cohort
from common.progress import progress
from common.reading.nifti import write_nifti
from common.workers.failing import LOG

FIELD_MM = 160.0
DOSE = 25.0
"""So much that noise is a fifth of the usual: the virtual scanners of stage 2 add theirs."""
VOXEL_MM = (0.2, 2.0)
THORACIC = 8
"""The value of all thoracic vertebrae in a mask of stage 1's scheme."""


@dataclass(frozen=True)
class HealthyPlan(StudyPlan):
    """A study of cubic voxels without a fracture, contrast or metal, in which all levels are seen."""

    voxel_mm: float = 0.4

    def person(self, matrix: int) -> Person:
        voxel = self.voxel_mm
        person = super().person(matrix)
        return dataclasses.replace(person, pixel_mm=voxel, slice_mm=voxel, dose=DOSE, contrast=0.0, metal=False)


def plan_healthy(scans: int, seed: int, voxel_mm: float) -> list[HealthyPlan]:
    """The persons of a cohort of this seed, healthy; a pure function of its arguments."""
    plans = []
    for plan in plan_cohort(scans, 0, seed):
        own = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)}
        own |= {"fractures": {}, "segmentation": AS_DICOM, "has_boxes": False, "voxel_mm": voxel_mm}
        plans.append(HealthyPlan(**own))
    return plans


def make_scans(out: Path, plans: list[HealthyPlan], workers: int) -> tuple[int, dict[str, str]]:
    """out/scans/<name>.nii.gz (int16 HU) and out/masks/<name>.nii.gz (1..7 = C1..C7, 8 = thoracic), those that aren't
    current; returns how many were made now, and name -> what went wrong."""
    missing = [plan for plan in plans if not all(_is_made(path, plan) for path in paths(out, plan))]
    jobs = {paths(out, plan)[0].name: (out, plan) for plan in missing}
    failed = {n: why for n, why in progress(make_each(make_scan, jobs, workers, out / LOG), len(jobs), "scans") if why}
    return len(missing) - len(failed), failed


def make_scan(out: Path, plan: HealthyPlan) -> None:
    """Makes one scan and its mask."""
    rendered = render(plan, round(FIELD_MM / plan.voxel_mm))
    mask = rendered.labels.with_array(np.minimum(rendered.labels.array, THORACIC))
    for path, volume in zip(paths(out, plan), (rendered.ct, mask)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with run_outputs_at([path]):
            write_nifti(volume, path)
            store.write_record(path, _provenance(plan), PHANTOM_STUDY)


def paths(out: Path, plan: HealthyPlan) -> tuple[Path, Path]:
    """Where a plan's scan and its mask lie."""
    name = f"healthy_{plan.seed}_{plan.study:04d}.nii.gz"
    return out / "scans" / name, out / "masks" / name


def _is_made(path: Path, plan: HealthyPlan) -> bool:
    return store.is_current(path, _provenance(plan), PHANTOM_STUDY)


def _provenance(plan: HealthyPlan) -> dict[str, Any]:
    return {"plan": plan.digest(), "generator": generator_digest()}


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of(
        "common.phantom.bank.healthy_scans",
        "Makes healthy synthetic scans in fine voxels with masks: OUT/scans and OUT/masks.",
        "processes, 2 GB each at 0.4 mm",
    )
    parser.add_argument("--scans", type=int, default=10, help="how many (%(default)s)")
    parser.add_argument("--voxel-mm", type=float, default=0.4, metavar="MM", help="edge of a voxel (%(default)s)")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    arguments = parse_arguments(words)
    check_least(arguments, scans=1, seed=0, workers=1)
    low, high = VOXEL_MM
    if not low <= arguments.voxel_mm <= high:
        raise ConfigError(f"--voxel-mm {arguments.voxel_mm}: expected {low} to {high} mm")
    plans = plan_healthy(arguments.scans, arguments.seed, arguments.voxel_mm)
    made, failed = make_scans(arguments.out, plans, arguments.workers)
    return say_what_was_made(arguments.out, "scans", len(plans), made, failed)


if __name__ == "__main__":
    run(main)
