"""Smooth gaps with cortical edges, as bone has them that never fused or healed long ago: no fresh fracture.

What tells them from fractures is drawn: an even surface, and a dense rim on both sides of it.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from common.labels import LEVELS
from stage2_classify.grounds.bone import Bone, smooth_field, with_rim
from stage2_classify.grounds.fractures import Site, place

RIM_MM, RIM_HU = (0.5, 1.2), (600.0, 1100.0)
FILL_HU = (20.0, 130.0)
"""Cartilage and fibrous tissue."""


@dataclass(frozen=True)
class Cleft:
    """Where it lies, how wide it is, and how far it reaches from its middle, both in mm. `cut_off` mm: it cuts off so
    much of the part of its site that lies furthest along its normal."""

    site: Site
    width_mm: tuple[float, float]
    reach_mm: tuple[float, float]
    cut_off: tuple[float, float] | None = None


CLEFTS: dict[str, Cleft] = {
    "open posterior arch": Cleft(Site(("C1",), (0, -1, -1), (0.04, -0.6, 1), (1, 0, 0)), (1.0, 6.0), (9.0, 12.0)),
    "dens, trace of the growth plate": Cleft(
        Site(("C2",), (0, 0.25, -0.2), (0.1, 0.8, 0.15), (0, 0, 1)), (0.5, 1.5), (2.5, 5.0)
    ),
    "os odontoideum": Cleft(Site(("C2",), (0, 0.3, 0.15), (0.1, 0.9, 0.45), (0, 0.1, 1)), (1.5, 4.0), (7.0, 8.0)),
    "pars cleft": Cleft(
        Site(LEVELS[3:6], (0.35, -0.45, -0.4), (0.7, -0.05, 0.3), (0.3, 1, 0.2)), (1.0, 2.5), (7.0, 10.0)
    ),
    "limbus": Cleft(Site(LEVELS[2:], (0, 0.3, -1), (0.25, 1, 1), (0, 1, 0.9)), (1.0, 2.0), (5.0, 8.0), (2.5, 4.5)),
}


def draw_cleft(bone: Bone, rng: np.random.Generator, name: str) -> np.ndarray:
    """A vertebra with one of CLEFTS -> its CT (X, Y, Z) HU, unchanged where the level has none such."""
    cleft = CLEFTS[name]
    placed = place(bone, cleft.site, rng) if bone.level in cleft.site.levels else None
    if placed is None:
        return bone.ct
    centre, normal = placed
    assert normal is not None, "each of CLEFTS has one"
    if cleft.cut_off is not None:
        centre = _outermost(bone, cleft.site, normal) - np.round(normal * rng.uniform(*cleft.cut_off) / bone.spacing)
        centre = centre.astype(int)
    reach, width, rim = (rng.uniform(*span) for span in (cleft.reach_mm, cleft.width_mm, RIM_MM))
    window = bone.window(centre, reach + 2)
    x, y, z = bone.offsets(window, centre)
    solid, ct = with_rim(bone, window), bone.ct[window]
    across = x * normal[0] + y * normal[1] + z * normal[2]
    distance = np.sqrt(x * x + y * y + z * z)
    side = across + rng.uniform(-0.03, 0.03) * distance**2  # even, a little curved
    side = side + 0.15 * smooth_field(ct.shape, bone.spacing, 8, rng)
    voxel = float(np.linalg.norm(normal * bone.spacing))
    within = np.clip((reach - distance) / voxel + 0.5, 0, 1) * solid
    gap = within * np.clip((width / 2 - np.abs(side)) / voxel + 0.5, 0, min(width / voxel, 1))
    edge = within * np.clip((width / 2 + rim - np.abs(side)) / voxel + 0.5, 0, 1)
    drawn = np.maximum(ct, ct + edge * (rng.uniform(*RIM_HU) - ct))
    whole = bone.ct.copy()
    whole[window] = drawn + gap * (rng.uniform(*FILL_HU) - drawn)
    return whole


def _outermost(bone: Bone, site: Site, normal: np.ndarray) -> np.ndarray:
    """Voxel index (3,) of what lies furthest along the normal at a site, the same on either side."""
    voxels, places = bone.extents()
    mirrored = np.stack([np.abs(places[:, 0]), places[:, 1], places[:, 2]], axis=1)
    fits = ((mirrored >= site.low) & (mirrored <= site.high)).all(axis=1)
    chosen = voxels[fits] if fits.any() else voxels
    return chosen[np.argmax((chosen * bone.spacing) @ normal)]


CLEFT_MIMICS = {name: (partial(draw_cleft, name=name), 0.04) for name in CLEFTS}
"""As `mimics.MIMICS`."""
