"""What is worked out once about an atlas as it stands: frames of its vertebrae, what each point is tied to, hollows."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from common.errors import ConfigError
from common.phantom.bank.mesh.atlas_table import Atlas, Part
from common.phantom.bank.mesh.cavities import find_cavities
from common.phantom.bank.mesh.spinal_canal import Sections, canal_sections, hand_drawn
from common.phantom.tissues import LEVEL_NAMES, SKIN_HULL, VERTEBRA

HEAD, CHEST = "head", "chest"
TIED = {"skull": HEAD, "mandible": HEAD, "tooth": HEAD, "brain": HEAD, "rib": CHEST, "bone": CHEST}
"""Tissues that move as one with the head or the chest; everything else that isn't a vertebra follows what is near."""
SPACING_MM = (17.5, 24.7, 17.8, 17.2, 16.9, 17.9, 20.0, 21.0, 21.3, 21.2, 22.0, 22.5)
"""Between the centres of C1-C2, C2-C3 ... T5-T6: means of keypoints in 119 CT scans; below T4 extrapolated."""
NEAR_MM = 2.0


@dataclass(frozen=True, eq=False)
class Frame:
    """A vertebra at rest: `origin` (3,) its body's centre (C1: the place of the dens), RAS mm; columns of `axes` (3, 3)
    right, anterior, up along the body; `joint`: the pivot of the joint with the one below (the disc's middle)."""

    origin: np.ndarray
    axes: np.ndarray
    joint: np.ndarray


@dataclass(frozen=True, eq=False)
class RestPose:
    """An atlas ready to be posed. `levels` from the top; `weights`: for each of `parts`, (vertices, anchors) shares;
    anchors are the levels, then HEAD and CHEST; `disc_gap`: level -> height of the disc below it, mm;
    `head_joint`: where the head turns on C1. `clearance`: for each part, mm from each vertex to the nearest bone."""

    parts: list[Part]
    levels: list[str]
    frames: dict[str, Frame]
    head_joint: np.ndarray
    disc_gap: dict[str, float]
    weights: list[np.ndarray]
    clearance: list[np.ndarray]
    rims: dict[str, np.ndarray]
    tubes: list[tuple[Sections, np.ndarray]]

    @property
    def anchors(self) -> list[str]:
        return [*self.levels, HEAD, CHEST]


def make_rest_pose(atlas: Atlas) -> RestPose:
    """Raises ConfigError when the atlas lacks a vertebra of C1..T3, a disc between two, the skin or the skull."""
    levels = [name for name in LEVEL_NAMES if any(p.tissue == VERTEBRA and p.level == name for p in atlas.parts)]
    _check(atlas, levels)
    parts = [*atlas.parts, *find_cavities(atlas.parts)]
    frames = make_frames(parts, levels)
    trees = _anchor_trees(parts, levels)
    weights = [_weights(part, levels, trees) for part in parts]
    bones = cKDTree(np.vstack([p.vertices[::3] for p in parts if p.tissue in TIED or p.tissue == VERTEBRA]))
    clearance = [bones.query(part.vertices, workers=1)[0] for part in parts]
    sections = [canal_sections(parts, frames), *hand_drawn(atlas.tubes)]
    tubes = [(s, _free_weights(s.centres, levels, trees)) for s in sections]
    discs = {p.level: p.vertices for p in parts if p.tissue == "disc"}
    gaps = {level: _thickness(points, frames[level].axes[:, 2]) for level, points in discs.items() if level in frames}
    head_joint = _head_joint(parts, frames["C1"])
    return RestPose(parts, levels, frames, head_joint, gaps, weights, clearance, make_rims(parts, levels), tubes)


def make_frames(parts: list[Part], levels: list[str]) -> dict[str, Frame]:
    """Frames from the discs: a body's axis runs from the disc below it to the disc above it."""
    discs = {p.level: _middle(p.vertices) for p in parts if p.tissue == "disc"}
    bone = {p.level: p.vertices for p in parts if p.tissue == VERTEBRA}
    frames: dict[str, Frame] = {}
    for number, level in enumerate(levels):
        if level in ("C1", "C2"):
            continue
        above, below = discs[levels[number - 1]], discs.get(level)
        if below is None:
            last = frames[levels[number - 1]]
            below = above - 1.03 * (_above(discs, levels, number - 1) - above) if number > 2 else last.joint
        frames[level] = Frame((above + below) / 2, _axes(above - below), below)
    ratio = np.mean(
        [
            np.linalg.norm(frames[a].origin - frames[b].origin) / SPACING_MM[levels.index(a)]
            for a, b in pairwise(levels[2:7])
        ]
    )
    axis = bone["C2"]
    tip = axis[axis[:, 2] > axis[:, 2].max() - 6 * ratio].mean(axis=0)
    turn = _axes(tip - discs["C2"])
    up = turn[:, 2]
    lower = np.linalg.norm(frames["C3"].origin - discs["C2"])
    origin = discs["C2"] + up * (SPACING_MM[1] * ratio - lower)
    frames["C2"] = Frame(origin, turn, discs["C2"])
    atlas_height = (bone["C1"].mean(axis=0) - origin) @ up
    place = origin + up * atlas_height + turn[:, 1] * ((tip - origin) @ turn[:, 1])
    frames["C1"] = Frame(place, turn, place)
    return {level: frames[level] for level in levels}


