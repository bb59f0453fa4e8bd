"""Meshes become voxels of the right volume, vertebrae move as asked, and a faulty table says what is wrong with it."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from common.errors import ConfigError
from common.phantom import tissues
from common.phantom.bank.mesh.atlas_table import Atlas, find_table, read_atlas, read_table
from common.phantom.bank.mesh.body import draw_body
from common.phantom.bank.mesh.posing import PIVOT_BACK_MM, pose, rest_lordosis
from common.phantom.bank.mesh.rest_pose import make_rest_pose
from common.phantom.bank.mesh.subject import make_subject
from common.phantom.bank.mesh.transplant import closest_points, similarity, transplant
from common.phantom.bank.mesh.voxelise import voxelise
from common.phantom.tissues import CORTEX, LEVEL_CODES
from common.volume import Grid
from tests.common.phantom.block_atlas import LEVELS, write_blocks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("blocks")
    write_blocks(where)
    return where


@pytest.fixture(scope="module")
def rest(folder: Path):
    return make_rest_pose(read_atlas(folder))


def neutral(rest):
    """A body that leaves the atlas as it is."""
    levels = len(rest.levels)
    zero = np.zeros(levels)
    origins = np.stack([frame.origin for frame in rest.frames.values()])
    return dataclasses.replace(
        draw_body(0, levels, rest_lordosis(rest)),
        size=1.0, spacing=np.linalg.norm(np.diff(origins, axis=0), axis=1), lean=zero, bend=zero, turn=zero, wear=zero,
        head=(0.0, 0.0, 0.0), head_size=1.0, tilt=(0.0, 0.0, 0.0), plump=np.ones((levels, 2)),
    )  # fmt: skip


@pytest.mark.parametrize("axes", [1, 3])
def test_a_ball_has_its_volume(axes: int) -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=20)
    grid = Grid.around(np.array([1.3, -2.1, 0.4]), np.full(3, 50.0), np.array([1.5, 1.5, 1.0]))
    window, inside = voxelise(np.asarray(ball.vertices), np.asarray(ball.faces), grid, axes)
    assert inside.sum() * 1.5 * 1.5 * 1.0 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.02)
    middle = grid.to_world(np.argwhere(inside).mean(axis=0) + [part.start for part in window])
    assert np.allclose(middle, 0, atol=0.1)


def test_a_box_on_voxel_borders_is_exact() -> None:
    mesh = trimesh.creation.box((10, 20, 30))
    grid = Grid.around(np.zeros(3), np.full(3, 40.0), np.ones(3))  # centres at .5: 10 x 20 x 30 of them inside
    assert voxelise(mesh.vertices, mesh.faces, grid)[1].sum() == 6000


def test_three_axes_outvote_a_hole() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=15)
    faces = np.delete(np.asarray(mesh.faces), np.s_[:12], axis=0)
    grid = Grid.around(np.zeros(3), np.full(3, 40.0), np.ones(3))
    assert voxelise(mesh.vertices, faces, grid)[1].sum() == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)


def test_what_leaves_the_grid_is_cut_and_what_lies_outside_is_none() -> None:
    mesh = trimesh.creation.box((10, 10, 10))
    grid = Grid.around(np.array([5.0, 0, 0]), np.array([10.0, 20, 20]), np.ones(3))
    assert voxelise(mesh.vertices, mesh.faces, grid)[1].sum() == 500
    assert voxelise(mesh.vertices + 100, mesh.faces, grid) is None


def test_a_neutral_body_leaves_the_vertebrae_where_they_are(rest) -> None:
    motion = pose(rest, neutral(rest))
    for level in LEVELS[2:]:
        there = rest.frames[level].origin
        assert np.allclose(motion.anchor(level, there[None])[0], there - rest.frames["C4"].origin, atol=0.05)


def test_flexion_turns_everything_above_about_a_point_behind_the_disc(rest) -> None:
    lean = np.zeros(len(rest.levels))
    lean[LEVELS.index("C5")] = 10.0
    motion = pose(rest, dataclasses.replace(neutral(rest), lean=lean))
    places = {k: rest.frames[k].origin for k in LEVELS}
    pivot = rest.frames["C5"].joint - [0, PIVOT_BACK_MM, 0]
    cos, sin = np.cos(np.radians(10)), np.sin(np.radians(10))
    _, y, z = places["C4"] - pivot
    by_hand = pivot + np.array([0, cos * y + sin * z, -sin * y + cos * z]) - places["C6"]
    found = motion.anchor("C4", places["C4"][None])[0] - motion.anchor("C6", places["C6"][None])[0]
    assert np.allclose(found, by_hand, atol=0.05)
    assert found[1] > 3  # forwards


def test_blending_halves_a_shift(rest) -> None:
    motion = pose(rest, neutral(rest))
    motion.moves["C7"] = motion.moves["C7"] + np.c_[np.zeros((3, 3)), [0, 0, 8.0]]
    shares = np.zeros((1, len(rest.anchors)))
    shares[0, [5, 6]] = 0.5
    point = np.array([[30.0, 5, -100]])
    assert motion.blend(point, shares, rest.anchors)[0, 2] == pytest.approx(
        motion.anchor("C6", point)[0, 2] + 4, abs=0.05
    )


def test_a_subject_has_its_levels_in_order_and_is_the_same_twice(rest) -> None:
    volume, lowest = make_subject(rest, 5)
    again, _ = make_subject(rest, 5)
    assert (volume.array == again.array).all() and np.allclose(volume.affine, again.affine)
    assert volume.array.dtype == np.uint8 and (np.diag(volume.affine)[:3] == 1.5).all() and lowest == "T3"
    heights = []
    for level in LEVELS[: LEVELS.index(lowest) + 1]:
        code = LEVEL_CODES[level]
        own = np.argwhere((volume.array == code) | (volume.array == code + CORTEX))
        heights.append(own[:, 2].mean())
    assert (np.diff(heights) < 0).all()
    assert (volume.array == tissues.BRAIN).any() and (volume.array == tissues.FAT).any()
    assert make_subject(rest, 6)[0].array.shape != volume.array.shape


def test_the_shell_lies_about_the_spongy_bone(rest) -> None:
    array = make_subject(rest, 7)[0].array
    spongy = array == LEVEL_CODES["C5"]
    grown = sum(np.roll(spongy, step, axis) for axis in range(3) for step in (-1, 1)) > 0
    assert set(np.unique(array[grown & ~spongy])) == {LEVEL_CODES["C5"] + CORTEX}


def test_similarity_and_closest_points_find_a_known_move() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, [20, 12, 6], (800, 3))
    angle = np.radians(12)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    goal = 0.9 * points @ turn.T + [3, -2, 1]
    wanted = np.c_[0.9 * turn, [3, -2, 1]]
    assert np.allclose(similarity(points, goal), wanted, atol=1e-9)
    assert np.allclose(closest_points(points, goal[::-1], np.c_[np.eye(3), np.zeros(3)]), wanted, atol=0.02)


def test_a_transplant_brings_only_the_vertebrae(folder: Path) -> None:
    whole = read_atlas(folder)
    larger = [dataclasses.replace(p, vertices=p.vertices * 1.1 + 50) for p in whole.parts if p.tissue == "vertebra"][:7]
    order = np.argsort(np.random.default_rng(0).random(7))
    mixed = transplant(Atlas("larger", [larger[k] for k in order], whole.tubes), whole)
    assert mixed.name == "larger" and len(mixed.parts) == len(whole.parts)
    for ours, theirs in zip(mixed.parts, whole.parts):
        assert np.abs(ours.vertices - theirs.vertices).max() < 0.1


def test_a_missing_mesh_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "atlas.csv").write_text("file,label,tissue\ngone.ply,C1,vertebra\n")
    with pytest.raises(ConfigError, match=r"gone\.ply"):
        read_atlas(tmp_path)


def test_an_unknown_tissue_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "atlas.csv").write_text("file,label,tissue\na.ply,,muscel\n")
    with pytest.raises(ConfigError, match="did you mean 'muscle'"):
        read_atlas(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,tissue\n", "expected file, label, tissue"),
        ("# frame: XYZ\nfile,label,tissue\n", "frame 'XYZ'"),
        ("file,label,tissue\na.ply,L1,vertebra\n", "label 'L1'"),
        ("file,label,tissue\na.ply,,vertebra\n", "needs its level"),
    ],
)
def test_a_faulty_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "atlas.csv").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_table(*find_table(tmp_path))


def test_without_trimesh_it_is_said_what_brings_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(ConfigError, match=r"pip install 'cervical-fracture\[bank\]'"):
        read_atlas(folder)


def test_an_atlas_that_lacks_much_says_what(folder: Path) -> None:
    whole = read_atlas(folder)
    partial = Atlas("partial", [p for p in whole.parts if p.level != "C5" and p.tissue != "skin"], whole.tubes)
    with pytest.raises(ConfigError, match=r"vertebra C5.*skin"):
        make_rest_pose(partial)


def test_a_broken_mesh_is_named(tmp_path: Path) -> None:
    (tmp_path / "atlas.csv").write_text("file,label,tissue\nbad.ply,C1,vertebra\n")
    (tmp_path / "bad.ply").write_bytes(b"not a mesh")
    with pytest.raises(ConfigError, match=r"bad\.ply"):
        read_atlas(tmp_path)


def test_the_real_atlas_gives_whole_vertebrae_in_order() -> None:
    from scipy import ndimage

    where = Path(__file__).parents[4] / "shared" / "atlas" / "bodyparts3d"
    if not where.is_dir():
        pytest.skip(f"{where} isn't there")
    array = make_subject(make_rest_pose(read_atlas(where)), 3)[0].array
    heights = []
    for level in LEVELS:
        own = (array == LEVEL_CODES[level]) | (array == LEVEL_CODES[level] + CORTEX)
        sizes = np.bincount(ndimage.label(own, np.ones((3, 3, 3)))[0].ravel())[1:]
        assert sizes.max() > 0.97 * sizes.sum() and 6000 < own.sum() * 1.5**3 < 60000
        heights.append(np.argwhere(own)[:, 2].mean())
    assert (np.diff(heights) < 0).all()
