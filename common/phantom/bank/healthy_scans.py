"""`python -m common.phantom.bank.healthy_scans`: healthy necks in fine voxels, with masks, as stage 2's
`grounds.folder` wants them: fractures are drawn into them there (docs/real_bone.md)."""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from common.commandline import check_least, run
from common.errors import ConfigError
from common.outputs import store
from common.outputs.own_files import run_outputs_at
from common.outputs.schema import HEALTHY_NECK
from common.phantom.anatomy.person import Person
from common.phantom.bank.files import SubjectPlan, fine_rest, plan_bank
from common.phantom.bank.mesh.atlas_table import provenance_of
from common.phantom.make_in_parallel import add_atlas, make_each, parser_of, say_what_was_made
from common.phantom.render import render
from common.phantom.study import generator_digest
from common.phantom.study_plan import AS_DICOM, StudyPlan, plan_cohort
from common.progress import progress
from common.reading.nifti import write_nifti
from common.volume import Volume
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


@dataclass(frozen=True)
class MeshPlan(HealthyPlan):
    """The same of a person made of meshes (`anatomy`, docs/atlas.md), with bone like real bone."""

    anatomy: SubjectPlan = field(kw_only=True)

    def digest(self) -> str:
        """The same wherever the meshes lie."""
        values = dataclasses.asdict(self)
        del values["anatomy"]["atlases"]
        return store.digest_value(values)


def plan_healthy(scans: int, seed: int, voxel_mm: float) -> list[HealthyPlan]:
    """The persons of a cohort of this seed, healthy; a pure function of its arguments."""
    plans = []
    for plan in plan_cohort(scans, 0, seed):
        own = _values(plan)
        own |= {"fractures": {}, "segmentation": AS_DICOM, "has_boxes": False, "voxel_mm": voxel_mm}
        plans.append(HealthyPlan(**own))
    return plans


def _values(plan: StudyPlan) -> dict[str, Any]:
    return {part.name: getattr(plan, part.name) for part in dataclasses.fields(plan)}


def plan_of_meshes(scans: int, seed: int, voxel_mm: float, atlases: list[Path]) -> list[MeshPlan]:
    """As many persons of each atlas in turn, scanned as the healthy ones of this seed are."""
    subjects = plan_bank(scans, seed, atlases, [*[1 / len(atlases)] * len(atlases), 0.0])
    plans = []
    for plan, subject in zip(plan_healthy(scans, seed, voxel_mm), subjects):
        own = _values(plan) | {"bone": "real", "anatomy": subject}
        plans.append(MeshPlan(**own))
    return plans


def make_scans(out: Path, plans: Sequence[HealthyPlan], workers: int) -> tuple[int, dict[str, str]]:
    """out/scans/<name>.nii.gz (int16 HU) and out/masks/<name>.nii.gz (1..7 = C1..C7, 8 = thoracic), those that aren't
    current; returns how many were made now, and name -> what went wrong."""
    missing = [plan for plan in plans if not all(_is_made(path, plan) for path in paths(out, plan))]
    jobs = {paths(out, plan)[0].name: (out, plan) for plan in missing}
    failed = {n: why for n, why in progress(make_each(make_scan, jobs, workers, out / LOG), len(jobs), "scans") if why}
    return len(missing) - len(failed), failed


def make_scan(out: Path, plan: HealthyPlan) -> None:
    """Makes one scan and its mask."""
    ct, labels = picture(plan)
    mask = labels.with_array(np.minimum(labels.array, THORACIC))
    for path, volume in zip(paths(out, plan), (ct, mask)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with run_outputs_at([path]):
            write_nifti(volume, path)
            store.write_record(path, _provenance(plan), HEALTHY_NECK)


def picture(plan: HealthyPlan) -> tuple[Volume, Volume]:
    """A plan's scan, int16 HU, and its labels, uint8 with 1..7 = C1..C7, 8.. = T1.., on one grid (X, Y, Z)."""
    matrix = round(FIELD_MM / plan.voxel_mm)
    if isinstance(plan, MeshPlan):
        from common.phantom.bank.mesh.fine_neck import make_neck

        return make_neck(fine_rest(plan.anatomy.atlases), plan.anatomy.seed, plan.person(matrix), matrix)
    rendered = render(plan, matrix)
    return rendered.ct, rendered.labels


def paths(out: Path, plan: HealthyPlan) -> tuple[Path, Path]:
    """Where a plan's scan and its mask lie."""
    kind = "healthy_mesh" if isinstance(plan, MeshPlan) else "healthy"
    name = f"{kind}_{plan.seed}_{plan.study:04d}.nii.gz"
    return out / "scans" / name, out / "masks" / name


def _is_made(path: Path, plan: HealthyPlan) -> bool:
    return store.is_current(path, _provenance(plan), HEALTHY_NECK)


def _provenance(plan: HealthyPlan) -> dict[str, Any]:
    record: dict[str, Any] = {"plan": plan.digest(), "generator": generator_digest()}
    if isinstance(plan, MeshPlan):
        record["atlases"] = [provenance_of(where) for where in plan.anatomy.atlases]
        record["painter"] = _painter_digest()
    return record


@cache
def _painter_digest() -> str:
    """Digest of the source files that a neck of meshes comes from beside the generator's."""
    sources = sorted((Path(__file__).parent / "mesh").glob("*.py"))
    return store.digest_value([(path.name, store.digest_file(path)) for path in sources])


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of(
        "common.phantom.bank.healthy_scans",
        "Makes healthy synthetic scans in fine voxels with masks: OUT/scans and OUT/masks.",
        "processes, 2 GB each at 0.4 mm",
    )
    parser.add_argument("--scans", type=int, default=10, help="how many (%(default)s)")
    add_atlas(parser)
    parser.add_argument("--voxel-mm", type=float, default=0.4, metavar="MM", help="edge of a voxel (%(default)s)")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    arguments = parse_arguments(words)
    check_least(arguments, scans=1, seed=0, workers=1)
    low, high = VOXEL_MM
    if not low <= arguments.voxel_mm <= high:
        raise ConfigError(f"--voxel-mm {arguments.voxel_mm}: expected {low} to {high} mm")
    asked = arguments.scans, arguments.seed, arguments.voxel_mm
    plans: Sequence[HealthyPlan]
    plans = plan_of_meshes(*asked, arguments.atlas) if arguments.atlas else plan_healthy(*asked)
    made, failed = make_scans(arguments.out, plans, arguments.workers)
    return say_what_was_made(arguments.out, "scans", len(plans), made, failed)


if __name__ == "__main__":
    run(main)
