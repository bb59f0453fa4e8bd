"""HU of bones whose surfaces are known to a fraction of a voxel: a cortex of some depth, textured marrow, joints."""

from dataclasses import dataclass

import numpy as np

from common.phantom.anatomy.person import Person
from common.phantom.anatomy.signed_distance import squircle
from common.phantom.bank.mesh.bone_distance import BoneField
from common.phantom.bank.mesh.voxelise import Window
from common.phantom.painting.bone_density import BoneDensity
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.marrow import make_marrow, marrow_at

JOINT_MM = (0.9, 1.5)
"""Least width of a joint, of the worn and of the healthy."""
CARTILAGE_HU = 75.0
CARTILAGE_MM = (2.5, 4.0)
"""Between two bones: up to so much it is all cartilage and ligament, from so much on none."""
ENAMEL_HU, DENTINE_HU = 2300.0, 1500.0


@dataclass(frozen=True, eq=False)
class BodyFrame:
    """Where a vertebra's body lies: `to_local` (3, 4), world RAS mm -> its own mm (right, anterior, up, from the
    body's middle); half its `width`, `depth` and `height` mm, all 0 for C1."""

    to_local: np.ndarray
    width: float
    depth: float
    height: float

    def local(self, world: np.ndarray) -> np.ndarray:
        return (world @ self.to_local[:, :3].T + self.to_local[:, 3]).astype(np.float32)

    def inside(self, local: np.ndarray) -> np.ndarray:
        """0..1 (N,): how much points (N, 3) belong to the body rather than to the arch."""
        if not self.height:
            return np.zeros(len(local), np.float32)
        x, y, z = local.T
        outside = squircle(x, y, self.width, self.depth, 0.4)
        above = np.abs(z) - np.float32(self.height + 1)
        return np.clip(0.5 - np.maximum(outside, above) / 4, 0, 1)


@dataclass(frozen=True, eq=False)
class FineBone:
    """One surface of a `BoneField`: `label` 1.. of a vertebra, else 0; `kind`: "vertebra", "skull", "tooth" ..;
    `cortex_mm` of the body and of the arch."""

    number: int
    kind: str
    label: int
    cortex_mm: tuple[float, float]
    frame: BodyFrame | None = None


def paint_bones(canvas: Canvas, field: BoneField, bones: list[FineBone], person: Person) -> None:
    """Paints joints, then bones over them, into `canvas.hu`; ids into `canvas.labels` where more than half of a voxel
    is a vertebra."""
    marrow = make_marrow(person.stream("marrow"))
    gap = JOINT_MM[1] + (JOINT_MM[0] - JOINT_MM[1]) * person.degeneration
    for bone in bones:
        _paint_joint(canvas, field, bone, field.windows[bone.number - 1])
    for bone in bones:
        _paint_bone(canvas, field, bone, field.windows[bone.number - 1], gap, person, marrow)


def _paint_joint(canvas: Canvas, field: BoneField, bone: FineBone, window: Window) -> None:
    mine = field.owner[window] == bone.number
    apart = sum(np.maximum(away[window][mine], 0).astype(np.float32) for away in (field.nearest, field.second))
    share = np.clip((CARTILAGE_MM[1] - apart) / (CARTILAGE_MM[1] - CARTILAGE_MM[0]), 0, 1)
    view = canvas.hu[window]
    view[mine] += share * (CARTILAGE_HU - view[mine])


def _paint_bone(
    canvas: Canvas,
    field: BoneField,
    bone: FineBone,
    window: Window,
    gap: float,
    person: Person,
    marrow: np.ndarray,
) -> None:
    distance = field.depth(window, gap)
    where = np.nonzero((field.owner[window] == bone.number) & (distance < canvas.grid.spacing[0]))
    if not len(where[0]):
        return
    distance = distance[where]
    first = [side.start for side in window]
    world = np.stack([at + start for at, start in zip(where, first)], axis=1) * canvas.grid.spacing
    world = (world + canvas.grid.affine[:3, 3]).astype(np.float32)
    hu = _tooth(distance) if bone.kind == "tooth" else _bone_hu(bone, distance, world, person, marrow, canvas)
    cover = canvas.cover(distance)
    view = canvas.hu[window]
    view[where] += cover * (hu - view[where])
    if bone.label:
        labels = canvas.labels[window]
        labels[where] = np.where(cover > 0.5, bone.label, labels[where])


def _tooth(distance: np.ndarray) -> np.ndarray:
    return np.where(distance > -1.2, np.float32(ENAMEL_HU), np.float32(DENTINE_HU))


def _bone_hu(
    bone: FineBone, distance: np.ndarray, world: np.ndarray, person: Person, marrow: np.ndarray, canvas: Canvas
) -> np.ndarray:
    """HU (N,) that the bone would have at points if they were all bone."""
    texture, slow = marrow_at(marrow, world), marrow_at(marrow, world * np.float32(0.31) + 17)
    density = BoneDensity.of(person, f"{bone.kind} {bone.label}")
    body: np.ndarray | float = 0.0
    if bone.frame is not None:
        local = bone.frame.local(world)
        body = bone.frame.inside(local)
    inside = density.marrow(body, texture, slow)
    if bone.frame is not None and bone.frame.height:
        ends = np.clip((np.abs(local[:, 2]) - bone.frame.height + 4.0) / 4.0, 0, 1)
        inside += body * ends * ends * (70 + 160 * person.degeneration * ends)
    cortex_mm = bone.cortex_mm[1] + (bone.cortex_mm[0] - bone.cortex_mm[1]) * body
    edge = float(canvas.grid.spacing[0])
    return density.in_cortex(inside, distance, cortex_mm, body, texture, slow, edge)
