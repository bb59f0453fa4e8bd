"""Stage 1's samples from an anatomy bank."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_subject import BOTTOM, VOXEL_MM, WINDOW, bank_settings, fake_subject, looked_up, straight, write_bank

from common.errors import ConfigError, CorruptFile, DatasetError
from common.phantom import tissues
from stage1_segment.provenance import bank_files, bank_split
from stage1_segment.settings import PatchSettings, SyntheticSettings
from stage1_segment.training.synthetic import placement
from stage1_segment.training.synthetic.chest import Chest, raised_by
from stage1_segment.training.synthetic.contrast import Contrast
from stage1_segment.training.synthetic.interpolate import along_axes
from stage1_segment.training.synthetic.lungs import Lungs, with_lungs
from stage1_segment.training.synthetic.no_patient import rod
from stage1_segment.training.synthetic.placement import place
from stage1_segment.training.synthetic.sample import BankSamples
from stage1_segment.training.synthetic.scan import densities, draw_recipe, make_scans, window_levels
from stage1_segment.training.synthetic.scanner import Scanner, scan_axis, window_axis
from stage1_segment.training.synthetic.shoulders import Shoulders, with_girdle
from stage1_segment.training.synthetic.subject import Subject, load_subject
from stage1_segment.training.synthetic.trunk import Trunk
from stage1_segment.training.synthetic.worn_discs import (
    DISCS,
    FIRST,
    LAYERS,
    disc_code,
    draw_disc_wear,
    with_disc_parts,
)

FLAT = Contrast(np.arange(256, dtype=np.float32) * 10, np.zeros(256, np.float32))
CPU = torch.device("cpu")
HALF = np.full(3, 0.5)
SHARP = Scanner(np.full(3, 1.0), np.full(3, 1.0), np.full(3, 1e-3), 0.0, 0.0, 0.0, 0.0, HALF)


def test_lookup_without_rotation_is_the_map_itself() -> None:
    subject = fake_subject()
    # Two cells of 3 mm for a voxel of 6 mm: cells and the map's voxels coincide about the middle of voxel (30, 24, 50).
    centre = subject.grid.to_world([29.5, 23.5, 49.5])
    codes = looked_up(subject, straight(centre), (8, 8, 20))
    assert np.array_equal(codes, subject.labels[22:38, 16:32, 30:70])


def test_shoulders_are_raised_within_soft_tissue_alone() -> None:
    bone, rib, muscle, fat = tissues.BONE_CORTEX, tissues.RIB_CORTEX, tissues.MUSCLE, tissues.FAT
    codes = torch.tensor([[[bone, muscle, fat, rib, 3, tissues.LUNG]]], dtype=torch.uint8)
    elsewhere = torch.full_like(codes, bone)
    raised = with_girdle(codes, elsewhere)
    assert raised.flatten().tolist() == [bone, bone, bone, rib, 3, tissues.LUNG]
    assert with_girdle(codes, codes.roll(1, 2)).flatten()[:2].tolist() == [muscle, bone]
    gone = with_girdle(codes, None)
    assert gone.flatten().tolist() == [muscle, muscle, fat, rib, 3, tissues.LUNG]


def test_raised_shoulders_come_from_below_and_nothing_else_moves() -> None:
    fake = fake_subject()
    labels = fake.labels.copy()
    labels[26:34, 36:39, 46:50] = tissues.BONE_SPONGY  # before the spine, in muscle
    subject = Subject("with shoulders", labels, fake.affine)
    window = straight(subject.grid.to_world([29.5, 29.5, 49.5]))
    rest, raised = (
        looked_up(subject, window, (16, 16, 20), Trunk(shoulders=shoulders))
        for shoulders in (Shoulders(), Shoulders(up=8 * VOXEL_MM, forward=-2 * VOXEL_MM))
    )
    before, after = (codes == tissues.BONE_SPONGY for codes in (rest, raised))
    assert before.sum() == 8 * 3 * 4
    assert np.array_equal(np.argwhere(before) + np.array([0, -2, 8]), np.argwhere(after))
    assert np.array_equal(rest[~before & ~after], raised[~before & ~after])


def test_lungs_reach_into_soft_tissue_alone() -> None:
    lung, rib, muscle, fat, soft = tissues.LUNG, tissues.RIB_CORTEX, tissues.MUSCLE, tissues.FAT, tissues.SOFT
    codes = torch.tensor([lung, lung, muscle, rib, fat, 7], dtype=torch.uint8)
    no, yes = torch.full_like(codes, muscle), torch.full_like(codes, lung)
    up = torch.tensor([5.0, -5.0, 5.0, 5.0, 5.0, 5.0])
    assert with_lungs(codes, up, no, no).tolist() == [lung, soft, muscle, rib, fat, 7]
    assert with_lungs(codes, up, yes, no).tolist() == [lung, lung, lung, rib, lung, 7]
    assert with_lungs(codes, up, no, yes).tolist() == [lung, lung, lung, rib, lung, 7]


def test_either_lung_is_raised_on_its_own() -> None:
    fake = fake_subject()
    labels = fake.labels.copy()
    middle = int(fake.grid.to_index(fake.centres[7])[0])
    for x in (middle - 8, middle + 8):
        labels[x, 29, 46:50] = tissues.LUNG  # in muscle
    subject = Subject("with lungs", labels, fake.affine)
    window = straight(subject.grid.to_world([middle + 0.5, 29.5, 49.5]))
    lungs = Lungs((6 * VOXEL_MM, -2 * VOXEL_MM), 3 * VOXEL_MM)
    codes = looked_up(subject, window, (16, 16, 20), Trunk(lungs=lungs))
    found = np.argwhere(codes == tissues.LUNG)
    left, right = (set(found[found[:, 0] == x, 2] + 30) for x in (7, 23))
    assert left == {*range(43, 50), *range(52, 56)}  # lowered 43-46, its own 46-49, raised 52-55
    assert right == set(range(43, 48))  # lowered 43-46, raised by less than nothing 44-47
    assert len(found) == len(left) + len(right)


def test_chest_rises_beside_and_before_the_spine_only_by_hand() -> None:
    subject = fake_subject()
    for level, offset, expected in (
        (7, (0, 0, 0), 0.0),
        (7, (25, 0, 0), 0.0),
        (7, (-75, 0, 0), 40.0),
        (7, (50, 0, -30), -10.0),  # half of the way from 25 to 75 mm
        (7, (0, 80, 0), 10.0),  # before the spine: the mean of both sides
        (7, (0, -80, 0), 0.0),  # behind it
        (5, (-75, 0, 0), 20.0),  # half of the way from C3 to C7
        (3, (-75, 0, 5), 0.0),
    ):
        raised = raised_by(subject.centres[level] + np.array(offset), subject, Chest((40.0, -20.0)))
        assert raised == pytest.approx(expected, abs=1e-9)


def test_a_raised_chest_is_seen_higher_and_the_spine_is_not() -> None:
    fake = fake_subject()
    labels = fake.labels.copy()
    labels[6:8, 22:26, 18:22] = tissues.RIB_SPONGY  # 69 mm to the left of the spine, below T2
    subject = Subject("with a rib", labels, fake.affine)
    window = straight(subject.grid.to_world([17.5, 24.5, 25.5]))
    rest, raised = (looked_up(subject, window, (16, 8, 20), Trunk(chest)) for chest in (Chest(), Chest((30.0, 0.0))))
    before, after = (np.flatnonzero((codes == tissues.RIB_SPONGY).any(axis=(0, 1))) for codes in (rest, raised))
    # 30 mm are 10 voxels, 0.88 of that at 69 mm; the deformation's grid rounds it off. From the mirrored chest below
    # another one comes into view.
    assert after[-4:] - before == pytest.approx(8.8, abs=1.0)
    spine = (rest > 0) & (rest < tissues.MUSCLE)
    assert spine.any() and np.array_equal(rest[spine], raised[spine])


def test_partial_volume_by_hand() -> None:
    """Muscle (code 60: 600 HU) and fat (61: 610 HU), half and half in the second voxel along x."""
    codes = torch.full((6, 2, 2), tissues.MUSCLE, dtype=torch.uint8)
    codes[3:] = tissues.FAT
    hu = densities(codes[None], [FLAT], 1.0)
    assert hu[0, :, 0, 0].tolist() == [600, 600, 600, 610, 610, 610]
    axes = [scan_axis([SHARP], axis, n, 1.0, CPU) for axis, n in enumerate(codes.shape)]
    scan = along_axes(hu, [axis.weights for axis in axes])
    (scan,) = along_axes(scan, [window_axis(n // 2, 2.0, axis) for n, axis in zip(codes.shape, axes)])
    # Scan voxels of 1 mm begin half a voxel early, so their middles lie on the cells' borders shifted by half: -0.5,
    # 0.5, ...: just the cells. Window voxel middles 1, 3, 5 mm, reach 1.5 mm: weights 2/3, 2/3 of the cells at +-0.5.
    np.testing.assert_allclose(scan[:, 0, 0], [600, 605, 610], atol=0.01)


def test_texture_scales_the_unevenness_alone() -> None:
    contrast = Contrast(np.full(256, 300, np.float32), np.full(256, 20, np.float32))
    flat, half = (contrast.through(np.arange(256), texture) for texture in (0.0, 0.5))
    codes = torch.full((1, 20, 20, 20), tissues.MUSCLE, dtype=torch.uint8)
    assert (densities(codes, [flat], 1.0) == 300).all()
    own, halved = (densities(codes, [of], 1.0) - 300 for of in (contrast, half))
    assert 5 < own.std() < 40
    torch.testing.assert_close(halved, own / 2, atol=1e-3, rtol=0)


def test_thick_slices_average_and_gaps_skip() -> None:
    thick = Scanner(np.array([1, 1, 4.0]), np.array([1, 1, 4.0]), np.full(3, 1e-3), 0.0, 0.0, 0.0, 0.0, HALF)
    gaps = replace(thick, thickness=np.array([1, 1, 2.0]))
    axis = scan_axis([thick, gaps, SHARP], 2, 12, 1.0, CPU)
    assert axis.distance.tolist() == [4, 4, 1] and axis.counts == [5, 5, 14]
    assert axis.middles[0, :6].tolist() == [-2, 2, 6, 10, 14, np.inf]
    np.testing.assert_allclose(axis.weights[0, 1], [0.25] * 4 + [0] * 8, atol=1e-5)
    np.testing.assert_allclose(axis.weights[1, 1], [0, 0.5, 0.5] + [0] * 9, atol=1e-5)
    assert not axis.weights[0, 5:].any()
    onto_window = window_axis(6, 2.0, axis)
    assert not onto_window[0, :, 5:].any() and torch.allclose(onto_window.sum(dim=2), torch.ones(3, 6))


def test_levels_of_a_window_by_hand() -> None:
    levels = torch.zeros((4, 2, 2), dtype=torch.uint8)
    levels[0] = 4  # half of the first voxel is C4
    levels[2, 0, 0] = 5  # an eighth of the second
    assert window_levels(levels[None]).ravel().tolist() == [4, 0]
    levels[2:] = 5
    levels[2, 0, 0] = 4
    assert window_levels(levels[None]).ravel().tolist() == [4, 5]


def test_discs_are_told_apart_and_worn_from_their_vertebrae() -> None:
    """In the fake subject two voxels of disc lie between the blocks: one layer for either side, none left over."""
    told = with_disc_parts(fake_subject().labels, fake_subject().affine)
    column = told[30, 24, BOTTOM:]
    t4, t3 = tissues.LEVEL_CODES["T4"], tissues.LEVEL_CODES["T3"]
    assert column[:6].tolist() == [
        t4 + tissues.CORTEX,
        t4,
        t4,
        t4 + tissues.CORTEX,
        disc_code(t3) + LAYERS,
        disc_code(t3),
    ]
    assert (told == tissues.DISC).sum() == 10 * 12 * 2  # above C1, where no vertebra follows
    assert np.array_equal(
        told[~np.isin(told, range(FIRST, 256))], fake_subject().labels[~np.isin(told, range(FIRST, 256))]
    )
    seen = set()
    for seed in range(40):
        table = draw_disc_wear(np.random.default_rng(seed))
        assert np.array_equal(table[:FIRST], np.arange(FIRST))
        for disc in DISCS:
            for side, vertebra in ((0, disc), (1, disc + 1)):
                first = disc_code(disc) + side * LAYERS
                layers = table[first : first + LAYERS].tolist()
                lost = layers.count(tissues.CORTEX + vertebra)
                assert layers == [tissues.CORTEX + vertebra] * lost + [disc_code(disc)] * (LAYERS - lost)
                seen.add(lost)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize(("worn", "least", "most"), [(0.0, 0.0, 0.2), (1.0, 0.3, 1.0)])
def test_worn_spines_have_bone_in_place_of_discs(worn: float, least: float, most: float) -> None:
    """By the constants: usually 0.6 x (0.30 + 0.12) / 3 = 0.08 of the discs' layers; in severely worn spines (0.79 +
    0.63) / 3 = 0.47, in blocks two of six discs and 0.67 x 0.08 of the others, 0.39."""
    samples = BankSamples([fake_subject()], bank_settings(no_neck=0.0, worn=worn))
    recipes = [samples.draw(number).scan for number in range(60)]
    discs = slice(FIRST, disc_code(DISCS[-1] + 1))
    assert least < np.mean([recipe.levels[discs] > 0 for recipe in recipes if recipe is not None]) < most


def test_chest_goes_on_below_the_map_and_nowhere_holds_a_neck() -> None:
    subject = fake_subject()
    rows, first = subject.rows
    assert first < BOTTOM < first + len(rows)
    own = rows[BOTTOM + 5 - first :]
    assert np.array_equal(own, np.arange(BOTTOM + 5, subject.labels.shape[2]))
    added = subject.labels[:, :, np.unique(rows[: BOTTOM - 5 - first])]
    codes = np.unique(added)
    assert not np.isin(codes, [*range(1, 8), *range(31, 38)]).any()
    assert np.isin(codes, [8, 9, 10, 11]).any()
    assert (np.abs(np.diff(rows)) <= 1).all()


@pytest.mark.parametrize("part", ["neck", "chest", "head"])
def test_a_body_larger_than_the_longest_scan_is_placed(part: str) -> None:
    bank = SyntheticSettings(scale=(4.0, 4.0))  # the fake's T4 lies 560 mm below its C4 then
    for seed in range(20):
        place(fake_subject(), np.full(3, 200.0), True, bank, np.random.default_rng(seed), part)


def test_open_and_cut_sides() -> None:
    subject = fake_subject()
    assert not subject.open_top and np.isinf(subject.sides).all()
    cut = type(subject)("cut", subject.labels[10:, :, :90], subject.affine)
    assert cut.open_top
    assert np.isinf(cut.sides).tolist() == [[False, True], [True, True]]


@pytest.mark.parametrize("part", ["chest", "head"])
def test_without_a_neck_nothing_is_cervical(part: str) -> None:
    subject, bank = fake_subject(), SyntheticSettings()
    seen = 0
    for number in range(6):
        rng = np.random.default_rng(number)
        placement = place(subject, np.array(WINDOW) * 6.0, True, bank, rng, part)
        recipe = draw_recipe(subject, placement, WINDOW, 6.0, bank, rng, part)
        hu, mask = make_scans([subject], [recipe], WINDOW, 6.0, CPU)
        assert not np.isin(mask, range(1, 8)).any()
        seen += int((mask == 8).any() if part == "chest" else (hu > -300).any())
    assert seen >= 4


def test_a_neck_shows_its_levels_in_order() -> None:
    subject, bank = fake_subject(), SyntheticSettings(rotate_deg=(0, 0, 0), elastic_mm=0)
    levels = set()
    for number in range(6):
        rng = np.random.default_rng(number)
        placement = place(subject, np.array((32, 32, 48)) * 6.0, True, bank, rng)
        recipe = draw_recipe(subject, placement, (32, 32, 48), 6.0, bank, rng)
        mask = make_scans([subject], [recipe], (32, 32, 48), 6.0, CPU)[1][0].numpy()
        present = [v for v in range(1, 8) if (mask == v).any()]
        heights = [np.argwhere(mask == v)[:, 2].mean() for v in present]
        assert heights == sorted(heights, reverse=True)
        levels |= set(present)
    assert levels == set(range(1, 8))


def test_a_scan_of_the_chest_cuts_the_neck_off() -> None:
    subject = fake_subject()
    for number in range(20):
        for share in (0, 1):
            bank = SyntheticSettings(rotate_deg=(0, 0, 0), shear=0, anisotropy=0, scale=(1, 1), cropped_neck=share)
            placement = place(subject, np.full(3, 300.0), True, bank, np.random.default_rng(number))
            axis, second, seventh = (
                np.linalg.solve(placement.matrix, point)
                for point in (np.array([0, 0, 1]), *(subject.centres[k] - placement.centre for k in (2, 7)))
            )
            assert seventh[2] <= placement.high[2]
            assert (placement.high[2] <= second[2]) == bool(share)
            lean_deg = np.degrees(np.arctan2(axis[1], axis[2]))  # of the body's own axis, forward
            assert 0 <= lean_deg <= 15 if share else lean_deg == pytest.approx(0)


@pytest.mark.parametrize("aside, least, most", [(0.0, 0.2, 0.375), (1.0, 0.7, 0.9)])
def test_some_windows_lie_aside_of_the_spine(aside: float, least: float, most: float, monkeypatch) -> None:
    """How far a window's middle lies from the spine, in widths of it: up to 0.75 of half a one, or to 0.9."""
    monkeypatch.setattr(placement, "ASIDE", aside)
    subject, bank = (
        fake_subject(),
        SyntheticSettings(rotate_deg=(0, 0, 0), shear=0, anisotropy=0, scale=(1, 1), no_neck=0),
    )
    middles = [
        place(subject, np.full(3, 300.0), True, bank, np.random.default_rng(number)).centre[0] for number in range(80)
    ]
    moved = np.abs(np.array(middles) - subject.centres[4][0]).max() / 300
    assert least <= moved <= most


def test_rods_stay_within_their_block() -> None:
    low, high = np.array([3.0, 5, 2]), np.array([20.0, 18, 30])
    for number in range(20):
        places = np.argwhere(rod(WINDOW, low, high, np.random.default_rng(number), CPU).numpy())
        assert len(places) and (places >= low).all() and (places <= high).all()


def test_bank_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="bank"):
        bank_files(tmp_path)
    write_bank(tmp_path, 4)
    assert load_subject(bank_files(tmp_path)[0]).centres.keys() == set(range(1, 12))
    part = bank_split(bank_settings(folder=tmp_path, held_out=0.25))
    assert [len(part.learned), len(part.held_out)] == [3, 1]
    (tmp_path / "s0.nii.gz").write_bytes(b"nothing")
    with pytest.raises(CorruptFile, match="s0"):
        load_subject(tmp_path / "s0.nii.gz")


def test_patch_sizes() -> None:
    patch = PatchSettings(size=48, fine_size=(32, 32, 64))
    assert patch.window(True) == (48, 48, 48) and patch.window(False) == (32, 32, 64)
    with pytest.raises(ConfigError, match="size"):
        from common.config import parse

        parse({"size": [8, 8]}, PatchSettings, "test")
