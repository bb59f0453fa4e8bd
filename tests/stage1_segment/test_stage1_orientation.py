"""A header that turns the patient round is found out by anatomy; sizes and distances that no neck has are named."""

from pathlib import Path

import numpy as np
import pytest
from drawn_neck import drawn_neck

from common.errors import WrongOrientation
from common.masks.turned import turned, turned_beside
from common.outputs import store
from common.reading.nifti import write_nifti
from common.resample import canonical
from common.volume import Volume
from stage1_segment.inference.anatomy.body_directions import balance, direction_cues
from stage1_segment.inference.anatomy.orientation import TURNS, checked
from stage1_segment.inference.anatomy.row import row_contradictions
from stage1_segment.inference.segmenter import Segmentation


def perfect(ct: Volume) -> Segmentation:
    """What a network that sees right says: the true mask where the scan stands upright, the same bones named from top
    to bottom where it doesn't."""
    upright, mask = drawn_neck()
    scan = canonical(ct)
    for turn in [(), *TURNS]:
        if np.array_equal(turned(upright, turn).array, scan.array):
            labels = turned(mask, turn).array
            if "up" in turn:
                labels = np.where(labels > 0, 8 - labels, 0).astype(np.uint8)
            return Segmentation(canonical(Volume(labels, scan.affine)), {1: 0.9}, ("said by the network",))
    raise AssertionError("an unknown scan")


def test_cues_of_an_upright_neck_all_agree() -> None:
    cues = direction_cues(*drawn_neck())
    assert {cue.text.split(":")[0] for cue in cues} == {"airway", "bodies", "bone", "brain", "lungs", "teeth"}
    assert all(cue.weight > 0.3 for cue in cues), cues
    assert balance(cues, "forward") == pytest.approx(2.0, abs=0.1)
    assert balance(cues, "up") == pytest.approx(0.35 + 1 + 1 + 0.5)


@pytest.mark.parametrize("turn", list(TURNS))
def test_cues_of_a_turned_neck(turn: tuple[str, ...]) -> None:
    ct = turned(drawn_neck()[0], turn)
    cues = direction_cues(ct, perfect(ct).mask)
    for along in ("forward", "up"):
        assert (balance(cues, along) < -1.5) == (along in turn) and (balance(cues, along) > 1.5) == (along not in turn)


def test_cues_don_t_depend_on_the_order_of_the_axes() -> None:
    ct, mask = drawn_neck()
    affine = np.array([[0, 0, 3, 0], [0, 3, 0, 0], [-3, 0, 0, 297], [0, 0, 0, 1]], float)  # axes S downwards, A, R
    other = [Volume(np.flip(volume.array, 2).transpose(2, 1, 0), affine) for volume in (ct, mask)]
    assert [cue.text for cue in direction_cues(*other)] == [cue.text for cue in direction_cues(ct, mask)]


def test_right_scan_passes_as_it_is() -> None:
    ct, mask = drawn_neck()
    prediction = checked(ct, perfect)
    assert np.array_equal(prediction.mask.array, mask.array) and prediction.notices == ("said by the network",)
    assert prediction.turned == ()


@pytest.mark.parametrize(
    ("turn", "words"),
    [(("up",), "upside down \\("), (("forward",), "front to back"), (("forward", "up"), "and front to back")],
)
def test_turned_scan_is_refused_or_repaired(turn: tuple[str, ...], words: str) -> None:
    ct, mask = (turned(volume, turn) for volume in drawn_neck())
    with pytest.raises(WrongOrientation, match=words) as refused:
        checked(ct, perfect)
    assert refused.value.exit_code == 15 and "--orientation repair" in str(refused.value)
    prediction = checked(ct, perfect, "repair")
    assert prediction.mask.grid.matches(ct.grid) and np.array_equal(prediction.mask.array, mask.array)
    assert prediction.turned == turn
    assert prediction.notices[0] == "said by the network" and "left and right can't be told" in prediction.notices[-1]


