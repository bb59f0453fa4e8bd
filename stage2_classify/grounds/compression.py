"""Bodies that lost height: end plates pressed in, the bone between squeezed to a dense band; burst ones besides.

Only the vertebra's own material moves, along its superior axis, smoothly; what it leaves is filled like a disc.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from common.labels import LEVELS
from stage2_classify.grounds.bone import Bone, fine_noise, noise_hu, smooth_field, with_rim
from stage2_classify.grounds.fractures import blood, break_bone

COMPRESSIONS = {"compressed": 0.7, "burst": 0.3}
"""Kinds, and how often each is drawn."""
COMPRESSED_LEVELS = LEVELS[2:]
LOST = (0.1, 0.4)
"""Part of the body's height that is lost where most is."""
DISC_HU = (30.0, 110.0)
BAND = (0.25, 0.5)
"""Height of the dense band, as a part of the body's, besides what was lost."""
DENSEST_HU = 1100.0
BULGE_MM = (0.0, 1.5)
"""How far the front wall buckles."""
PUSHED_MM, PIECE_MM = (2.0, 5.0), (4.0, 7.0)
"""How far a burst body's back wall is pushed into the canal, and how thick the piece is."""
FADE_MM = 3.0


@dataclass(frozen=True, eq=False)
class _Body:
    """mm along the vertebra's right, anterior, superior, of the window's voxels and of the body's borders there."""

    right: np.ndarray
    front: np.ndarray
    up: np.ndarray
    half_width: float
    depth: float
    height: float


