"""An atlas whose vertebrae are blocks, for tests of what is made of meshes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import trimesh

from common.phantom.bank.mesh.rest_pose import SPACING_MM

LEVELS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1", "T2", "T3", "T4")


def centres() -> dict[str, np.ndarray]:
    """RAS mm of blocks that stand straight, as far from each other as the keypoints' means."""
    heights = -np.r_[0, np.cumsum(SPACING_MM[: len(LEVELS) - 1])]
    return {level: np.array([0.0, 0.0, z]) for level, z in zip(LEVELS, heights)}


def box(size: tuple[float, float, float], place: np.ndarray) -> trimesh.Trimesh:
    return trimesh.creation.box(size, trimesh.transformations.translation_matrix(place)).subdivide().subdivide()


def write_blocks(where: Path) -> None:
    """Writes an atlas of blocks in the DICOM frame: x to the left, y to the back."""
    meshes: dict[str, tuple[str, str, trimesh.Trimesh]] = {}
    places = centres()
    for level, place in places.items():
        size = (22, 16, 9) if level in ("C1", "C2") else (22, 16, 12)
        meshes[level] = (level, "vertebra", box(size, place + np.array([0, 0, 0 if level != "C2" else -6])))
    dens = box((9, 9, 14), places["C2"] + [0, 0, 5.5])
    meshes["C2"] = ("C2", "vertebra", trimesh.util.concatenate([meshes["C2"][2], dens]))
    for upper, lower in pairwise(LEVELS[1:]):
        meshes[f"disc{upper}"] = (upper, "disc", box((20, 15, 3), (places[upper] + places[lower]) / 2))
    head = trimesh.creation.icosphere(radius=60).apply_translation([0, 10, 75])
    meshes["head"] = ("", "skull", head)
    for side in (-1, 1):
        meshes[f"rib{side}"] = ("", "rib", box((8, 60, 60), np.array([side * 70, 20, -190])))
    meshes["skin"] = ("", "skin", box((190, 170, 420), np.array([0, 10, -70])))
    rows = ["# frame: LPS mm", "file,label,tissue"]
    for name, (level, tissue, mesh) in meshes.items():
        mesh.apply_transform(np.diag([-1, -1, 1, 1]))
        mesh.export(where / f"{name}.ply")
        rows.append(f"{name}.ply,{level},{tissue}")
    (where / "atlas.csv").write_text("\n".join(rows) + "\n")
