"""Bones of meshes in fine voxels: distances, the cortex' thickness, joints that stay open, smooth facets."""

import dataclasses

import numpy as np
import pytest
import trimesh

from common.phantom.anatomy.person import make_person
from common.phantom.bank.mesh import paint_bones as paint
from common.phantom.bank.mesh.atlas_table import Part
from common.phantom.bank.mesh.bone_distance import BoneField, fine_distance, quick_distance, signed_distance
from common.phantom.bank.mesh.paint_bones import JOINT_MM, BodyFrame, FineBone, paint_bones
from common.phantom.bank.mesh.smooth_surface import EDGE_MM, smooth
from common.phantom.painting.canvas import Canvas
from common.volume import Grid

MM = 0.4
PERSON = dataclasses.replace(make_person(3, 0), degeneration=0.0, age=40.0)


def grid(size_mm: float = 30.0) -> Grid:
    return Grid.around(np.array([0.13, -0.07, 0.05]), np.full(3, size_mm), np.full(3, MM))


def ball(radius: float) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def block(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """From `low` to `high` mm across, 16 mm wide and high."""
    mesh = trimesh.creation.box((high - low, 16, 16)).apply_translation([(low + high) / 2, 0, 0])
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def painted(surfaces: dict[str, tuple[np.ndarray, np.ndarray]], cortex_mm: float = 1.0) -> Canvas:
    """Soft tissue of 50 HU with these bones in it, which are labelled 1, 2, .. in their order."""
    canvas = Canvas.filled(grid(), 50.0)
    field, bones = BoneField.empty(canvas.grid), []
    for label, (name, surface) in enumerate(surfaces.items(), start=1):
        number = field.lay(name.split()[0], *surface)
        bones.append(FineBone(number, "vertebra", label, (cortex_mm, cortex_mm)))
    paint_bones(canvas, field, bones, PERSON)
    return canvas


def from_middle(where: Grid) -> np.ndarray:
    return np.linalg.norm(where.to_world(np.moveaxis(np.indices(where.shape), 0, -1)), axis=-1)


def test_distances_to_a_ball_are_right_to_a_quarter_of_a_voxel() -> None:
    away = from_middle(grid()) - 9
    found = signed_distance(away < 0, MM)
    near = np.abs(away) < 1.5
    assert np.abs(found - away)[near].max() < 0.25 and abs((found - away)[near].mean()) < 0.03


def test_every_other_voxel_gives_nearly_the_same_distances() -> None:
    shared = np.full(grid().shape, np.nan), np.full(grid().shape, np.nan)
    for array, distance in zip(shared, (fine_distance, quick_distance)):
        window, found = distance(*ball(9.0), grid())
        array[window] = found
    near = np.abs(shared[0]) < 1.5
    assert np.nanmax(np.abs(shared[0] - shared[1])[near]) < 0.35
    assert fine_distance(ball(9.0)[0] + 100, ball(9.0)[1], grid()) is None


def test_a_bone_cut_by_the_grid_has_no_surface_at_the_cut() -> None:
    window, found = fine_distance(ball(12.0)[0] + [15, 0, 0], ball(12.0)[1], grid())
    assert window[0].stop == grid().shape[0]
    assert found[-1].min() < -8


@pytest.mark.parametrize("cortex_mm", [1.2, 2.4])
def test_the_cortex_has_the_thickness_asked_for(cortex_mm: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paint, "make_marrow", lambda rng: np.zeros((64, 64, 64), np.float32))
    canvas = painted({"ball": ball(12.0)}, cortex_mm)
    depth = 12 - from_middle(canvas.grid)
    steps = np.arange(0.4, 6, 0.1)
    profile = np.array([np.mean(canvas.hu[np.abs(depth - d) < 0.1]) for d in steps])
    compact, marrow = profile.max(), profile[-10:].mean()
    assert compact > 1000 > 700 > marrow
    ends = steps[np.argmax((profile < (compact + marrow) / 2) & (steps > steps[profile.argmax()]))]
    assert ends == pytest.approx(cortex_mm, abs=MM / 2)


@pytest.mark.parametrize("overlap", [0.0, 2.0])
def test_bones_that_touch_or_overlap_keep_a_dark_joint(overlap: float) -> None:
    canvas = painted({"left": block(-12, overlap / 2), "right": block(-overlap / 2, 12)})
    line = canvas.hu[:, 37, 37]
    middle = round(float(canvas.grid.to_index(np.zeros(3))[0]))
    assert line[middle - 1 : middle + 2].min() < 150
    assert line[middle - 6 : middle - 2].max() > 700 and line[middle + 3 : middle + 7].max() > 700
    labels = canvas.labels[:, 37, 37]
    assert labels[middle] == 0 and set(labels[labels > 0]) == {1, 2}
    gap = np.flatnonzero(labels == 2)[0] - np.flatnonzero(labels == 1)[-1] - 1
    assert MM * gap == pytest.approx(JOINT_MM[1], abs=MM)


def test_parts_of_one_bone_have_no_joint_between_them() -> None:
    canvas = painted({"skull left": block(-12, 0.5), "skull right": block(-0.5, 12)})
    middle = round(float(canvas.grid.to_index(np.zeros(3))[0]))
    assert canvas.hu[middle - 10 : middle + 11, 37, 37].min() > 200


def test_a_wide_gap_stays_as_it_is() -> None:
    alone, two = (painted(s) for s in ({"a": block(-12, -3)}, {"a": block(-12, -3), "b": block(3, 12)}))
    half = slice(0, 37)
    assert np.array_equal(alone.labels[half], two.labels[half])
    assert np.allclose(alone.hu[half], two.hu[half], atol=1)


def test_labels_are_where_more_than_half_is_bone() -> None:
    canvas = painted({"ball": ball(10.0)})
    inside = from_middle(canvas.grid) < 10
    assert (canvas.labels == 1).sum() == pytest.approx(inside.sum(), rel=0.01)
    assert canvas.hu[canvas.labels == 1].min() > 150 and canvas.hu[from_middle(canvas.grid) > 10.6].max() < 60


def test_the_same_person_has_the_same_bone() -> None:
    one, again = painted({"ball": ball(10.0)}), painted({"ball": ball(10.0)})
    assert np.array_equal(one.hu, again.hu)


def test_a_body_lies_about_its_middle_and_the_arch_behind_it() -> None:
    frame = BodyFrame(np.c_[np.eye(3), [0, 0, -40.0]], width=11, depth=8, height=6)
    local = frame.local(np.array([[0, 0, 40.0], [0, -20, 40.0], [20, 0, 40.0]]))
    assert frame.inside(local).tolist() == [1, 0, 0]
    assert not BodyFrame(frame.to_local, 0, 0, 0).inside(local).any()


def test_a_coarse_surface_with_doubled_vertices_becomes_fine_and_round() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=10)
    corners = np.asarray(mesh.vertices)[mesh.faces].reshape(-1, 3)  # every facet with corners of its own
    part = Part("c3", "C3", "vertebra", corners, np.arange(len(corners)).reshape(-1, 3))
    found = smooth(part)
    edges = np.linalg.norm(found.vertices[found.faces] - found.vertices[np.roll(found.faces, 1, axis=1)], axis=-1)
    assert np.percentile(edges, 90) < EDGE_MM < np.percentile(mesh.edges_unique_length, 90)
    radius = np.linalg.norm(found.vertices, axis=1)
    assert radius.std() < 0.02 and radius.mean() > 9.7
    faces = trimesh.Trimesh(found.vertices, found.faces, process=False)
    assert faces.is_watertight


def test_an_open_surface_stays_as_it_is() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=1, radius=10)
    part = Part("c3", "C3", "vertebra", np.asarray(mesh.vertices), np.asarray(mesh.faces)[:-1])
    assert smooth(part) is part