def compress(bone: Bone, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """A vertebra whose body lost height -> its CT (X, Y, Z) HU, and where (X, Y, Z) bool: what was emptied, the dense
    band, and a burst body's gaps; None where no body is seen. `kind`: a key of COMPRESSIONS."""
    placed = _body(bone)
    if placed is None:
        return None
    window, body = placed
    # What lies beyond a disc is the next vertebra's.
    beyond = np.abs(body.up) - body.height / 2
    solid = with_rim(bone, window) * np.clip(2 - beyond, 0, 1) * np.clip(bone.mask[window] * 9 + 1.5 - beyond, 0, 1)
    noise = noise_hu(bone.ct[window], solid)
    ct, solid, where = _press(bone.ct[window], solid, bone, body, noise, kind, rng)
    if kind == "burst":
        ct, pushed = _push_back(ct, solid, bone, body, noise, rng)
        where |= pushed
    broken, found = bone.ct.copy(), np.zeros(bone.ct.shape, bool)
    broken[window], found[window] = ct, where
    for _ in range(rng.integers(1, 3) if kind == "burst" else 0):
        split = break_bone(bone.with_ct(broken), "gap", rng, str(rng.choice(["body, split", "body, across"])))
        if split is not None:
            broken, found = split[0], found | split[1]
    return broken, found


def _body(bone: Bone) -> tuple[tuple[slice, ...], _Body] | None:
    """The window about the body, and its measures: of the mask's front part about the middle."""
    voxels, places = bone.extents()
    inside = (np.abs(places[:, 0]) < 0.25) & (places[:, 1] > 0.15)
    if inside.sum() < 30:
        return None
    chosen = voxels[inside]
    centre = np.round(chosen.mean(axis=0)).astype(int)
    along = ((chosen - centre) * bone.spacing) @ bone.axes
    low, high = _run(along[:, 2], float(bone.spacing.max()))
    (_, back, _), (_, front, _) = np.quantile(along[(along[:, 2] > low) & (along[:, 2] < high)], [0.02, 0.98], axis=0)
    whole = ((voxels - centre) * bone.spacing) @ bone.axes
    of_body = (whole[:, 1] > (back + front) / 2) & (whole[:, 2] > low) & (whole[:, 2] < high)
    half_width = float(np.quantile(np.abs(whole[of_body, 0]), 0.9))
    if min(front - back, high - low, half_width) < 4:
        return None
    window = bone.window(centre, half_width + 12)
    offsets = bone.offsets(window, centre)
    right, ahead, up = (sum(o * a for o, a in zip(offsets, bone.axes[:, k])) for k in range(3))
    # The front part of the mask's box ends before the body's back wall.
    behind = back - 1.0
    return window, _Body(
        right, (ahead - behind).astype(np.float32), (up - (low + high) / 2).astype(np.float32), half_width,
        float(front - behind), float(high - low),
    )  # fmt: skip


def _run(up: np.ndarray, voxel: float) -> tuple[float, float]:
    """Heights (n,) in mm of a body's voxels -> where the body begins and ends: about the middle, until fewer than half
    as many lie at a height as is usual. A mask may hold a slip of the next vertebra beyond the disc."""
    counts, edges = np.histogram(up, np.arange(up.min() - voxel, up.max() + 2 * voxel, max(voxel, 0.5)))
    full = counts > 0.5 * np.median(counts[counts > 0])
    labels, _ = ndimage.label(full)
    sizes = np.bincount(labels)[1:]
    inside = np.flatnonzero(labels == np.argmax(sizes) + 1)
    return float(edges[inside[0]]), float(edges[inside[-1] + 1])


def _press(
    ct: np.ndarray, solid: np.ndarray, bone: Bone, body: _Body, noise: float, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plates pressed in -> CT, the bone that is left, and where it was squeezed or is gone."""
    shape, lost = _shape(body, kind, rng), body.height * rng.uniform(*LOST)
    lower = rng.uniform(0.2, 0.6) if kind == "burst" or rng.random() < 0.3 else 0.0
    shift, squeezed = np.zeros(ct.shape, np.float32), np.zeros(ct.shape, np.float32)
    for side, part in ((1, 1 - lower), (-1, lower)):
        if part:
            drop = lost * part
            width = min(drop + body.height * rng.uniform(*BAND), body.height / 2 + 2)
            ragged = 0.3 * smooth_field(ct.shape, bone.spacing, 4, rng)
            top = body.height / 2 - drop - rng.uniform(0, 0.1) * body.height
            step = np.clip((side * body.up + ragged - top) / (width - drop) + 1, 0, 1)
            shift += side * drop * shape * step * step * (3 - 2 * step)
            squeezed += drop * shape * 6 * step * (1 - step) / (width - drop)
    bulge = rng.uniform(*BULGE_MM) * np.clip(squeezed, 0, 1) * np.clip(body.front / body.depth, 0, 1)
    index = [
        grid + (shift * bone.axes[k, 2] - bulge * bone.axes[k, 1]) / bone.spacing[k]
        for k, grid in enumerate(np.indices(ct.shape, dtype=np.float32))
    ]
    picture, piece = (ndimage.map_coordinates(a, index, order=1, mode="nearest") for a in (ct, solid))
    dense = np.clip(picture, 0, 700) * np.minimum(squeezed, 1.5) * np.float32(rng.uniform(0.3, 1))
    picture = np.maximum(picture, np.minimum(picture + dense, DENSEST_HU))
    disc = np.float32(rng.uniform(*DISC_HU)) + np.float32(noise) * fine_noise(ct.shape, rng)
    left = ct + solid * (disc - ct)
    gone = (solid - piece > 0.5) & (shape > 0.05)
    moved = np.clip(np.maximum(np.abs(shift), bulge) / 0.05, 0, 1)
    pressed = ct + moved * (left + piece * (picture - left) - ct)
    where = gone | ((squeezed > 0.3) & (piece > 0.5))
    return pressed, np.maximum(piece, (1 - moved) * solid), where


def _shape(body: _Body, kind: str, rng: np.random.Generator) -> np.ndarray:
    """(x, y, z) 0..1: what part of the lost height each place of the plates loses. Nothing beside and behind the body,
    whose processes stay."""
    along = np.clip(body.front / body.depth, 0, 1)
    wedge, middle = along, np.clip(1 - (2 * along - 1) ** 2 * 0.8, 0, 1)
    forms = [np.ones_like(along)] if kind == "burst" else [wedge, wedge, middle, np.ones_like(along)]
    aside = np.clip((body.half_width + 1 - np.abs(body.right)) / FADE_MM, 0, 1)
    behind = np.clip(body.front / FADE_MM + 0.5, 0, 1)
    return (forms[rng.integers(len(forms))] * aside * behind).astype(np.float32)


def _push_back(
    ct: np.ndarray, solid: np.ndarray, bone: Bone, body: _Body, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A piece of the back wall moved back into the canal -> CT, and the gap that it leaves."""
    rough = 0.7 * smooth_field(ct.shape, bone.spacing, 4, rng)
    voxel = float(bone.spacing.min())
    part = np.clip((rng.uniform(*PIECE_MM) + rough - body.front) / voxel + 0.5, 0, 1)
    part *= np.clip((body.front + 3) / voxel, 0, 1)
    part *= np.clip((rng.uniform(0.4, 0.7) * body.half_width + rough - np.abs(body.right)) / voxel, 0, 1)
    reach = body.height * rng.uniform(0.3, 0.45)
    part *= np.clip((reach + rough - np.abs(body.up - rng.uniform(0, 0.15) * body.height)) / voxel, 0, 1)
    piece = (part * solid).astype(np.float32)
    by = rng.uniform(*PUSHED_MM) * bone.axes[:, 1] / bone.spacing
    picture, moved = (ndimage.shift(a, -by, order=1, mode="nearest") for a in (ct, piece))
    left = ct + piece * (blood(ct.shape, noise, rng) - ct)
    return left + moved * (picture - left), (piece - moved > 0.5)
