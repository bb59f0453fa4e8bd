"""A vertebra of a subject: its shape in its own frame, and where that frame stands in the world."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.phantom.anatomy.signed_distance import Distance


@dataclass(frozen=True, eq=False)
class Bone:
    """One vertebra in its own frame: axes x right, y anterior, z superior along the vertebra's own axis, mm,
    the origin at the centre of the vertebral body (C1: the centre of the dens' place behind the anterior arch).

    `distance`: local points -> signed distance to the outer surface of the bone.
    `landmarks`: name -> local point (3,). Every level has pedicle_*, lamina_*, transverse_*, facet_superior_*,
    facet_inferior_* (* = left, right), canal; C2..T3 also body, body_anterior_inferior, body_anterior_superior,
    endplate_superior, endplate_inferior, spinous_base, spinous_tip; C1 also anterior_arch, posterior_arch_left,
    posterior_arch_right, lateral_mass_left, lateral_mass_right; C2 also dens_tip, dens_neck, pars_left, pars_right.
    `size`: name -> mm: body_width, body_depth, body_height, canal_width, canal_depth.
    `bounds`: (2, 3) local corners that hold the bone with a margin.
    `moved_mm`: how far fragments have moved; more than 3 mm from the intact bone `distance` may not know of them.
    """

    level: str
    distance: Distance
    landmarks: dict[str, np.ndarray]
    size: dict[str, float]
    bounds: np.ndarray
    cortex_mm: float = 1.0
    moved_mm: float = 0.0


@dataclass(frozen=True, eq=False)
class PosedBone:
    """A bone with its `pose` (4, 4), rigid: local mm -> world RAS mm."""

    bone: Bone
    pose: np.ndarray

    @cached_property
    def _inverse(self) -> np.ndarray:
        return np.linalg.inv(self.pose).astype(np.float32)

    def to_local(self, world: np.ndarray) -> np.ndarray:
        """World RAS mm (..., 3) -> local mm (..., 3)."""
        return world @ self._inverse[:3, :3].T + self._inverse[:3, 3]

    def to_world(self, local: np.ndarray) -> np.ndarray:
        """Local mm (..., 3) -> world RAS mm (..., 3)."""
        return np.asarray(local) @ self.pose[:3, :3].T + self.pose[:3, 3]

    def distance(self, world: np.ndarray) -> np.ndarray:
        """Signed distance (...) mm of world points (..., 3) from the bone's surface."""
        return self.bone.distance(self.to_local(world))

    def world_bounds(self) -> np.ndarray:
        """(2, 3) world corners of the axis-aligned box that holds the bone."""
        corners = np.array(np.meshgrid(*self.bone.bounds.T, indexing="ij")).reshape(3, -1).T
        world = self.to_world(corners)
        return np.stack([world.min(axis=0), world.max(axis=0)])


@dataclass(frozen=True, eq=False)
class Column:
    """The posed vertebrae from C1 down to T3, by level name, and the discs between them (upper level's name)."""

    bones: dict[str, PosedBone]

    def centre(self, level: str) -> np.ndarray:
        """World RAS mm (3,) of a vertebra's origin."""
        return self.bones[level].pose[:3, 3]
