"""Moved surfaces to one map of tissue codes, layer over layer, with what no atlas draws: skin, fat, loose tissue."""

import numpy as np
from scipy import ndimage

from common.phantom import tissues
from common.phantom.bank.mesh.atlas_table import Part
from common.phantom.bank.mesh.body import Body
from common.phantom.bank.mesh.spinal_canal import Sections, tube
from common.phantom.bank.mesh.voxelise import Window, voxelise
from common.phantom.tissues import BONES, CORTEX, FILLED, LEVEL_CODES, SKIN_HULL, VERTEBRA
from common.volume import Grid, Volume

SHELL = ndimage.generate_binary_structure(3, 1)


def fill_tissues(parts: list[Part], moved: list[np.ndarray], tubes: list[Sections], body: Body, grid: Grid) -> Volume:
    """Tissue codes (X, Y, Z) uint8 on `grid`. `moved`: vertices of each part in the subject."""
    masks = _voxelised(parts, moved, grid)
    codes = _envelope(masks, body, grid)
    for name, code in FILLED.items():
        if name == "canal":
            _lay(codes, [tube(s, grid) for s in tubes if s.tissue == "canal"], code)
        if name == "air":
            _lay(codes, [tube(s, grid) for s in tubes if s.tissue != "canal"], code)
        _lay(codes, masks.get(name, []), code)
        if name == "muscle":
            _part_muscles(codes, masks.get(name, []), body)
    for name, (cortex, spongy) in BONES.items():
        _lay_bone(codes, _united(masks.get(name, []), grid), cortex, spongy)
    _lay_vertebrae(codes, masks, parts, grid)
    return Volume(codes, grid.affine)


def _voxelised(parts: list[Part], moved: list[np.ndarray], grid: Grid) -> dict[str, list]:
    """Tissue -> windows and masks of its parts, in the table's order; of vertebrae with their level."""
    masks: dict[str, list] = {}
    for part, vertices in zip(parts, moved):
        found = voxelise(vertices, part.faces, grid, axes=3 if part.tissue == VERTEBRA else 1)
        if found is not None:
            masks.setdefault(part.tissue, []).append((*found, part.level))
    return masks


def _lay(codes: np.ndarray, found: list, code: int) -> None:
    for item in found:
        if item is not None:
            window, mask = item[:2]
            codes[window][mask & (codes[window] != tissues.OUTSIDE)] = code


def _part_muscles(codes: np.ndarray, found: list, body: Body) -> None:
    """Thin fat where one muscle ends and the next begins, more of it in the stout."""
    rng = body.stream("septa")
    fat = _noise(codes.shape, 4, rng) > -0.9 * float(np.clip(body.girth - 0.8 + rng.normal(0, 0.2), -1, 1.2))
    owner = np.zeros(codes.shape, np.uint8)
    for number, (window, mask, _) in enumerate(found):
        owner[window][mask] = number % 250 + 1
    for axis in range(3):
        first, second = (np.moveaxis(owner, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        seam = (first != second) & (second > 0) & np.moveaxis(fat, axis, 0)[1:]
        view = np.moveaxis(codes, axis, 0)[1:]
        view[seam & (view == tissues.MUSCLE)] = tissues.FAT


def _noise(shape: tuple[int, ...], step: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of unit variance that changes over about `step` voxels."""
    coarse = rng.standard_normal([int(np.ceil(n / step)) + 2 for n in shape], dtype=np.float32)
    coarse = ndimage.gaussian_filter(coarse, 0.8)
    return ndimage.zoom(coarse / coarse.std(), step, order=1)[tuple(slice(0, n) for n in shape)]


def _united(found: list, grid: Grid) -> np.ndarray:
    whole = np.zeros(grid.shape, bool)
    for window, mask, _ in found:
        whole[window] |= mask
    return whole


def _lay_bone(codes: np.ndarray, mask: np.ndarray, cortex: int, spongy: int) -> None:
    if not mask.any():
        return
    window = ndimage.find_objects(mask.astype(np.uint8))[0]
    inside = mask[window]
    codes[window][inside] = cortex
    codes[window][ndimage.binary_erosion(inside, SHELL, border_value=1)] = spongy


def _lay_vertebrae(codes: np.ndarray, masks: dict[str, list], parts: list[Part], grid: Grid) -> None:
    """Each vertebra whole; a voxel that two of them claim goes to the one that it lies deeper in."""
    depth = np.zeros(grid.shape, np.float32)
    owner = np.zeros(grid.shape, np.uint8)
    for window, mask, level in masks.get(VERTEBRA, []):
        deep = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1].astype(np.float32)
        mine = deep > depth[window]
        depth[window][mine] = deep[mine]
        owner[window][mine] = LEVEL_CODES[level]
    for window, _, level in masks.get(VERTEBRA, []):
        code = LEVEL_CODES[level]
        mask = owner[window] == code
        codes[window][mask] = code + CORTEX
        codes[window][ndimage.binary_erosion(mask, SHELL, border_value=1)] = code


def _envelope(masks: dict[str, list], body: Body, grid: Grid) -> np.ndarray:
    """Skin, fat below it, and loose muscle and fat within, before anything else is laid over them."""
    hull = _united(masks.get(SKIN_HULL, []), grid)
    for window, mask in _bony(masks):
        hull[window] |= mask
    hull = ndimage.binary_closing(np.pad(hull, 4, mode="edge"), iterations=3)[4:-4, 4:-4, 4:-4]
    for k in range(grid.shape[2]):
        hull[:, :, k] = ndimage.binary_fill_holes(hull[:, :, k])
    depth = _depth(hull, grid)
    rng = body.stream("envelope")
    noise = _noise(grid.shape, 6, rng)
    above = np.clip(
        (grid.to_world(np.stack([np.zeros(grid.shape[2])] * 2 + [np.arange(grid.shape[2])], 1))[:, 2] - 70) / 60, 0, 1
    )
    thick = 3.5 + max(body.fat_mm, 0.0) * (1 - 0.75 * above) + 1.0 * noise
    codes = np.zeros(grid.shape, np.uint8)
    codes[hull] = np.where(noise[hull] > 0.4 - 1.5 * (body.girth - 0.9), tissues.FAT, tissues.MUSCLE)
    codes[hull & (depth < thick)] = tissues.FAT
    codes[hull & (depth < 1.6)] = tissues.SKIN
    return codes


def _bony(masks: dict[str, list]) -> list[tuple[Window, np.ndarray]]:
    return [(w, m) for name in (*BONES, VERTEBRA) for w, m, _ in masks.get(name, [])]


def _depth(hull: np.ndarray, grid: Grid) -> np.ndarray:
    """mm below the skin, up to about 25; the picture's own borders are no skin."""
    padded = np.pad(hull, 1, mode="edge")
    return (
        ndimage.distance_transform_cdt(padded, "taxicab")[1:-1, 1:-1, 1:-1].astype(np.float32) * grid.spacing[0] * 0.8
    )
