"""What lies in the vertebral canal: epidural fat, the thecal sac and the spinal cord, up to the medulla."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from common.phantom import tissues
from common.phantom.anatomy.column import Column
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.elliptic_tube import ellipse_distance
from common.phantom.painting.surroundings.texture import grain

CORD = {"C1": (5.6, 4.3), "C2": (5.8, 4.2), "C3": (6.2, 4.0), "C4": (6.6, 4.0), "C5": (6.7, 3.9), "C6": (6.4, 3.8)}
CORD |= {"C7": (5.8, 3.6), "T1": (5.2, 3.5), "T2": (4.9, 3.4), "T3": (4.8, 3.4)}
"""Half width and half depth (mm) of the cord by level: MRI means of healthy adults, widest at C4-C5."""


def paint_canal(coarse: CoarseGrid, column: Column, person: Person) -> None:
    rng = person.stream("canal")
    rows = []
    for name, (cord_a, cord_b) in CORD.items():
        if name not in column.bones:
            continue
        posed = column.bones[name]
        x, y, z = posed.to_world(posed.bone.landmarks["canal"])
        wide, deep = posed.bone.size["canal_width"] / 2, posed.bone.size["canal_depth"] / 2
        sac = min(wide * 0.84, 11.5), min(deep * 0.82, 7.5)
        cord = min(cord_a * person.size, sac[0] * 0.72), min(cord_b * person.size, sac[1] * 0.72)
        rows.append((z, x, y, wide, deep, *sac, *cord))
    top = np.array(rows[0])
    up = column.bones["C1"].pose[:3, 2] * 30
    rows.insert(0, (top[0] + up[2], top[1] + up[0], top[2] + up[1] + 5, *top[3:]))
    lowest = 2 * np.array(rows[-1]) - np.array(rows[-2])
    lowest[3:] = rows[-1][3:]
    rows.append(tuple(lowest))
    table = np.array(rows)
    line = PchipInterpolator(table[::-1, 0], table[::-1, 1:], axis=0)

    reach = 16
    box = coarse.box(
        [table[:, 1].min() - reach, table[:, 2].min() - reach, table[-1, 0]],
        [table[:, 1].max() + reach, table[:, 2].max() + reach, table[0, 0]],
    )
    if box is None:
        return
    x, y, z = coarse.points(box)
    at = line(np.clip(z.ravel(), table[-1, 0], table[0, 0])).T.astype(np.float32)
    cx, cy, wide, deep, sac_a, sac_b, cord_a, cord_b = at
    shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
    noise = grain(shape, rng)
    layers = (
        (ellipse_distance(x, y, cx, cy, wide, deep), -65 + 14 * noise),
        (ellipse_distance(x, y, cx, cy + 0.2, sac_a + 0.9, sac_b + 0.9), 45 + 3 * noise),
        (ellipse_distance(x, y, cx, cy + 0.2, sac_a, sac_b), 12 + 3 * noise),
        (ellipse_distance(x, y, cx, cy + 0.3, cord_a, cord_b), 38 + 3 * noise),
    )
    for distance, hu in layers:
        coarse.paint(box, np.broadcast_to(distance, shape), hu, tissues.CANAL)
