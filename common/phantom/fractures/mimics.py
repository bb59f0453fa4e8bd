"""Findings of healthy bone that look like fractures: vessels' canals, ossification centres that never fused, old
sclerotic lines. They are drawn without regard to fractures, so that they tell nothing about them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from common.phantom.anatomy.column import Bone, PosedBone
from common.phantom.anatomy.signed_distance import Distance
from common.phantom.fractures.direction import lean, unit, vector
from common.phantom.fractures.paint import paint_dense
from common.phantom.fractures.surface import RoughSurface, rough_surface
from common.phantom.painting.canvas import Canvas

SHARES = {
    "basivertebral_vein": 0.35,
    "canal": 0.6,
    "os_odontoideum": 0.015,
    "arch_cleft": 0.04,
    "unfused_tip": 0.03,
    "limbus": 0.03,
    "schmorl_node": 0.06,
    "worn_facets": 0.15,
}
"""How often a vertebra that can have a finding has it."""

THIN_WALL = 2.5
"""A canal's cortex is thinner than the bone's by this factor."""

Carving = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Points (n, 3), their signed distances to the bone (n,) -> the distances (n,) with the finding."""


@dataclass(frozen=True, eq=False)
class CarvedDistance:
    """A bone's distance with one finding; `centre`, `radius`: the ball outside of which nothing changes."""

    intact: Distance
    centre: np.ndarray
    radius: float
    carving: Carving

    def __call__(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, np.float32)
        flat = points.reshape(-1, 3)
        distance = np.array(self.intact(flat))
        offset = flat - self.centre.astype(np.float32)
        near = np.flatnonzero((np.einsum("ij,ij->i", offset, offset) < self.radius**2) & (distance < 2))
        if near.size:
            distance[near] = self.carving(flat[near], distance[near])
        return distance.reshape(points.shape[:-1])


def add_lookalikes(bone: Bone, rng: np.random.Generator) -> Bone:
    """The bone with what chance gives it; landmarks stay."""
    marks = bone.landmarks
    makers: dict[str, Callable[[Bone, np.random.Generator], CarvedDistance]] = {"canal": _canal}
    if "body" in marks:
        makers["basivertebral_vein"] = _basivertebral_vein
        makers["limbus"] = _limbus
        makers["schmorl_node"] = _schmorl_node
        makers["unfused_tip"] = _unfused_tip
    if bone.level == "C1":
        makers["arch_cleft"] = _arch_cleft
    if bone.level == "C2":
        makers["os_odontoideum"] = _os_odontoideum
    makers["worn_facets"] = _worn_facets
    for name, make in makers.items():
        if rng.random() < SHARES[name]:
            bone = replace(bone, distance=make(bone, rng))
    return bone


def _tube(bone: Bone, start: np.ndarray, stop: np.ndarray, radius: float, sag: np.ndarray) -> CarvedDistance:
    """A round canal along the parabola from `start` to `stop` that bends by `sag` (3,) mm in its middle."""
    start, line, sag = (np.asarray(v, np.float32) for v in (start, stop - start, sag))

    def carve(points: np.ndarray, distance: np.ndarray) -> np.ndarray:
        along = np.clip((points - start) @ line / (line @ line), 0, 1)
        nearest = start + along[:, None] * line + (4 * along * (1 - along))[:, None] * sag
        hollow = radius - np.linalg.norm(points - nearest, axis=1)
        return np.maximum(distance, np.where(hollow < 0, THIN_WALL * hollow, hollow))

    reach = np.linalg.norm(line) / 2 + np.linalg.norm(sag) + radius + 2
    return CarvedDistance(bone.distance, start + line / 2, float(reach), carve)


def _smooth_gap(bone: Bone, surface: RoughSurface, width: float, radius: float, rounding: float) -> CarvedDistance:
    """A gap of even width whose margins are rounded and, being bone surface, covered by cortex."""

    def carve(points: np.ndarray, distance: np.ndarray) -> np.ndarray:
        gap = width / 2 - np.abs(surface.distance(points)) - surface.hold(points)
        blend = np.clip(0.5 + 0.5 * (gap - distance) / rounding, 0, 1)
        return distance + blend * (gap - distance) + rounding * blend * (1 - blend)

    return CarvedDistance(bone.distance, surface.centre, radius, carve)


def _basivertebral_vein(bone: Bone, rng: np.random.Generator) -> CarvedDistance:
    depth = bone.size["body_depth"]
    start = bone.landmarks["body"] + vector(rng.normal(0, 0.6), -depth / 2 - 1, rng.normal(0, 0.8))
    stop = start + vector(rng.normal(0, 2), rng.uniform(0.35, 0.75) * depth, rng.normal(0, 0.8))
    return _tube(bone, start, stop, rng.uniform(0.4, 1.1), np.zeros(3))


def _canal(bone: Bone, rng: np.random.Generator) -> CarvedDistance:
    """A nutrient canal, thin and smooth, through a lamina, lateral mass, pedicle or body."""
    names = [n for n in ("lamina", "pedicle", "facet_superior", "lateral_mass") if f"{n}_left" in bone.landmarks]
    site = bone.landmarks[f"{rng.choice(names)}_{rng.choice(['left', 'right'])}"]
    if "body" in bone.landmarks and rng.random() < 0.35:
        site = bone.landmarks["body"] + rng.uniform(-0.3, 0.3, 3) * bone.size["body_width"]
    half = unit(rng.normal(size=3)) * rng.uniform(3, 7)
    return _tube(bone, site - half, site + half, rng.uniform(0.3, 0.65), rng.normal(0, 0.8, 3))


