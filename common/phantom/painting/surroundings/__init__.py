"""Everything of the neck that isn't a vertebra or a disc.

In: where the bones stand, the subject's random numbers.
Out: painted on the `Canvas`.
Start reading: neck.py.
"""

from common.phantom.anatomy.column import Column
from common.phantom.anatomy.person import Person
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.surroundings.airway import paint_throat
from common.phantom.painting.surroundings.canal import paint_canal
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.equipment import paint_equipment, paint_tubes
from common.phantom.painting.surroundings.face import paint_face
from common.phantom.painting.surroundings.head_frame import HeadFrame
from common.phantom.painting.surroundings.muscles import paint_muscles
from common.phantom.painting.surroundings.neck import Neck
from common.phantom.painting.surroundings.skin import paint_skin_and_fat
from common.phantom.painting.surroundings.skull import paint_skull
from common.phantom.painting.surroundings.thorax import paint_thorax
from common.phantom.painting.surroundings.vessels import paint_vessels


def paint_surroundings(canvas: Canvas, column: Column, person: Person) -> None:
    """Lays the neck's soft tissue, the skull, the chest and the table on an empty (air) canvas, HU only; the
    vertebrae and discs come over it. Distances are evaluated on lattices coarser than the canvas."""
    soft = CoarseGrid(canvas, 1.5, 2.0)
    neck = Neck(soft, column, person)
    skin, fat = paint_skin_and_fat(soft, neck, HeadFrame.of(column, person), person)
    paint_muscles(soft, neck, person, skin, fat)
    paint_thorax(soft, neck, person)
    paint_canal(soft, column, person)
    paint_throat(soft, neck, person)
    paint_vessels(soft, neck, column, person)
    bony = CoarseGrid(canvas, 1.4, 1.6)
    paint_skull(bony, column, person)
    paint_face(bony, column, person)
    paint_tubes(soft, neck, person)
    paint_equipment(soft, neck, person, skin)
