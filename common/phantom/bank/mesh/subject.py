"""One subject of an atlas, from its seed to its map of tissue codes."""

import numpy as np

from common.phantom.bank.mesh.body import Body, draw_body
from common.phantom.bank.mesh.posing import pose, rest_lordosis
from common.phantom.bank.mesh.reshape import reshape, reshape_tubes
from common.phantom.bank.mesh.rest_pose import RestPose
from common.phantom.bank.mesh.tissue_map import fill_tissues
from common.phantom.tissues import CORTEX, LEVEL_CODES, SKIN_HULL
from common.volume import Grid, Volume

VOXEL_MM = 1.5
WIDTH_MM = 240.0
ABOVE_MM = 6.0


def make_subject(rest: RestPose, seed: int) -> tuple[Volume, str]:
    """The subject's tissue codes, VOXEL_MM, axes R, A, S, C4 near the world's origin; and its lowest whole level."""
    body = draw_body(seed, len(rest.levels), rest_lordosis(rest))
    motion = pose(rest, body)
    moved = reshape(rest, motion, body)
    tubes = reshape_tubes(rest, motion, body)
    grid = _grid(rest, moved, body)
    volume = fill_tissues(rest.parts, moved, tubes, body, grid)
    return volume, _lowest_whole(volume.array, rest.levels)


def _lowest_whole(codes: np.ndarray, levels: list[str]) -> str:
    """The lowest vertebra that the picture's lower border doesn't cut."""
    border = codes[:, :, 0]
    cut = [bool(np.isin(border, (LEVEL_CODES[k], LEVEL_CODES[k] + CORTEX)).any()) for k in levels]
    return levels[cut.index(True) - 1] if any(cut) else levels[-1]


def _grid(rest: RestPose, moved: list[np.ndarray], body: Body) -> Grid:
    """From the skin of the vertex to the middle of the lowest vertebra; across at most WIDTH_MM about the body."""
    skin = np.vstack([v for v, p in zip(moved, rest.parts) if p.tissue == SKIN_HULL])
    lowest = next(v for v, p in zip(moved, rest.parts) if p.level == rest.levels[-1])
    low, high = skin.min(axis=0) - ABOVE_MM, skin.max(axis=0) + ABOVE_MM
    low[2] = lowest[:, 2].mean()
    near = skin[skin[:, 2] > low[2]]
    low[1], high[1] = near[:, 1].min() - ABOVE_MM, near[:, 1].max() + ABOVE_MM
    middle = (low + high) / 2
    middle[0] = 0.0
    size = np.minimum(high - low, [WIDTH_MM, WIDTH_MM, np.inf])
    return Grid.around(middle, size, np.full(3, VOXEL_MM))
