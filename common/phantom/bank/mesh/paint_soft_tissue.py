"""Coarse tissue codes as HU on a finer grid: smooth borders a voxel wide instead of steps, texture in millimetres."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from common.phantom import tissues
from common.phantom.anatomy.person import Person
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.surroundings.texture import smooth_field
from common.volume import Volume

HU = {
    tissues.AIR: -1000.0,
    tissues.LUNG: -800.0,
    tissues.FAT: -104.0,
    tissues.MUSCLE: 58.0,
    tissues.SKIN: 20.0,
    tissues.SOFT: 45.0,
    tissues.GLAND: 35.0,
    tissues.VESSEL: 45.0,
    tissues.DISC: 88.0,
    tissues.CARTILAGE: 105.0,
    tissues.BRAIN: 36.0,
    tissues.CANAL: 12.0,
}
CORD, CORD_HU, CORD_MM = 255, 42.0, 3.0
"""The code of the spinal cord, which label maps don't have: the canal's inside, so far from its wall."""
BORDER_MM = 1.1
"""Standard deviation of the Gaussian that takes the steps of voxels off the borders between tissues."""
THIN = 1.35
"""By how much fat counts for more than its neighbours: thin layers of it would be smoothed away."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One tissue on the coarse grid: `share` (Z, X, Y) float32, how much of it there is; `hu` of that shape or one."""

    share: np.ndarray
    hu: np.ndarray | float


def paint_soft_tissue(canvas: Canvas, codes: Volume, person: Person) -> None:
    """Fills `canvas.hu` from `codes` (tissue codes, axes R, A, S as the canvas' own). Bones count as nothing: what
    lies beside them goes on into them. Beyond the codes' borders their outermost values go on."""
    layers = _layers(codes, person)
    scale = canvas.grid.spacing / codes.spacing
    first = codes.grid.to_index(canvas.grid.affine[:3, 3])
    x, y, slices = canvas.grid.shape
    to_coarse = np.array([[scale[1], 0, first[1]], [0, scale[0], first[0]]])
    for k in range(slices):
        at = float(np.clip(first[2] + k * scale[2], 0, codes.array.shape[2] - 1))
        canvas.hu[:, :, k] = _plane(layers, at, to_coarse, (y, x))


def _plane(layers: list[Layer], at: float, to_coarse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """HU of one fine slice at the coarse slice `at`: each tissue's share to the fourth power is its weight, so that a
    border is about a quarter of a coarse voxel wide."""
    total = np.full(size[::-1], 1e-9, np.float32)
    mean = total * HU[tissues.MUSCLE]
    for layer in layers:
        share = _between(layer.share, at)
        if not share.any():
            continue
        share = _finer(share, to_coarse, size)
        share *= share
        share *= share
        total += share
        share *= layer.hu if isinstance(layer.hu, float) else _finer(_between(layer.hu, at), to_coarse, size)
        mean += share
    return mean / total


def _between(stack: np.ndarray, at: float) -> np.ndarray:
    below = min(int(at), len(stack) - 1)
    above, part = min(below + 1, len(stack) - 1), np.float32(at - below)
    return stack[below] * (1 - part) + stack[above] * part


def _finer(plane: np.ndarray, to_coarse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(plane, to_coarse, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _layers(codes: Volume, person: Person) -> list[Layer]:
    array = np.ascontiguousarray(np.moveaxis(codes.array, 2, 0))
    spacing = float(codes.spacing[0])
    textures = _textures(array.shape, spacing, person)
    array = _with_cord(array, spacing)
    layers = []
    for code, hu in {**HU, CORD: CORD_HU}.items():
        here = array == code
        if code == tissues.AIR:
            here |= array == tissues.OUTSIDE
        if not here.any():
            continue
        share = ndimage.gaussian_filter(here.astype(np.float32), BORDER_MM / spacing, truncate=3)
        if code == tissues.FAT:
            share *= THIN
        layers.append(Layer(share, hu + textures[code] if code in textures else hu))
    return layers


def _with_cord(array: np.ndarray, spacing: float) -> np.ndarray:
    canal = array == tissues.CANAL
    deep = ndimage.distance_transform_edt(canal) * spacing > CORD_MM
    return np.where(deep, np.uint8(CORD), array)


def _textures(shape: tuple[int, ...], spacing: float, person: Person) -> dict[int, np.ndarray]:
    """Code -> what its HU vary by: fat in muscle along its fibres, strands in fat, and a little in all else."""
    rng = person.stream("soft tissue")
    along = np.array([9.0, 2.4, 2.4]) / spacing
    streaks, fine = smooth_field(shape, along, rng), smooth_field(shape, along / 1.6, rng)
    wasting = float(np.clip(0.25 + person.age / 100 + 0.4 * person.fatness, 0.3, 1.4))
    marbling = np.clip(streaks - 1.25 + 0.45 * wasting, 0, 1.2)
    web = np.abs(smooth_field(shape, np.full(3, 5.0 / spacing), rng))
    strands = 60 * np.clip(0.16 - web, 0, 0.16) / 0.16
    even = smooth_field(shape, np.full(3, 3.0 / spacing), rng)
    textures = {
        tissues.MUSCLE: 5 * fine + 4 * streaks - 75 * wasting * marbling,
        tissues.FAT: 6 * even + strands,
        tissues.GLAND: 12 * even,
        tissues.DISC: 9 * even,
        tissues.SOFT: 6 * even,
        tissues.BRAIN: 4 * even,
        tissues.CARTILAGE: 20 * even,
    }
    return {code: texture.astype(np.float32) for code, texture in textures.items()}
