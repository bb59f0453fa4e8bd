"""From a plan to the picture of a study and its truth."""

from dataclasses import dataclass

import numpy as np

from common.errors import StudyError
from common.labels import LEVEL_IDS
from common.phantom.anatomy.column import Column, PosedBone
from common.phantom.anatomy.person import Person
from common.phantom.anatomy.posture import make_column
from common.phantom.fractures.breaking import CrossingDistance, fracture_bone
from common.phantom.fractures.mimics import add_lookalikes, paint_sclerosis
from common.phantom.fractures.paint import paint_crossings, paint_impaction
from common.phantom.fractures.plan import FracturePlan
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.spine import paint_column
from common.phantom.painting.surroundings import paint_surroundings
from common.phantom.scanner import scan, scan_grid
from common.phantom.study_plan import StudyPlan
from common.volume import Volume


@dataclass(frozen=True, eq=False)
class Rendered:
    """One grid (X, Y, Z). `ct`: int16 HU; `labels`: uint8, 1..7 = C1..C7, 8.. = T1..; `crossing`: uint8, the level
    id where a fracture crosses its bone."""

    ct: Volume
    labels: Volume
    crossing: Volume


def render(plan: StudyPlan, matrix: int) -> Rendered:
    """Paints the study on `matrix` x `matrix` axial slices; a pure function of its arguments.

    Raises StudyError when the scan doesn't show a level that it must.
    """
    person = plan.person(matrix)
    column, breaks = _with_findings(make_column(person), plan, person)
    canvas = Canvas.filled(scan_grid(column, person, matrix))
    paint_surroundings(canvas, column, person)
    paint_column(canvas, column, person)
    for level, posed in column.bones.items():
        paint_sclerosis(canvas, posed, person.stream(f"sclerosis {level}"))
    for fracture, crossing in breaks:
        posed = column.bones[fracture.level]
        paint_impaction(canvas, posed, fracture)
        paint_crossings(canvas, posed, crossing, LEVEL_IDS[fracture.level])
    _check_shown(plan, canvas)
    arrays = scan(canvas, person), canvas.labels, canvas.crossing
    return Rendered(*(Volume(array, canvas.grid.affine) for array in arrays))


def _with_findings(
    column: Column, plan: StudyPlan, person: Person
) -> tuple[Column, list[tuple[FracturePlan, CrossingDistance]]]:
    """The column with look-alikes in its bones and the planned fractures; where each fracture crosses its bone."""
    bones, breaks = {}, []
    for level, posed in column.bones.items():
        bone = add_lookalikes(posed.bone, person.stream(f"lookalikes {level}"))
        for fracture in plan.fractures.get(level, ()):
            bone, crossing = fracture_bone(bone, fracture)
            breaks.append((fracture, crossing))
        bones[level] = PosedBone(bone, posed.pose)
    return Column(bones), breaks


def _check_shown(plan: StudyPlan, canvas: Canvas) -> None:
    shown, crossed = (set(np.unique(ids[ids > 0]).tolist()) for ids in (canvas.labels, canvas.crossing))
    unseen = [level for level in plan.must_show if LEVEL_IDS[level] not in shown]
    unbroken = [level for level in plan.fractures if LEVEL_IDS[level] not in crossed]
    if unseen or unbroken:
        raise StudyError(
            f"study {plan.uid}: the picture shows no {', '.join(unseen) or 'fracture of ' + ', '.join(unbroken)}, "
            f"which its labels claim; this is a fault of the generator (seed {plan.seed}, study {plan.study})"
        )
