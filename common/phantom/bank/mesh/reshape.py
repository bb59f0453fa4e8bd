"""Every vertex of an atlas moved to where the subject has it: posed, then varied smoothly, worn, made thin or stout."""

from typing import Any

import numpy as np

from common.phantom.bank.mesh.body import Body
from common.phantom.bank.mesh.posing import Motion
from common.phantom.bank.mesh.rest_pose import TIED, RestPose
from common.phantom.bank.mesh.spinal_canal import Sections
from common.phantom.tissues import SKIN_HULL, VERTEBRA


def wave(points: np.ndarray, wavelength_mm: float, rng: np.random.Generator, waves: int = 20) -> np.ndarray:
    """A smooth random vector field (N, 3) of unit variance per component at points (N, 3)."""
    direction = rng.normal(size=(waves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    speed = 2 * np.pi / wavelength_mm * rng.uniform(0.6, 1.4, (waves, 1))
    phase = points.astype(np.float32) @ (direction * speed).T.astype(np.float32) + rng.uniform(0, 6.283, waves)
    return np.cos(phase) @ (rng.normal(size=(waves, 3)) * np.sqrt(2 / waves))


def reshape(rest: RestPose, motion: Motion, body: Body) -> list[np.ndarray]:
    """Vertices (N, 3) RAS mm of each of `rest.parts` in the subject."""
    spine = np.stack([motion.anchor(level, rest.frames[level].origin[None])[0] for level in rest.levels])
    moved = []
    for number, part in enumerate(rest.parts):
        tied = part.level if part.tissue == VERTEBRA else TIED.get(part.tissue)
        if tied:
            points = motion.anchor(tied, _bone(rest, number, body))
        else:
            points = motion.blend(part.vertices, rest.weights[number], rest.anchors)
            points = _swell(points, part, rest.clearance[number], spine, body)
        moved.append(_sway(points, body))
    return moved


def reshape_tubes(rest: RestPose, motion: Motion, body: Body) -> list[Sections]:
    """The canal and the throat of the subject."""
    rng = body.stream("tubes")
    wide = float(np.clip(np.exp(rng.normal(0, 0.2)), 0.55, 1.5))
    return [
        Sections(
            sections.tissue,
            _sway(motion.blend(sections.centres, weights, rest.anchors), body),
            sections.radii * body.size**0.8 * ([1, 1] if sections.tissue == "canal" else [1, wide]),
        )
        for sections, weights in rest.tubes
    ]


def _sway(points: np.ndarray, body: Body) -> np.ndarray:
    """A slow change of everything alike, bones too: people aren't alike, nor symmetrical."""
    rng = body.stream("sway")
    return points + 2.0 * wave(points, 160, rng) * [1, 1, 0.5] + 0.6 * wave(points, 60, rng)


def _bone(rest: RestPose, number: int, body: Body) -> np.ndarray:
    """A bone in its own place with its personal shape: bumps, spurs at the rims of worn discs, an open mouth."""
    part = rest.parts[number]
    if part.tissue == "mandible" or (part.tissue == "tooth" and _lower(rest, part.vertices)):
        return _opened(rest, part.vertices, body)
    if part.tissue != VERTEBRA:
        return part.vertices
    rng = body.stream(f"bone {part.level}")
    frame = rest.frames[part.level]
    points = part.vertices + 0.5 * wave(part.vertices, 26, rng)
    rough = wave(part.vertices, 9, rng)
    points = points + (0.12 + 0.25 * body.degeneration) * rough
    level = rest.levels.index(part.level)
    worn = max(body.wear[level], body.wear[max(level - 1, 0)])
    local = (part.vertices - frame.origin) @ frame.axes
    outwards = local * [1, 1, 0.15]
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-6)
    rim = rest.rims[part.level] * np.clip(np.hypot(local[:, 0], local[:, 1]) / 8 - 0.5, 0, 1)
    spur = 3.5 * worn * rim * np.clip(0.4 + 0.8 * rough[:, 0], 0, 1.6)
    return points + outwards @ frame.axes.T * spur[:, None]


def _lower(rest: RestPose, vertices: np.ndarray) -> bool:
    jaw = next((p.vertices for p in rest.parts if p.tissue == "mandible"), vertices)
    teeth = [p.vertices for p in rest.parts if p.tissue == "tooth"]
    middle = np.mean([t[:, 2].mean() for t in teeth]) if teeth else jaw[:, 2].mean()
    return bool(vertices[:, 2].mean() < middle)


def _opened(rest: RestPose, vertices: np.ndarray, body: Body) -> np.ndarray:
    """Turned about the axis through the joints of the jaw."""
    jaw = next((p.vertices for p in rest.parts if p.tissue == "mandible"), None)
    if jaw is None:
        return vertices
    hinge = jaw[jaw[:, 2] > jaw[:, 2].max() - 8].mean(axis=0)
    angle = np.radians(body.jaw)
    y, z = vertices[:, 1] - hinge[1], vertices[:, 2] - hinge[2]
    return np.stack(
        [
            vertices[:, 0],
            hinge[1] + np.cos(angle) * y + np.sin(angle) * z,
            hinge[2] - np.sin(angle) * y + np.cos(angle) * z,
        ],
        axis=1,
    )


def _swell(points: np.ndarray, part: Any, clearance: np.ndarray, spine: np.ndarray, body: Body) -> np.ndarray:
    """Away from the column by how much soft tissue lies over the bones; the skin by the fat below it as well."""
    axis = np.stack([np.interp(points[:, 2], spine[::-1, 2], spine[::-1, k]) for k in (0, 1)], axis=1)
    away = np.c_[points[:, :2] - axis, np.zeros(len(points))]
    length = np.linalg.norm(away, axis=1, keepdims=True)
    grown = (body.girth - 1) * np.minimum(clearance, 45)[:, None] * np.clip(length / 30, 0, 1)
    if part.tissue == SKIN_HULL:
        below = np.clip((spine[0, 2] + 30 - points[:, 2]) / 60, 0.25, 1)  # a head's scalp stays thin
        grown = grown + body.fat_mm * below[:, None]
    return points + away / np.maximum(length, 1) * grown
