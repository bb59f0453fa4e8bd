"""Healthy necks of meshes in fine voxels: soft tissue without steps, scans with masks that agree with their bone."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.phantom import tissues
from common.phantom.anatomy.person import make_person
from common.phantom.bank import healthy_scans
from common.phantom.bank.healthy_scans import main, plan_of_meshes
from common.phantom.bank.mesh.paint_soft_tissue import HU, paint_soft_tissue
from common.phantom.painting.canvas import Canvas
from common.phantom.tissues import AIR, CORTEX, MUSCLE
from common.volume import Grid, Volume
from tests.common.phantom.block_atlas import write_blocks

NORMAL = np.array([1.0, 0.55, 0.3]) / np.linalg.norm([1.0, 0.55, 0.3])


def filled(change: dict[int, np.ndarray], shape: tuple[int, int, int] = (20, 20, 20)) -> Volume:
    """Codes of 1.5 mm about the world's origin: MUSCLE, and other codes where asked."""
    grid = Grid.around(np.zeros(3), 1.5 * np.array(shape), 1.5)
    codes = np.full(shape, MUSCLE, np.uint8)
    for code, where in change.items():
        codes[where] = code
    return Volume(codes, grid.affine)


def height(grid: Grid) -> np.ndarray:
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)) @ NORMAL


def painted(codes: Volume) -> Canvas:
    canvas = Canvas.filled(Grid.around(np.zeros(3), np.full(3, 16.0), 0.4))
    paint_soft_tissue(canvas, codes, make_person(5, 0))
    return canvas


def test_an_oblique_border_has_no_steps() -> None:
    canvas = painted(filled({AIR: height(filled({}).grid) > 0}))
    away = height(canvas.grid)
    air = canvas.hu < (HU[AIR] + HU[MUSCLE]) / 2
    assert away[air].min() > -0.45 and away[~air].max() < 0.45  # the codes themselves are 0.9 mm off
    assert air.mean() == pytest.approx((away > 0).mean(), abs=0.01)


def test_a_border_is_narrower_than_a_coarse_voxel() -> None:
    canvas = painted(filled({AIR: np.s_[10:]}))
    between = (canvas.hu[:, 20, 20] > -900) & (canvas.hu[:, 20, 20] < -100)
    assert between.sum() * 0.4 < 1.0


def test_what_lies_beside_bone_goes_on_into_it() -> None:
    bone = tissues.LEVEL_CODES["C4"] + CORTEX
    canvas = painted(filled({bone: np.s_[6:14, 6:14, 6:14]}))
    assert abs(canvas.hu.mean() - HU[MUSCLE]) < 25 and canvas.hu.max() < 100


def test_texture_changes_over_millimetres() -> None:
    hu = painted(filled({tissues.FAT: np.s_[:]})).hu
    step = np.diff(hu, axis=0).std() / hu.std()
    assert hu.std() > 3 and step < 0.5  # white noise: 1.41


def test_a_scan_of_another_painter_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_blocks(tmp_path)
    plan = plan_of_meshes(1, 5, 0.4, [tmp_path])[0]
    before = healthy_scans._provenance(plan)
    monkeypatch.setattr(healthy_scans, "_painter_digest", lambda: "another")
    after = healthy_scans._provenance(plan)
    assert after != before == {**after, "painter": before["painter"]}
    drawn = healthy_scans.plan_healthy(1, 5, 0.4)[0]
    assert "painter" not in healthy_scans._provenance(drawn)


def test_atlases_take_turns_and_their_seeds_differ(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_blocks(tmp_path / name)
    plans = plan_of_meshes(4, 5, 0.4, [tmp_path / "one", tmp_path / "two"])
    assert [plan.anatomy.source for plan in plans] == ["one", "two", "one", "two"]
    assert len({plan.anatomy.seed for plan in plans}) == 4 and len({plan.digest() for plan in plans}) == 4
    assert all(plan.bone == "real" and not plan.fractures for plan in plans)


@pytest.mark.slow
def test_scans_of_meshes_and_their_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atlas = tmp_path / "blocks"
    atlas.mkdir()
    write_blocks(atlas)
    words = ["--scans", "1", "--seed", "3", "--voxel-mm", "1.0", "--workers", "1", "--atlas", str(atlas)]
    outs = [tmp_path / "a", tmp_path / "b"]
    for out in outs:
        assert main(["--out", str(out), *words]) == 0
    for part in ("scans", "masks"):
        one, again = ((out / part / "healthy_mesh_3_0000.nii.gz").read_bytes() for out in outs)
        assert one == again
    scan, mask = (nib.load(outs[0] / part / "healthy_mesh_3_0000.nii.gz") for part in ("scans", "masks"))
    assert scan.header.get_zooms() == pytest.approx([1.0] * 3) and np.allclose(scan.affine, mask.affine)
    values, hu = np.asarray(mask.dataobj), np.asarray(scan.dataobj)
    assert np.unique(values).tolist() == list(range(9))
    middle = np.array([np.argwhere(values == level).mean(axis=0) for level in range(1, 9)])
    assert (np.diff(middle[:, 2]) * scan.affine[2, 2] < -8).all()
    assert hu[values > 0].mean() > 400 > 120 > np.median(hu[values == 0])

    capsys.readouterr()
    assert main(["--out", str(outs[0]), *words]) == 0
    assert "0 made now" in capsys.readouterr().out
    with (atlas / "atlas.csv").open("a") as table:
        table.write("# another table\n")
    assert main(["--out", str(outs[0]), *words]) == 0
    assert "1 made now" in capsys.readouterr().out