def _above(discs: dict[str, np.ndarray], levels: list[str], number: int) -> np.ndarray:
    return discs[levels[number - 1]]


def _axes(up: np.ndarray) -> np.ndarray:
    up = up / np.linalg.norm(up)
    right = np.array([1.0, 0, 0]) - up[0] * up
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up], axis=1)


def _middle(points: np.ndarray) -> np.ndarray:
    return (points.min(axis=0) + points.max(axis=0)) / 2 * [1, 0, 0] + points.mean(axis=0) * [0, 1, 1]


def _thickness(points: np.ndarray, up: np.ndarray) -> float:
    """Of a disc, mm: its least extent is across it, so twice the mean distance from its middle plane."""
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred[:: max(len(centred) // 2000, 1)], full_matrices=False)
    return float(2 * np.abs(centred @ axes[2]).mean())


def _head_joint(parts: list[Part], atlas_frame: Frame) -> np.ndarray:
    top = next(p.vertices for p in parts if p.tissue == VERTEBRA and p.level == "C1")
    height = ((top - atlas_frame.origin) @ atlas_frame.axes[:, 2]).max()
    return atlas_frame.origin + atlas_frame.axes @ np.array([0, -4.0, height])


def _anchor_trees(parts: list[Part], levels: list[str]) -> list[cKDTree]:
    points = [next(p.vertices for p in parts if p.tissue == VERTEBRA and p.level == level) for level in levels]
    for group in (HEAD, CHEST):
        points.append(np.vstack([p.vertices[::4] for p in parts if TIED.get(p.tissue) == group]))
    return [cKDTree(p) for p in points]


def _weights(part: Part, levels: list[str], trees: list[cKDTree]) -> np.ndarray:
    tied = part.level if part.tissue == VERTEBRA else TIED.get(part.tissue)
    if tied:
        names = [*levels, HEAD, CHEST]
        return np.broadcast_to(np.eye(len(names))[names.index(tied)], (len(part.vertices), len(names)))
    return _free_weights(part.vertices, levels, trees)


def _free_weights(points: np.ndarray, levels: list[str], trees: list[cKDTree]) -> np.ndarray:
    """Shares of the anchors, by the inverse cube of how near they are (Shepard)."""
    away = np.stack([tree.query(points, workers=1)[0] for tree in trees], axis=1)
    shares = (away + NEAR_MM) ** -3.0
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def make_rims(parts: list[Part], levels: list[str]) -> dict[str, np.ndarray]:
    """Level -> 0..1 for each vertex of its vertebra: how near it lies to a disc."""
    discs = {p.level: p.vertices for p in parts if p.tissue == "disc"}
    return {level: _nearness(parts, level, levels, discs) for level in levels}


def _nearness(parts: list[Part], level: str, levels: list[str], discs: dict[str, np.ndarray]) -> np.ndarray:
    """0..1 for each vertex of a vertebra: how near it lies to a disc, whose rim grows spurs."""
    bone = next(p.vertices for p in parts if p.tissue == VERTEBRA and p.level == level)
    above = levels[max(levels.index(level) - 1, 0)]
    near = [discs[k] for k in (level, above) if k in discs]
    if not near:
        return np.zeros(len(bone))
    return np.exp(-((cKDTree(np.vstack(near)).query(bone)[0] / 3.0) ** 2))


def _check(atlas: Atlas, levels: list[str]) -> None:
    wanted = LEVEL_NAMES[:10]
    lacking = [f"vertebra {k}" for k in wanted if k not in levels]
    discs = {p.level for p in atlas.parts if p.tissue == "disc"}
    lacking += [f"disc below {k}" for k in levels[1:-1] if k not in discs]
    tissues = {p.tissue for p in atlas.parts}
    lacking += [name for name in (SKIN_HULL, "skull", "rib") if name not in tissues]
    if lacking:
        raise ConfigError(
            f"atlas {atlas.name}: lacks {', '.join(lacking)}; an atlas of some vertebrae alone is fine beside a whole "
            "one (--atlas given twice), whose surroundings it takes"
        )
