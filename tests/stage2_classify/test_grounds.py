"""Fractures drawn into real bone: what is drawn, where it is said to be, and the files of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation
from small_study import CUBE_CROPS, bone_cubes, write_ground, write_mask

from common.config import DataSettings
from common.errors import DatasetError
from common.labels import LEVELS
from common.outputs import store
from common.training.task import WEIGHTS
from common.volume import Grid, Volume
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.cut import FAR_MM, METAL, THICK, cut_study
from stage2_classify.grounds.bone import Bone, between_knots
from stage2_classify.grounds.clefts import CLEFTS, draw_cleft
from stage2_classify.grounds.compression import COMPRESSIONS
from stage2_classify.grounds.fractures import SITES, WIDTH_MM, break_bone
from stage2_classify.grounds.mimics import MIMICS, add_mimics
from stage2_classify.grounds.pulled_apart import pull_apart
from stage2_classify.grounds.rescan import BROKEN, STEEPEST, _at_bent, _bend_mm, rescan
from stage2_classify.grounds.variants import broken_levels, grounds_in, make_variants
from stage2_classify.pretrained.encoder import load_encoder
from stage2_classify.settings import ClassifySettings, CropSettings, GroundSettings
from stage2_classify.training import ground_examples
from stage2_classify.training.pretrain import pretrain
from stage2_classify.training.synthetic_fractures import _moved

BONE_HU, TISSUE_HU = 600.0, 50.0


def block(spacing: float = 0.5, level: str = "C4") -> Bone:
    """A cube of bone, 20 mm, amid 50 HU, with a little noise."""
    n = round(40 / spacing)
    x, y, z = np.abs(np.indices((n, n, n)) - (n - 1) / 2) * spacing
    mask = np.float32((x < 10) & (y < 10) & (z < 10))
    noise = np.random.default_rng(0).normal(0, 5, mask.shape)
    ct = (TISSUE_HU + (BONE_HU - TISSUE_HU) * mask + noise).astype(np.float32)
    return Bone(ct, mask, np.full(3, spacing), np.eye(3), level)


def test_a_field_between_knots_and_a_moved_crop_are_scipy_s() -> None:
    rng = np.random.default_rng(0)
    knots = rng.normal(size=(4, 2, 3)).astype(np.float32)
    zoom = [(m - 1) / (n - 1) for m, n in zip(knots.shape, (17, 9, 12))]
    expected = ndimage.affine_transform(knots, zoom, output_shape=(17, 9, 12), order=1, mode="nearest")
    np.testing.assert_allclose(between_knots(knots, (17, 9, 12)), expected, atol=1e-5)
    assert between_knots(knots[:1], (1, 9, 12)).shape == (1, 9, 12)
    crop = rng.normal(size=(11, 9, 7)).astype(np.float32)
    for by in ([1.3, -2.6, 0.0], [-20, 0.5, 2], [3, -1, 0.25]):
        expected = ndimage.shift(crop, by, order=1, mode="nearest")
        np.testing.assert_allclose(_moved(crop, np.array(by)), expected, atol=1e-5)


@pytest.mark.parametrize("kind", WIDTH_MM)
def test_a_gap_is_dark_lies_in_the_bone_and_nothing_else_changes(kind: str) -> None:
    bone = block()
    for seed in range(5):
        broken, where = break_bone(bone, kind, np.random.default_rng(seed))
        assert where.any() and bone.mask[where].mean() > 0.6
        assert broken[where].mean() < BONE_HU - 100
        assert broken.shape == bone.ct.shape and np.isfinite(broken).all()
        if kind != "displaced":
            far = np.abs(broken - bone.ct) > 60
            assert (bone.mask[far] > 0).all()


def test_wider_kinds_take_more_bone_away() -> None:
    taken = {
        kind: np.mean([
            (block().ct - break_bone(block(), kind, np.random.default_rng(seed), "anywhere")[0]).clip(0).sum()
            for seed in range(8)
        ])
        for kind in ("hairline", "gap")
    }  # fmt: skip
    assert taken["gap"] > 1.4 * taken["hairline"] > 0


def test_a_displaced_fragment_stands_where_there_was_no_bone() -> None:
    bone = block()
    outside = [
        (break_bone(bone, "displaced", np.random.default_rng(seed))[0][bone.mask < 0.5] > 400).sum()
        for seed in range(8)
    ]
    assert sum(count > 200 for count in outside) >= 5  # of 0.125 mm3 each
    assert (bone.ct[bone.mask < 0.5] > 400).sum() == 0


def test_an_empty_mask_can_t_be_broken() -> None:
    bone = block()
    empty = Bone(bone.ct, np.zeros_like(bone.mask), bone.spacing, bone.axes, "C4")
    assert break_bone(empty, "gap", np.random.default_rng(0)) is None
    assert pull_apart(empty, "gap", np.random.default_rng(0)) is None


def test_a_site_s_fracture_lies_at_the_site() -> None:
    """Teardrop: lower front of the body; the axes of the vertebra aren't the array's."""
    bone = block()
    turned = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])  # right = -y, anterior = +x of the array
    bone = Bone(bone.ct, bone.mask, bone.spacing, turned, "C4")
    name = "body, lower front corner (teardrop)"
    assert "C4" in SITES[name].levels
    for seed in range(5):
        _, where = break_bone(bone, "hairline", np.random.default_rng(seed), name)
        place = (np.argwhere(where).mean(axis=0) - 39.5) * 0.5
        assert place[0] > 0 and place[2] < 2


@pytest.mark.parametrize("kind", WIDTH_MM)
def test_pulled_apart_bone_opens_and_keeps_its_material(kind: str) -> None:
    bone = block()
    for seed in range(4):
        broken = pull_apart(bone, kind, np.random.default_rng(seed))
        inside = bone.mask > 0.5
        assert (broken[inside] < 500).sum() > (bone.ct[inside] < 500).sum() + 50
        corner = (slice(0, 8),) * 3
        assert np.array_equal(broken[corner], bone.ct[corner])


@pytest.mark.parametrize("name", MIMICS)
def test_a_mimic_changes_the_picture_and_not_the_mask(name: str) -> None:
    bone, draw = block(level=CLEFTS[name].site.levels[0] if name in CLEFTS else "C4"), MIMICS[name][0]
    before = bone.ct.copy()
    seen = [draw(bone, np.random.default_rng(seed)) for seed in range(4)]
    assert np.array_equal(bone.ct, before)
    assert all(ct.shape == before.shape and np.isfinite(ct).all() for ct in seen)
    assert any(np.abs(ct - before).max() > 20 for ct in seen)


@pytest.mark.parametrize("name", CLEFTS)
def test_a_cleft_has_dense_edges_and_lies_where_such_occur(name: str) -> None:
    cleft = CLEFTS[name]
    assert MIMICS[name][1] <= 0.05
    other = block(level="C7" if "C7" not in cleft.site.levels else "C1")
    assert np.array_equal(draw_cleft(other, np.random.default_rng(0), name), other.ct)
    low = block(level=cleft.site.levels[0])
    bone = low.with_ct(low.ct - 300 * low.mask)  # marrow of 300 HU
    for seed in range(4):
        ct = draw_cleft(bone, np.random.default_rng(seed), name)
        inside = bone.mask > 0.5
        gap, rim = inside & (ct < bone.ct - 80), inside & (ct > bone.ct + 150)
        assert gap.any() and rim.any()
        assert (bone.mask[np.abs(ct - bone.ct) > 1] > 0).all()
        near = ndimage.binary_dilation(gap, iterations=4)
        assert (near & rim).sum() > 0.8 * rim.sum()
        place = ((np.argwhere(gap) - 39.5) * 0.5).mean(axis=0)
        if name == "limbus":
            assert place[1] > 5 and place[2] > 4
        if name == "open posterior arch":
            assert abs(place[0]) < 2.5 and place[1] < -3


def test_mimics_are_the_same_for_the_same_seed() -> None:
    one, two = (add_mimics(block(), np.random.default_rng(3)).ct for _ in range(2))
    assert np.array_equal(one, two) and one.dtype == np.float32


def test_rescanned_vertebrae_say_what_is_broken_and_where() -> None:
    ct, mask = bone_cubes(BONE_HU, TISSUE_HU)
    broken, dark = [], []
    for seed in range(6):
        crops = rescan(ct, mask, CUBE_CROPS, np.random.default_rng(seed))
        assert crops.present.tolist() == [level in ("C3", "C4", "C5") for level in LEVELS]
        which = broken_levels(crops)
        assert not which[~crops.present].any()
        for row in np.flatnonzero(crops.present):
            assert (crops.distance[row].min() <= 4) == which[row]  # a coarse cell's
            assert which[row] or (crops.distance[row] == FAR_MM).all()
            assert crops.images[row, 1].max() == 255
            if which[row]:
                fine = crops.distance[row].repeat(4, 0).repeat(4, 1).repeat(4, 2)
                fine = fine[tuple(map(slice, crops.images.shape[2:]))]
                inside = crops.images[row, 1] > 200
                ours = crops.images[row, 0].astype(float)
                if (inside & (fine < 1)).any() and (inside & (fine > 8)).any():
                    dark.append(ours[inside & (fine < 1)].mean() < ours[inside & (fine > 8)].mean())
        broken.append(which.sum())
    assert 4 <= sum(broken) <= 14  # of 18, half
    assert len(dark) >= 3 and np.mean(dark) > 0.7
    again = [rescan(ct, mask, CUBE_CROPS, np.random.default_rng(1)).images for _ in range(2)]
    assert np.array_equal(*again)


def test_bone_is_laid_on_another_grid_and_bent_by_hand() -> None:
    """A ramp of 10 HU a mm along each axis stays one under linear interpolation: HU follow from the place alone."""
    ramp = Volume(np.float32(10 * np.indices((30, 30, 30)).sum(axis=0)), np.eye(4))
    turned = Rotation.from_rotvec(np.radians([5, -8, 12])).as_matrix()
    grid = Grid.around(np.full(3, 14.5), np.full(3, 8.0), 0.5, turned)
    places = np.moveaxis(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    offset = np.zeros((3, *grid.shape), np.float32)
    offset[1], offset[2] = 1.5, -0.25
    found = _at_bent(ramp, grid, offset, fill=-1000)
    np.testing.assert_allclose(found, 10 * (places.sum(axis=0) + 1.25), atol=0.01)
    offset[0] = 20  # beyond the ramp
    assert (_at_bent(ramp, grid, offset, fill=-1000) == -1000).all()


def test_a_finer_ground_is_averaged_before_it_is_laid_on_a_coarser_grid() -> None:
    fine = np.float32(np.indices((40, 40, 40)).sum(axis=0) % 2 * 100)  # a chess board: no coarse voxel can show it
    coarse = Grid.around(np.full(3, 20.0), np.full(3, 20.0), 4.0)
    found = _at_bent(Volume(fine, np.eye(4)), coarse, np.zeros((3, *coarse.shape), np.float32), fill=0)
    np.testing.assert_allclose(found, 50, atol=1e-3)


def test_bending_is_smooth_and_of_millimetres() -> None:
    grid = Grid.around(np.zeros(3), np.full(3, 40.0), 1.0)
    offsets = np.stack([_bend_mm(grid, np.random.default_rng(seed)) for seed in range(20)])
    assert offsets.shape == (20, 3, 40, 40, 40) and 0.3 < offsets.std() < 1.5
    assert all(np.abs(np.diff(offsets, axis=axis)).max() < STEEPEST + 1e-3 for axis in (2, 3, 4))  # never folded


def test_bodies_that_lost_height_are_rescanned_as_often_as_asked() -> None:
    ct, mask = bone_cubes(BONE_HU, TISSUE_HU)
    kinds = {
        chance: {flag for seed in range(3)
                 for flags in rescan(ct, mask, CUBE_CROPS, np.random.default_rng(seed), chance).flags.values()
                 for flag in flags if flag.startswith(BROKEN)}
        for chance in (0.0, 1.0)
    }  # fmt: skip
    assert kinds[0.0] and not any(kind.split(": ")[1] in COMPRESSIONS for kind in kinds[0.0])
    assert kinds[1.0] and all(kind.split(": ")[1] in COMPRESSIONS for kind in kinds[1.0])


def test_metal_and_thick_voxels_are_flagged() -> None:
    ct, mask = bone_cubes(BONE_HU, TISSUE_HU)
    assert cut_study(ct, mask, CUBE_CROPS).flags.get("C4") is None
    hot = ct.array.copy()
    hot[28:32, 44:48, 33:37] = 3000  # 64 mm3 behind C4
    flags = cut_study(ct.with_array(hot), mask, CUBE_CROPS).flags
    assert METAL in flags["C4"] and "C7" in flags
    hot[28:32, 44:48, 33:37] = ct.array[28:32, 44:48, 33:37]
    hot[30, 45, 33:37] = 3000  # 4 mm3: a tooth's edge, a streak
    assert METAL not in cut_study(ct.with_array(hot), mask, CUBE_CROPS).flags.get("C4", [])
    thick = np.diag([1.0, 1, 2.5, 1])
    assert THICK in cut_study(Volume(ct.array, thick), Volume(mask.array, thick), CUBE_CROPS).flags["C4"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_ground(tmp_path / "grounds")


def settings_of(folder: Path, variants: int = 2) -> ClassifySettings:
    return ClassifySettings(
        grounds=GroundSettings(folder=folder, variants=variants, share=1.0),
        crops=CropSettings(size_mm=(32, 32, 32), spacing_mm=2.0, min_volume_mm3=100),
        network={"channels": [4, 8], "embedding": 8, "norm": "batch", "inputs": "ct"},
        encoder_patch=8,
        encoder={"init_from": None, "steps": 2, "batch": 2, "warmup": 1, "workers": 0, "precision": "32-true"},
    )


def test_a_folder_without_scans_or_masks_says_what_is_missing(tmp_path: Path, folder: Path) -> None:
    assert [ground.name for ground in grounds_in(folder, "merged")] == ["anna"]
    with pytest.raises(DatasetError, match=r"scans: no scan; put healthy scans there"):
        grounds_in(tmp_path / "nothing", "merged")
    (folder / "masks/anna.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"no mask .*anna\.nii\.gz; make it with `stage1_segment predict"):
        grounds_in(folder, "merged")


def test_variants_are_made_once_and_again_when_the_mask_changes(tmp_path: Path, folder: Path) -> None:
    data = DataSettings(root=tmp_path, run=tmp_path / "run", workers=0)
    settings = settings_of(folder)
    grounds = grounds_in(folder, "merged", 2)
    files, failed = make_variants(grounds, data, settings)
    assert len(files) == 2 and not failed
    made_at = [path.stat().st_mtime_ns for path in files]
    first, second = (crop_files.load(path).images for path in files)
    assert not np.array_equal(first, second)
    assert make_variants(grounds, data, settings)[0] == files
    assert [path.stat().st_mtime_ns for path in files] == made_at
    write_mask(folder / "masks/anna.nii.gz", levels=False)
    make_variants(grounds, data, settings)
    assert [path.stat().st_mtime_ns for path in files] != made_at
    assert not crop_files.load(files[0]).present.any()


def test_synthetic_necks_stand_beside_real_ones_each_as_often_as_it_says(tmp_path: Path, folder: Path) -> None:
    data = DataSettings(root=tmp_path, run=tmp_path / "run", workers=0)
    settings = settings_of(folder)
    other = shutil.copytree(folder, tmp_path / "synthetic")
    both = {"folder": folder, "synthetic": other, "synthetic_variants": 3}
    of = settings.model_copy(update={"grounds": settings.grounds.model_copy(update=both)})
    with pytest.raises(DatasetError, match=r"synthetic: anna is in .*; each scan needs a name of its own"):
        ground_examples.make(data, of)
    for path in other.glob("*/anna*"):
        path.rename(path.with_name(path.name.replace("anna", "drawn")))
    files, failed = ground_examples.make(data, of)
    assert [f"{path.parent.name}/{path.stem}" for path in files] == [
        "anna/0000", "anna/0001", "drawn/0000", "drawn/0001", "drawn/0002",
    ]  # fmt: skip
    assert not failed and len(ground_examples.load(files)) == 5


def test_an_encoder_learns_from_grounds_alone(tmp_path: Path, folder: Path) -> None:
    data = DataSettings(root=tmp_path / "no cohort", run=tmp_path / "run", workers=0)
    assert pretrain(data, settings_of(folder)) == 0
    path = tmp_path / "run/stage2/encoder" / WEIGHTS
    network, own = load_encoder(path)
    assert own.network.norm == "batch" and any(name.endswith("running_mean") for name in network.state_dict())
    before = store.digest_file(path)
    assert pretrain(data, settings_of(folder)) == 0
    assert store.digest_file(path) == before