def test_repair_stays_on_the_file_s_own_grid() -> None:
    """An array that runs from head to foot under a header that says so, but with the sign of up lost."""
    ct, mask = drawn_neck()
    affine = np.diag([-3.0, -3, 3, 1])  # LPS voxels whose z axis is right: only front and back are exchanged
    prediction = checked(Volume(ct.array[::-1], affine), lambda scan: perfect(scan), "repair")
    assert np.array_equal(prediction.mask.affine, affine) and np.array_equal(prediction.mask.array, mask.array[::-1])
    assert prediction.turned == ("forward",)


def test_contradiction_that_no_turn_explains_is_a_notice() -> None:
    ct, _ = (turned(volume, ("up",)) for volume in drawn_neck())
    calls = []

    def lost(scan: Volume) -> Segmentation:
        calls.append(scan)
        empty = Segmentation(canonical(scan).with_array(np.zeros(scan.array.shape, np.uint8)), {}, ())
        return perfect(scan) if len(calls) == 1 else empty

    prediction = checked(ct, lost)
    assert len(calls) == 4 and "no single turn of it is right" in prediction.notices[-1]


def test_nothing_labelled_is_nothing_to_judge() -> None:
    ct, mask = drawn_neck()
    empty = mask.with_array(np.zeros_like(mask.array))
    assert direction_cues(ct, empty) == [] and row_contradictions(empty) == ()


def row(*sizes: int, pitch: int = 6) -> Volume:
    """Blocks of 10 x 10 x `size` cells of 1 mm, from C1 at the top downwards, `pitch` cells apart; 0: none."""
    mask = np.zeros((14, 14, 20 + pitch * len(sizes)), np.uint8)
    for number, size in enumerate(sizes, start=1):
        low = 2 + pitch * (len(sizes) - number)
        mask[2:12, 2:12, low : low + size] = number
    return Volume(mask, np.eye(4))


def test_rows_that_no_neck_has() -> None:
    assert row_contradictions(drawn_neck()[1]) == ()
    assert row_contradictions(row(14, 14, 14, 14, pitch=17)) == ()
    (missing,) = row_contradictions(row(14, 14, 0, 14, 14, pitch=17))
    assert missing == "C3 isn't labelled between C1 and C5"
    large = row_contradictions(row(10, 10, 34, 10, 10, pitch=35))
    # unit volumes 833, 714, 3542, 1087, 952: the median is 952, C3's is 3.7 times that
    assert "C3 has 3 ml, 3.7 times what the others let expect" in large
    near = row_contradictions(row(7, 7, 7, pitch=8))
    assert near == ("the middles of C1 and C2 lie 8 mm apart", "the middles of C2 and C3 lie 8 mm apart")
    assert "lie 33 mm apart" in row_contradictions(row(14, 14, pitch=33))[0]


def test_levels_that_the_edge_cuts_are_compared_with_nobody() -> None:
    whole = row(14, 14, 14, 14, pitch=17)
    cut = whole.crop(np.array([0, 0, 12]), np.array([14, 14, 99]))  # 4 of C4's 14 mm are left
    assert row_contradictions(cut) == ()
    small = row(14, 14, 14, 4, pitch=17)
    assert any(text.startswith("C4 has 0 ml") for text in row_contradictions(small))


def test_stage_2_sees_a_repaired_scan_upright(tmp_path: Path) -> None:
    """What stage 1 says beside the mask turns scan and mask before vertebrae are cut: the same crops as upright."""
    from stage2_classify.crops.cut import cut_study
    from stage2_classify.crops.one_study import crops_of
    from stage2_classify.settings import ClassifySettings

    ct, mask = drawn_neck()
    settings = ClassifySettings()
    upside_down = turned(ct, ("up",))
    write_nifti(turned(mask, ("up",)), tmp_path / "mask.nii.gz")
    store.write_record(tmp_path / "mask.nii.gz", {"weights": "of stage 1"})
    store.write_json(tmp_path / "mask.json", {"turned": ["up"], "notices": ["turned round"]})
    assert turned_beside(tmp_path / "mask.nii.gz") == ("up",)
    crops = crops_of(upside_down, tmp_path / "mask.nii.gz", "merged", settings)
    upright = cut_study(ct, mask, settings.crops)
    assert upright.present.all() and np.array_equal(crops.images, upright.images)
    store.write_json(tmp_path / "mask.json", {"turned": "up"})
    assert turned_beside(tmp_path / "mask.nii.gz") == () == turned_beside(tmp_path / "none.nii.gz")
