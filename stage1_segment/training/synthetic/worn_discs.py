"""Worn discs: narrowed by bone from either side, calcified, filled with gas, each its own.

On loading, every disc voxel of a subject gets a code of its disc, its nearer vertebra and its distance from that. A
table drawn per scan then turns the outer layers of a disc into its vertebra's cortex.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from common.phantom.tissues import CORTEX, DISC, LEVEL_CODES
from common.volume import Grid

FIRST = 100
"""Code of what lies next to C1's lower side; PARTS codes for each disc, named after the vertebra above it."""
LAYERS = 3
"""Of a voxel each, counted from the vertebra; the last one holds all the rest."""
PARTS = 2 * LAYERS
DISCS = range(1, len(LEVEL_CODES))

WORN, MOST = 0.6, 0.6
"""Part of the scans with narrowed discs, and the largest chance of a disc's side to lose its next layer."""
SEVERE = (0.6, 0.97)
"""The same chance in severely worn spines."""
BLOCKS = range(2, 7)
"""The discs, by the number of the vertebra above, that a block vertebra may lack."""
VACUUM, CALCIFIED = 0.04, 0.06
"""Part of the discs."""
VACUUM_HU, CALCIFIED_HU = (-400.0, 0.0), (150.0, 500.0)
DIFFERENCE_HU = 20.0
"""Standard deviation between the discs of one spine."""


def with_disc_parts(labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(X, Y, Z) uint8 codes of `common.phantom.tissues` -> the same, with the disc voxels between two neighbouring
    vertebrae told apart. `affine`: voxel -> RAS mm."""
    places = np.argwhere(labels == DISC)
    if not len(places):
        return labels
    grid = Grid(labels.shape, affine)
    low, high = np.maximum(places.min(axis=0) - 20, 0), places.max(axis=0) + 21
    near = labels[tuple(map(slice, low, high))]
    points = grid.to_world(places)
    distances = np.full((len(places), len(LEVEL_CODES) + 1), np.inf)
    for code in LEVEL_CODES.values():
        bone = np.argwhere(near == CORTEX + code)
        if len(bone):
            distances[:, code], _ = cKDTree(grid.to_world(bone + low)).query(points, distance_upper_bound=20.0)
    nearest, second = distances.argsort(axis=1)[:, :2].T
    layer = np.rint(distances.min(axis=1).clip(max=100) / grid.spacing.min()).astype(int).clip(1, LAYERS) - 1
    known = np.isfinite(np.take_along_axis(distances, second[:, None], 1)[:, 0]) & (np.abs(nearest - second) == 1)
    disc = np.minimum(nearest, second)
    codes = FIRST + (disc - 1) * PARTS + np.where(nearest == disc, 0, LAYERS) + layer
    told = labels.copy()
    told[tuple(places[known].T)] = codes[known]
    return told


def draw_disc_wear(rng: np.random.Generator, chance: float | None = None) -> np.ndarray:
    """(256,) uint8: one scan's code -> what is there: bone, or the disc's one code (`disc_code`). `chance` of a disc's
    side to lose its next layer; None: drawn."""
    table = np.arange(256, dtype=np.uint8)
    if chance is None:
        chance = rng.uniform(0, MOST) if rng.random() < WORN else 0.0
    for disc in DISCS:
        for side, vertebra in enumerate((disc, disc + 1)):
            first = FIRST + (disc - 1) * PARTS + side * LAYERS
            lost = int((rng.random(LAYERS - 1) < chance).cumprod().sum())
            table[first : first + lost] = CORTEX + vertebra
            table[first + lost : first + LAYERS] = disc_code(disc)
    return table


def draw_severe_wear(rng: np.random.Generator) -> np.ndarray:
    """Such a table of a spine whose discs are narrowed on most sides."""
    return draw_disc_wear(rng, rng.uniform(*SEVERE))


def draw_blocks(rng: np.random.Generator) -> np.ndarray:
    """Such a table of a spine that lacks one to three discs below C2 to C6."""
    table = draw_disc_wear(rng)
    return fused(table, rng.choice(BLOCKS, size=int(rng.integers(1, 4)), replace=False).tolist())


def fused(table: np.ndarray, discs: Sequence[int]) -> np.ndarray:
    """A table as `draw_disc_wear` gives it, with bone in place of the whole of some discs (1 = below C1, ...): a block
    of vertebrae, each half of the disc its own vertebra's."""
    blocked = table.copy()
    for disc in discs:
        first = FIRST + (disc - 1) * PARTS
        blocked[first : first + LAYERS] = CORTEX + disc
        blocked[first + LAYERS : first + PARTS] = CORTEX + disc + 1
    return blocked


def disc_code(disc: int) -> int:
    """The code of what is left of the disc below a vertebra (1 = C1, ...)."""
    return FIRST + (disc - 1) * PARTS


def draw_disc_hu(usual: float, rng: np.random.Generator) -> dict[int, float]:
    """`disc_code` -> HU of each disc of a spine whose discs have `usual` HU."""
    hu = {}
    for disc in DISCS:
        kind = rng.random()
        if kind < VACUUM:
            value = rng.uniform(*VACUUM_HU)
        elif kind < VACUUM + CALCIFIED:
            value = rng.uniform(*CALCIFIED_HU)
        else:
            value = usual + rng.normal(0, DIFFERENCE_HU)
        hu[disc_code(disc)] = value
    return hu
