"""Where each vertebra of a subject goes, and what that means for every point of the atlas."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from common.phantom.bank.mesh.body import Body
from common.phantom.bank.mesh.rest_pose import CHEST, HEAD, RestPose

PIVOT_BACK_MM = 5.0
"""Neighbours turn about a point this far behind the middle of the disc."""
LEAST_DISC_MM = 1.3


@dataclass(frozen=True, eq=False)
class Motion:
    """Anchor -> (3, 4), rest RAS mm -> the subject's RAS mm: a turn and a shift after the bone's own scale."""

    moves: dict[str, np.ndarray]

    def anchor(self, name: str, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) that belong to one anchor."""
        move = self.moves[name]
        return points @ move[:, :3].T + move[:, 3]

    def blend(self, points: np.ndarray, weights: np.ndarray, anchors: list[str]) -> np.ndarray:
        """Points (N, 3) that follow several anchors by `weights` (N, anchors)."""
        moves = np.stack([self.moves[name] for name in anchors])
        each = np.einsum("na,aij->nij", weights, moves)
        return np.einsum("nij,nj->ni", each[:, :, :3], points) + each[:, :, 3]


def rest_lordosis(rest: RestPose) -> float:
    """Angle between C2 and C7 of the atlas as it stands: between the discs below them, degrees, lordosis positive."""
    points = {p.level: p.vertices for p in rest.parts if p.tissue == "disc"}
    slopes = []
    for level in ("C2", "C7"):
        centred = points[level] - points[level].mean(axis=0)
        normal = np.linalg.svd(centred, full_matrices=False)[2][2]
        normal *= np.sign(normal[2])
        slopes.append(np.degrees(np.arctan2(normal[1], normal[2])))
    return float(slopes[1] - slopes[0])


def pose(rest: RestPose, body: Body) -> Motion:
    """Builds the column from its lowest vertebra upwards, then the head on C1; C4's centre comes to the origin."""
    levels, frames = rest.levels, rest.frames
    scales = _scales(rest, body)
    turns = {levels[-1]: _turn(*body.tilt) @ frames[levels[-1]].axes}
    places = {levels[-1]: np.zeros(3)}
    for k in range(len(levels) - 2, -1, -1):
        upper, lower = levels[k], levels[k + 1]
        a, b = frames[upper], frames[lower]
        own = _turn(body.lean[k], body.bend[k], body.turn[k])
        turns[upper] = turns[lower] @ (b.axes.T @ a.axes) @ own
        pivot = a.joint - (PIVOT_BACK_MM if upper != "C1" else 0) * a.axes[:, 1]
        above = scales[lower] * (b.axes.T @ (pivot - b.origin))
        below = scales[upper] * (a.axes.T @ (pivot - a.origin))
        gap = _gap(rest, body, k, scales)
        places[upper] = places[lower] + turns[lower] @ (above + np.array([0, 0, gap])) - turns[upper] @ below
    moves = {k: _move(frames[k].origin, frames[k].axes, scales[k], turns[k], places[k]) for k in levels}
    moves[HEAD] = _head(rest, body, turns["C1"] @ frames["C1"].axes.T, moves["C1"])
    middle = levels[min(9, len(levels) - 1)]
    even = np.full(3, (body.size * np.mean(body.plump)) ** 0.5)
    moves[CHEST] = _move(frames[middle].origin, frames[middle].axes, even, turns[middle], places[middle])
    shift = moves["C4"] @ np.r_[frames["C4"].origin, 1]
    for move in moves.values():
        move[:, 3] -= shift
    return Motion(moves)


def _turn(lean: float, bend: float, turn: float) -> np.ndarray:
    """About the axes to the right (positive = forwards), to the front and up."""
    return Rotation.from_euler("ZYX", [turn, bend, -lean], degrees=True).as_matrix()


def _move(origin: np.ndarray, axes: np.ndarray, scale: np.ndarray, turn: np.ndarray, place: np.ndarray) -> np.ndarray:
    linear = turn @ np.diag(scale) @ axes.T
    return np.c_[linear, place - linear @ origin]


def _ratios(rest: RestPose, body: Body) -> np.ndarray:
    """Spacing wanted over spacing at rest, for each pair of neighbours; C1 and C2 take the others' mean."""
    origins = np.stack([rest.frames[level].origin for level in rest.levels])
    ratios = body.spacing / np.linalg.norm(np.diff(origins, axis=0), axis=1)
    ratios[0] = ratios[2:6].mean() * (body.spacing[0] / body.size / 17.5)
    return ratios


def _scales(rest: RestPose, body: Body) -> dict[str, np.ndarray]:
    ratios = _ratios(rest, body)
    heights = (np.r_[ratios[0], ratios] + np.r_[ratios, ratios[-1]]) / 2
    general = np.mean([np.linalg.norm(ratios[2:6]) / 2]) / body.size  # the atlas' own size against the mean person
    return {level: np.array([*(body.plump[k] * general**0.85), heights[k]]) for k, level in enumerate(rest.levels)}


def _gap(rest: RestPose, body: Body, k: int, scales: dict[str, np.ndarray]) -> float:
    """How much higher than the scaled atlas a joint is, mm: what the spacing wants, less the disc's wear."""
    upper, lower = rest.levels[k], rest.levels[k + 1]
    if upper == "C1":
        return 0.0
    a, b = rest.frames[upper], rest.frames[lower]
    half_a = scales[upper][2] * (a.axes[:, 2] @ (a.origin - a.joint))
    half_b = scales[lower][2] * (b.axes[:, 2] @ (a.joint - b.origin))
    disc = rest.disc_gap.get(upper, 4.0) * (scales[upper][2] + scales[lower][2]) / 2
    wanted = body.spacing[k] - half_a - half_b
    least = LEAST_DISC_MM - disc
    return float(np.clip(wanted - 0.55 * disc * body.wear[k], least, 2.5))


def _head(rest: RestPose, body: Body, atlas_turn: np.ndarray, atlas_move: np.ndarray) -> np.ndarray:
    turn = atlas_turn @ rest.frames["C1"].axes @ _turn(*body.head) @ rest.frames["C1"].axes.T
    linear = turn * body.head_size
    joint = atlas_move[:, :3] @ rest.head_joint + atlas_move[:, 3]
    return np.c_[linear, joint - linear @ rest.head_joint]
