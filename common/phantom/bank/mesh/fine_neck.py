"""One subject of an atlas in HU: soft tissue from coarse codes, bones from their surfaces, the scanner after them."""

import dataclasses

import numpy as np

from common.errors import StudyError
from common.labels import LEVELS
from common.phantom.anatomy.person import Person
from common.phantom.bank.mesh.atlas_table import Part
from common.phantom.bank.mesh.bone_distance import BoneField
from common.phantom.bank.mesh.paint_bones import BodyFrame, FineBone, paint_bones
from common.phantom.bank.mesh.paint_soft_tissue import paint_soft_tissue
from common.phantom.bank.mesh.rest_pose import RestPose
from common.phantom.bank.mesh.subject import Subject
from common.phantom.painting.canvas import Canvas
from common.phantom.scanner import scan, scan_grid
from common.phantom.tissues import BONES, LEVEL_CODES, VERTEBRA
from common.volume import Volume

BENT = 0.6
"""Of the bank's postures, which range as wide as people's do; a neck in a scanner lies straighter."""
SPARE_MM = 12.0
"""Of codes above and below the scan."""
CORTEX_MM = {
    VERTEBRA: (0.8, 1.1),
    "skull": (1.3, 1.3),
    "mandible": (1.9, 1.9),
    "rib": (1.0, 1.0),
    "bone": (1.4, 1.4),
    "hyoid": (1.1, 1.1),
    "tooth": (1.2, 1.2),
}
"""Of a vertebra's body and of its arch, of an adult of mean size; other bones have one for all."""
ARCHED = {"C1": 1.25, "C2": 1.1}
"""By how much the cortex of a level is thicker than that of the others."""


def make_neck(rest: RestPose, seed: int, person: Person, matrix: int) -> tuple[Volume, Volume]:
    """A scan (int16 HU) and its labels (uint8, 1..7 = C1..C7, 8.. = T1..) on one grid of `matrix` x `matrix` columns,
    axes R, A, S, about the spine of the seed's subject. Its voxels, reach, noise and kernel are `person`'s; so are its
    age and fat. Raises StudyError when one of C1..C7 lies outside of it.
    """
    subject = Subject.drawn(rest, seed, BENT)
    person = dataclasses.replace(person, size=subject.body.size, degeneration=subject.body.degeneration)
    grid = scan_grid(subject, person, matrix)
    canvas = Canvas.filled(grid)
    bottom = float(grid.affine[2, 3])
    codes = subject.tissues(bottom - SPARE_MM, bottom + grid.shape[2] * float(grid.spacing[2]) + SPARE_MM)
    paint_soft_tissue(canvas, codes, person)
    field, bones = _lay_bones(canvas, subject, person)
    paint_bones(canvas, field, bones, person)
    unseen = [level for level in LEVELS if not (canvas.labels == LEVEL_CODES[level]).any()]
    if unseen:
        raise StudyError(f"meshes, seed {seed}: the picture shows no {', '.join(unseen)}, which has to be in it")
    return Volume(scan(canvas, person), grid.affine), Volume(canvas.labels, grid.affine)


def _lay_bones(canvas: Canvas, subject: Subject, person: Person) -> tuple[BoneField, list[FineBone]]:
    field = BoneField.empty(canvas.grid)
    bones = []
    for part, vertices in zip(subject.rest.parts, subject.moved):
        if part.tissue in (VERTEBRA, "tooth", *BONES):
            number = field.lay(f"{part.tissue} {part.level}", vertices, part.faces, part.tissue != VERTEBRA)
            if number:
                bones.append(_bone(number, part, subject, person))
    return field, bones


def _bone(number: int, part: Part, subject: Subject, person: Person) -> FineBone:
    strong = float(np.clip(1.05 * person.size - 0.004 * max(person.age - 50, 0), 0.7, 1.3)) * ARCHED.get(part.level, 1)
    body, arch = (strong * mm for mm in CORTEX_MM[part.tissue])
    if part.tissue != VERTEBRA:
        return FineBone(number, part.tissue, 0, (body, arch))
    return FineBone(number, part.tissue, LEVEL_CODES[part.level], (body, arch), _body_frame(part.level, subject))


def _body_frame(level: str, subject: Subject) -> BodyFrame:
    """From where the level's bone lies in the subject: its middle, its axes and how far its front is from it."""
    to_local = subject.to_frame(level)
    if level == LEVELS[0]:
        return BodyFrame(to_local, 0.0, 0.0, 0.0)
    local = subject.vertebra(level) @ to_local[:, :3].T + to_local[:, 3]
    depth = float(np.percentile(local[np.abs(local[:, 0]) < 4, 1], 99))
    middle = local[(np.abs(local[:, 0]) < 4) & (np.abs(local[:, 1]) < 0.6 * depth)]
    height = float(np.percentile(middle[:, 2], 98) - np.percentile(middle[:, 2], 2)) / 2 if len(middle) else 0.8 * depth
    return BodyFrame(to_local, 1.35 * depth, depth, min(height, 0.95 * depth))
