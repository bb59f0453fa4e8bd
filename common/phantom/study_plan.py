"""Everything that is decided about a study before it is painted."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from common.labels import LEVELS, OVERALL
from common.outputs import store
from common.phantom.anatomy.person import Person, make_person, stream
from common.phantom.file_style import COMPRESSED, FileStyle, draw_style
from common.phantom.fractures.plan import FracturePlan, plan_fractures
from common.phantom.fractures.prevalence import draw_labels
from common.phantom.painting.bone_look import Look

UID_ROOT = "1.2.826.0.1.3680043"
UID_NUMBERS = 32768
"""Study UIDs are the root and a number below this one, as in the competition (more in a larger cohort)."""

SEGMENTED_SHARE = 0.45
"""Of the training studies; 4 % of the real ones, but a cohort is small."""
BOXED_SHARE = 0.75
"""Of the positive training studies; 24 % of the real ones."""
COMPRESSED_SHARE = 0.18

PRETRAINING_SHARE = 0.4
"""Chance of every level to be fractured in a pretraining cohort."""

AS_DICOM = "LPS"
SAGITTAL = ("LAI", "LAS", "PIR", "LSP")
"""Directions in which the axes of a segmentation file run, sagittal slices first or last."""

FIRST_TEST_STUDY = 1_000_000
"""Study number of the first test study; random streams go by the study number, training studies count from 0."""

TOP_CUT_LIMITS = {"C1": 0.3, "C2": 0.4}
BOTTOM_CUT_LIMITS = {"C7": 0.5, "C6": 0.75, "C5": 0.9}
"""Largest `Person.top_cut`, `bottom_cut` at which the whole of a level is in the scan; other levels always are."""


@dataclass(frozen=True)
class StudyPlan:
    """`split`: "train" or "test"; `seed`, `study`: of the random streams; `fractures`: by fractured level;
    `segmentation`: directions of the axes of its segmentation file, None when there is none; `has_boxes`: its
    fracture boxes are published; `bone`: how that looks (`painting.bone_look`)."""

    uid: str
    split: str
    seed: int
    study: int
    fractures: dict[str, tuple[FracturePlan, ...]]
    segmentation: str | None
    has_boxes: bool
    style: FileStyle
    bone: Look = "drawn"

    @property
    def must_show(self) -> tuple[str, ...]:
        """Levels that the scan has to cover: those fractured, and all when the study is a segmented training one."""
        return LEVELS if self.split == "train" and self.segmentation else tuple(self.fractures)

    def person(self, matrix: int) -> Person:
        """The subject, its scan long enough to show what it must."""
        person = make_person(self.seed, self.study, matrix)
        top = min([person.top_cut, *(TOP_CUT_LIMITS.get(level, 1.0) for level in self.must_show)])
        bottom = min([person.bottom_cut, *(BOTTOM_CUT_LIMITS.get(level, 1.0) for level in self.must_show)])
        return dataclasses.replace(person, top_cut=top, bottom_cut=bottom, bone=self.bone)

    def row(self) -> dict[str, str | int]:
        """The study's line of train.csv: 0/1 for patient_overall and C1..C7."""
        levels = {level: int(level in self.fractures) for level in LEVELS}
        return {"StudyInstanceUID": self.uid, OVERALL: max(levels.values()), **levels}

    def digest(self) -> str:
        return store.digest_value(dataclasses.asdict(self))


def plan_cohort(
    studies: int, test_studies: int, seed: int, pretraining: bool = False, bone: Look = "drawn"
) -> list[StudyPlan]:
    """Plans of `studies` training studies, then `test_studies` test studies; a pure function of its arguments.

    `pretraining`: for learning what fractures look like, not how often there are any: every level is fractured with
    PRETRAINING_SHARE by itself, and all studies have segmentations and boxes. `bone`: how their bone looks.
    """
    rng = stream(seed, 0, "cohort")
    total = studies + test_studies
    numbers = rng.choice(np.arange(1, max(UID_NUMBERS, 2 * total)), total, replace=False)
    if pretraining:
        labels = (rng.random((total, len(LEVELS))) < PRETRAINING_SHARE).astype(int)
    else:
        labels = np.concatenate([draw_labels(studies, rng), draw_labels(test_studies, rng)])
    training = np.arange(total) < studies
    segmented = _share(training, 1.0 if pretraining else SEGMENTED_SHARE, rng)
    boxed = _share(training & labels.any(axis=1), 1.0 if pretraining else BOXED_SHARE, rng)
    sagittal = _share(segmented, 0.5, rng) | _share(~training, 0.5, rng)
    compressed = np.flatnonzero(_share(np.ones(total, bool), COMPRESSED_SHARE, rng))
    syntaxes = {int(index): COMPRESSED[k % len(COMPRESSED)] for k, index in enumerate(rng.permutation(compressed))}

    plans = []
    for index in range(total):
        study = index if training[index] else FIRST_TEST_STUDY + index - studies
        draws = stream(seed, study, "plan")
        direction = str(draws.choice(SAGITTAL)) if sagittal[index] else AS_DICOM
        plans.append(
            StudyPlan(
                uid=f"{UID_ROOT}.{numbers[index]}",
                split="train" if training[index] else "test",
                seed=seed,
                study=study,
                fractures={
                    level: tuple(plan_fractures(level, stream(seed, study, f"fracture {level}")))
                    for level, broken in zip(LEVELS, labels[index])
                    if broken
                },
                segmentation=direction if segmented[index] or not training[index] else None,
                has_boxes=bool(boxed[index]),
                style=draw_style(syntaxes.get(index), draws),
                bone=bone,
            )
        )
    return plans


def _share(among: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mask (N,) of a random `share` of the studies marked in `among` (N,), rounded to a whole number."""
    candidates = rng.permutation(np.flatnonzero(among))
    chosen = np.zeros(len(among), dtype=bool)
    chosen[candidates[: round(share * len(candidates))]] = True
    return chosen
