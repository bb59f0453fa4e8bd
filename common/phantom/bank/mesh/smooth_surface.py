"""Bones of an atlas with facets small enough for fine voxels: coarse ones would show as flat faces."""

import dataclasses

import numpy as np

from common.phantom.bank.mesh.atlas_table import Part, trimesh
from common.phantom.bank.mesh.rest_pose import RestPose, make_rims
from common.phantom.tissues import VERTEBRA

EDGE_MM = 1.6
"""Edges of facets are halved until nine of ten are at most this long."""
MOST_ROUNDS = 3
FINE = (VERTEBRA, "mandible")


def with_smooth_bones(rest: RestPose) -> RestPose:
    """The atlas with its vertebrae and its mandible subdivided and rounded; all else, its frames too, as it is."""
    parts = [smooth(part) if part.tissue in FINE else part for part in rest.parts]
    shares = [
        np.broadcast_to(old[0], (len(part.vertices), old.shape[1])) if part.tissue in FINE else old
        for part, old in zip(parts, rest.weights)
    ]
    return dataclasses.replace(rest, parts=parts, weights=shares, rims=make_rims(parts, rest.levels))


def smooth(part: Part) -> Part:
    """Loop subdivision of a closed surface, whose vertices are joined first where they lie in one place (files that
    keep a vertex twice along a seam of their normals have none closed). A surface that isn't closed stays as it is."""
    library = trimesh()
    vertices, faces = _joined(part.vertices, part.faces)
    mesh = library.Trimesh(vertices, faces, process=False)
    if not mesh.is_watertight:
        return part
    rounds = int(np.clip(np.ceil(np.log2(np.percentile(mesh.edges_unique_length, 90) / EDGE_MM)), 0, MOST_ROUNDS))
    if rounds:
        vertices, faces = library.remesh.subdivide_loop(vertices, faces, iterations=rounds)
    return dataclasses.replace(part, vertices=vertices, faces=faces)


def _joined(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    places, number = np.unique(np.round(vertices, 4), axis=0, return_inverse=True)
    faces = number.reshape(-1)[faces]
    whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return places, faces[whole]
