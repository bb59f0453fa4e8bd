"""The skull base: occiput with condyles, clivus, temporal bones with air cells, the brain above."""

import numpy as np

from common.phantom import tissues
from common.phantom.anatomy.column import Column
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.head_frame import HeadFrame
from common.phantom.painting.surroundings.shapes import capsule, ellipsoid, smooth_union
from common.phantom.painting.surroundings.texture import grain, smooth_field

JOINT_MM = 1.6
"""Cartilage between the condyles and C1's upper facets."""


def paint_skull(coarse: CoarseGrid, column: Column, person: Person) -> None:
    rng = person.stream("skull")
    head = HeadFrame.of(column, person)
    box = head.box(coarse, (-80, -100, -14), (80, 62, 80))
    if box is None:
        return
    points = head.points(coarse, box)
    x, y, z = points
    shape = x.shape
    noise = smooth_field(shape, 3.0 / coarse.step, rng)
    slow = smooth_field(shape, 9.0 / coarse.step, rng)
    side = np.abs(x)
    mirrored = [side, y, z]

    # the space for the brain: the cerebellum's two fossae and the vault above them
    fossa = ellipsoid(mirrored, (10, -38, 45), (48, 38, 31.5))
    vault = ellipsoid(points, (0, 0, 92), (68, 86, 66))
    cavity = smooth_union(fossa, vault, 14)
    foramen = ellipsoid([x, y, z * 0], (0, -13, 0), (15.5, 18.0, 1e3))
    thickness = 3.2 + 0.5 * slow + 6 * np.exp(-((x / 7) ** 2)) * np.clip((-y - 55) / 20, 0, 1)
    rim = np.abs(foramen - 3.5) - 3.0
    rim = smooth_union(cavity - thickness, np.maximum(rim, np.abs(z - 13.5) - 4.5), 6)
    clivus = capsule([x * 0.55, y, z], (0, 10, 18), (0, 26, 46), 6.0, 9.0)
    base = smooth_union(rim, clivus, 5)
    petrous = capsule(mirrored, (17, 16, 32), (56, -10, 29), 8.5, 12)
    mastoid = ellipsoid(mirrored, (52, -14, 14), (10, 14, 22)) + 0.8 * slow
    styloid = capsule(mirrored, (40, 2, 14), (33, 14, -16), 2.0, 1.1)
    wing = capsule(mirrored, (20, 32, 38), (60, 40, 46), 4, 6)
    temporal = np.minimum(smooth_union(petrous, mastoid, 8), np.minimum(styloid, wing))
    condyles = np.minimum(*(_condyle(head, column, points, name) for name in ("left", "right")))
    skull = smooth_union(smooth_union(base, condyles, 4), temporal, 4)
    way = np.maximum(foramen, np.abs(z - 8) - 22)
    skull = np.maximum(skull, np.maximum(-way, -cavity))
    skull *= np.float32(head.size)
    skull = _clear_of_column(coarse, column, box, skull)

    brain = np.minimum(cavity, ellipsoid(points, (0, -12, 14), (9, 7, 22)))
    coarse.paint(box, np.minimum(cavity, np.maximum(foramen + 3, -z + 6)) * np.float32(head.size), 12.0, tissues.BRAIN)
    coarse.paint(box, (brain + 2.5) * np.float32(head.size), 34 + 3 * grain(shape, rng), tissues.BRAIN)
    marrow = 380 + 110 * noise + 60 * grain(shape, rng)
    coarse.paint_bone(box, skull, 1.4, 1150.0, marrow, tissues.BONES["skull"])
    _paint_air_cells(coarse, person, box, temporal, mastoid, petrous, mirrored, rng)


def _condyle(head: HeadFrame, column: Column, points: list[np.ndarray], name: str) -> np.ndarray:
    """Sits on C1's upper facet, longer from front to back."""
    atlas = column.bones["C1"]
    seat = head.local(atlas.to_world(atlas.bone.landmarks[f"facet_superior_{name}"]))
    return ellipsoid(points, np.add(seat, (0, 1, 7)), (7.5, 11.5, 9.5))


def _clear_of_column(coarse: CoarseGrid, column: Column, box: tuple, skull: np.ndarray) -> np.ndarray:
    """Takes away what comes nearer to C1 or the dens than a joint's width."""
    for level, gap in (("C1", JOINT_MM), ("C2", 4.0)):
        posed = column.bones[level]
        low, high = posed.world_bounds()
        part = coarse.box(low - gap - 1, high + gap + 1)
        if part is None:
            continue
        part = tuple(slice(max(p.start, b.start), min(p.stop, b.stop)) for p, b in zip(part, box))
        if any(p.stop <= p.start for p in part):
            continue
        inner = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, box))
        view = skull[inner]
        close = view < 3
        if not close.any():
            continue
        x, y, z = np.broadcast_arrays(*coarse.points(part))
        local = posed.to_local(np.stack([x[close], y[close], z[close]], axis=-1))
        view[close] = np.maximum(view[close], gap - posed.bone.distance(local))
    return skull


def _paint_air_cells(
    coarse: CoarseGrid,
    person: Person,
    box: tuple,
    temporal: np.ndarray,
    mastoid: np.ndarray,
    petrous: np.ndarray,
    mirrored: list[np.ndarray],
    rng: np.random.Generator,
) -> None:
    """Mastoid cells, middle ear and ear canal."""
    inside = np.minimum(mastoid + 2.5, petrous + 3.5)
    lateral = np.maximum(inside, 34 - mirrored[0])
    cells = smooth_field(temporal.shape, 2.4 / coarse.step, rng)
    filled = rng.uniform(-0.35, 0.6)
    holes = np.maximum(lateral, (filled - np.abs(cells) * np.sign(cells + 0.8)) * 2.0)
    coarse.paint(box, holes.astype(np.float32), -820.0, tissues.AIR)
    canal = capsule(mirrored, (40, 4, 31), (72, 1, 30), 2.2, 3.0)
    coarse.paint(box, canal, -1000.0, tissues.AIR)