def _os_odontoideum(bone: Bone, rng: np.random.Generator) -> CarvedDistance:
    tip, neck = bone.landmarks["dens_tip"], bone.landmarks["dens_neck"]
    site = neck + rng.uniform(0, 0.3) * (tip - neck)
    surface = rough_surface(rng, site, tip - neck, 0.15, bow=rng.uniform(-0.08, 0.02), reach=9)
    return _smooth_gap(bone, surface, rng.uniform(1.5, 4), 16, 2.5)


def _arch_cleft(bone: Bone, rng: np.random.Generator) -> CarvedDistance:
    left, right = bone.landmarks["posterior_arch_left"], bone.landmarks["posterior_arch_right"]
    site = (left + right) / 2 + vector(rng.normal(0, 0.8), -0.3 * abs(right[0] - left[0]), 0)
    surface = rough_surface(rng, site, lean([1, 0, 0], rng, 15), 0.15, reach=16)
    return _smooth_gap(bone, surface, rng.uniform(1, 5), 22, 2.0)


def _unfused_tip(bone: Bone, rng: np.random.Generator) -> CarvedDistance:
    base, tip = bone.landmarks["spinous_base"], bone.landmarks["spinous_tip"]
    site = base + rng.uniform(0.7, 0.9) * (tip - base)
    surface = rough_surface(rng, site, lean(tip - base, rng, 15), 0.15, bow=0.06, reach=10)
    return _smooth_gap(bone, surface, rng.uniform(0.8, 2.5), 16, 2.0)


def _limbus(bone: Bone, rng: np.random.Generator) -> CarvedDistance:
    name, down = ("body_anterior_superior", 1) if rng.random() < 0.7 else ("body_anterior_inferior", -1)
    normal = unit([rng.normal(0, 0.1), 1, down])
    site = bone.landmarks[name] - normal * rng.uniform(2, 3.5)
    surface = rough_surface(rng, site, normal, 0.15, bow=0.05, reach=9)
    return _smooth_gap(bone, surface, rng.uniform(0.8, 1.8), 14, 1.5)


def _schmorl_node(bone: Bone, rng: np.random.Generator) -> CarvedDistance:
    name = rng.choice(["endplate_superior", "endplate_inferior"])
    site = bone.landmarks[name] + vector(rng.normal(0, 2.5), rng.normal(-1, 2), 0)
    radius, rounding = rng.uniform(1.5, 3.2), 1.2

    def carve(points: np.ndarray, distance: np.ndarray) -> np.ndarray:
        dent = radius - np.linalg.norm(points - site.astype(np.float32), axis=1)
        blend = np.clip(0.5 + 0.5 * (dent - distance) / rounding, 0, 1)
        return distance + blend * (dent - distance) + rounding * blend * (1 - blend)

    return CarvedDistance(bone.distance, site, radius + 4, carve)


def _worn_facets(bone: Bone, rng: np.random.Generator) -> CarvedDistance:
    side = rng.choice(["left", "right"])
    site = bone.landmarks[f"facet_{rng.choice(['superior', 'inferior'])}_{side}"]
    surface = rough_surface(rng, site, [0, 0, 1], 1.0)
    height, radius = rng.uniform(0.4, 1.1), 8.0

    def carve(points: np.ndarray, distance: np.ndarray) -> np.ndarray:
        away = np.linalg.norm(points - site.astype(np.float32), axis=1) / radius
        waves = np.sin((points - surface.centre) @ surface.wave_vectors[2:].T + surface.phases[2:]).mean(axis=1)
        return distance + height * waves * np.clip(1.5 - 1.5 * away, 0, 1)

    return CarvedDistance(bone.distance, site, radius, carve)


def paint_sclerosis(canvas: Canvas, posed_bone: PosedBone, rng: np.random.Generator) -> None:
    """Adds old dense lines and patches inside the bone, where chance gives any: the scar of the growth plate
    below the dens in C2, healed lines elsewhere, bone islands, dense facets."""
    bone = posed_bone.bone
    dense: list[tuple[RoughSurface, float, float]] = []
    if bone.level == "C2" and rng.random() < 0.4:
        neck, body = bone.landmarks["dens_neck"], bone.landmarks["body"]
        scar = rough_surface(rng, neck + rng.uniform(0.1, 0.5) * (body - neck), [0, 0, 1], 0.5, reach=5.5)
        dense.append((scar, rng.uniform(0.5, 0.9), rng.uniform(80, 250)))
    if rng.random() < 0.12:
        names = [n for n in bone.landmarks if n not in ("canal", "spinous_tip", "dens_tip")]
        site = bone.landmarks[str(rng.choice(names))]
        line = rough_surface(rng, site, rng.normal(size=3), 0.8, reach=rng.uniform(2.5, 6))
        dense.append((line, rng.uniform(0.5, 1.1), rng.uniform(120, 400)))
    if rng.random() < 0.10:
        names = [n for n in bone.landmarks if n.startswith(("facet", "endplate", "lateral_mass"))]
        site = bone.landmarks[str(rng.choice(names))]
        patch = rough_surface(rng, site, [0, 0, 1], 0.5, reach=rng.uniform(1, 4))
        dense.append((patch, rng.uniform(1.2, 2.5), rng.uniform(150, 450)))
    for surface, thickness, hu in dense:
        paint_dense(canvas, posed_bone, surface, thickness, hu)
