"""A bank of anatomies on disk: which subjects there are to be, and their files."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from common.errors import ConfigError, OutputError
from common.outputs import store
from common.outputs.own_files import run_outputs_at
from common.outputs.schema import BANK_SUBJECT
from common.phantom.bank.mesh.atlas_table import find_table, provenance_of, read_atlas
from common.phantom.bank.mesh.rest_pose import RestPose, make_rest_pose
from common.phantom.bank.mesh.transplant import transplant
from common.phantom.make_in_parallel import make_each
from common.progress import progress
from common.reading.nifti import write_nifti
from common.volume import Volume
from common.workers.failing import LOG

ANALYTIC = "analytic"


@dataclass(frozen=True)
class SubjectPlan:
    """One subject: where its anatomy comes from (`source`: an atlas' name or ANALYTIC) and its seed.
    `atlases`: its own atlas and, when that has vertebrae alone, the one whose surroundings it takes."""

    number: int
    seed: int
    source: str
    atlases: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.source}_{self.number:04d}"


def shares_of(text: str | None, atlases: list[Path]) -> list[float]:
    """`--shares` as numbers, one for each atlas and one for the drawn anatomy, which sum to 1."""
    if text is None:
        shares = [2.0, *[1.0] * (len(atlases) - 1), 1.0] if atlases else [1.0]
    else:
        try:
            shares = [float(part) for part in text.split(",")]
        except ValueError as error:
            raise ConfigError(f"--shares {text}: expected numbers with commas between them, such as 2,1,1") from error
    if len(shares) != len(atlases) + 1 or min(shares) < 0 or sum(shares) <= 0:
        raise ConfigError(
            f"--shares {text}: {len(shares)} numbers for {len(atlases)} atlases; expected one for each atlas and one "
            "more for the drawn anatomy, none below 0"
        )
    return [share / sum(shares) for share in shares]


def plan_bank(subjects: int, seed: int, atlases: list[Path], shares: list[float]) -> list[SubjectPlan]:
    """Shares are kept over any run of subjects: each goes to the source that lags most behind its share.

    Raises ConfigError when a table or a mesh isn't there, or two atlases have the same name.
    """
    names = [atlas_name(where) for where in atlases]
    if len(set(names)) < len(names):
        raise ConfigError(f"--atlas: {', '.join(names)}: two of the same name; rename a table or folder")
    whole = [where for where in atlases if _has_skin(where)]
    if atlases and not whole:
        raise ConfigError(f"--atlas {', '.join(map(str, atlases))}: none has a skin; add one that does (docs/atlas.md)")
    counts, plans = np.zeros(len(shares)), []
    for number in range(subjects):
        k = int(np.argmax(np.array(shares) * (number + 1) - counts))
        counts[k] += 1
        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        if k == len(atlases):
            plans.append(SubjectPlan(number, own, ANALYTIC))
        else:
            used = (atlases[k],) if atlases[k] in whole else (atlases[k], whole[0])
            plans.append(SubjectPlan(number, own, names[k], used))
    return plans


def atlas_name(where: Path) -> str:
    table, folder = find_table(where)
    return folder.resolve().name if table.stem == "atlas" else table.stem


def _has_skin(where: Path) -> bool:
    from common.phantom.bank.mesh.atlas_table import read_table

    rows, _ = read_table(*find_table(where))
    return bool((rows.tissue == "skin").any())


def make_bank(out: Path, plans: list[SubjectPlan], workers: int) -> tuple[int, dict[str, str]]:
    """Makes what is missing; returns how many subjects were made now and what went wrong by name. Subjects of an
    earlier plan are removed. Raises OutputError when `out` holds NIfTI files that weren't made here."""
    _remove_others(out, {plan.name for plan in plans})
    atlases = {where: provenance_of(where) for plan in plans for where in plan.atlases}
    missing = [plan for plan in plans if not store.is_current(_file(out, plan), _record(plan, atlases), BANK_SUBJECT)]
    jobs = {plan.name: (out, plan, _record(plan, atlases)) for plan in missing}
    failures = dict(progress(make_each(make_one, jobs, workers, out / LOG), len(jobs), "anatomies"))
    failures = {name: reason for name, reason in failures.items() if reason}
    return len(missing) - len(failures), failures


def make_one(out: Path, plan: SubjectPlan, record: dict) -> None:
    """Makes one subject's `<name>.nii.gz` and `<name>.json` in `out`."""
    volume, lowest = build(plan)
    path = _file(out, plan)
    about = {"source": plan.source, "seed": plan.seed, "lowest": lowest}
    with run_outputs_at([path]):
        write_nifti(volume, path)
        store.write_json(path.with_name(f"{plan.name}.json"), about)
        store.write_record(path, record, BANK_SUBJECT)


def build(plan: SubjectPlan) -> tuple[Volume, str]:
    """The subject's tissue codes and its lowest whole vertebra."""
    if plan.source == ANALYTIC:
        from common.phantom.bank.analytic_subject import make_analytic

        return make_analytic(plan.seed)
    from common.phantom.bank.mesh.subject import make_subject

    return make_subject(_rest(plan.atlases), plan.seed)


@cache
def _rest(atlases: tuple[Path, ...]) -> RestPose:
    if len(atlases) == 1:
        return make_rest_pose(read_atlas(atlases[0]))
    return make_rest_pose(transplant(read_atlas(atlases[0]), read_atlas(atlases[1])))


@cache
def fine_rest(atlases: tuple[Path, ...]) -> RestPose:
    """A plan's atlas ready to be posed, its bones smooth enough for fine voxels."""
    from common.phantom.bank.mesh.smooth_surface import with_smooth_bones

    return with_smooth_bones(_rest(atlases))


def _file(out: Path, plan: SubjectPlan) -> Path:
    return out / f"{plan.name}.nii.gz"


def _record(plan: SubjectPlan, atlases: dict) -> dict:
    return {"seed": plan.seed, "source": plan.source, "atlases": [atlases[w] for w in plan.atlases]}


def _remove_others(out: Path, wanted: set[str]) -> None:
    for path in sorted(out.glob("*.nii.gz")):
        if not store.record_path(path).exists():
            raise OutputError(f"{path}: not made by this program; choose another folder as --out")
        if (name := path.name.removesuffix(".nii.gz")) not in wanted:
            for file in (path, store.record_path(path), path.with_name(f"{name}.json")):
                file.unlink(missing_ok=True)
