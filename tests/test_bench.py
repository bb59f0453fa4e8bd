"""The benchmark's ratios are taken round by round, in turn, and a missing peer is named."""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

from common.errors import ConfigError
from stage1_segment import settings as stage1
from stage1_segment.settings import SegmentSettings
from stage1_segment.training.patches import CohortSamples
from stage1_segment.training.samples import make_sample
from stage1_segment.training.task import SegmentTask
from stage2_classify import settings as stage2
from stage2_classify.settings import ClassifySettings
from stage2_classify.training.encoder_patches import EncoderPatches
from stage2_classify.training.samples import Samples
from tests.bench import __main__ as bench
from tests.bench import gpu, nnunet, on_device, own_process, recipe25d, studies, tasks
from tests.bench.compare import Figures, Way, measured, ratios, table
from tests.bench.plain_stage1 import PlainPatches
from tests.bench.plain_stage2 import PlainStudies, PlainVertebrae, cut_vertebrae
from tests.bench.studies import Pair


def test_ways_take_turns_and_the_first_turn_does_not_count() -> None:
    calls: list[str] = []
    figures = measured([Way(name, lambda name=name: calls.append(name)) for name in "ab"], 2)
    assert "".join(calls) == "ababab"
    assert {name: (len(own.wall), len(own.cores)) for name, own in figures.items()} == {"a": (2, 2), "b": (2, 2)}


def test_a_ratio_is_that_of_one_round() -> None:
    """The machine is twice as slow in the second round, for both."""
    found = ratios({"ours": Figures([1, 2, 1], [1, 2, 1]), "other": Figures([3, 6, 2], [1.5, 3, 1])})
    assert found["ours"]["ratio"] == found["ours"]["ratio_high"] == 1
    assert found["other"] == {
        "wall_s": 3, "core_s": 1.5, "ratio": 3, "ratio_low": 2, "ratio_high": 3, "cores_ratio": 1.5, "peak_mb": None,
        "peak_ratio": None,
    }  # fmt: skip
    assert "| other | 3.000 | 1.500 | 3.00 (2.00 to 3.00) | 1.50 | - | - |" in table(found)
    found = ratios({"ours": Figures([1], [1], 500), "other": Figures([1], [1], 1250.4)})
    assert found["other"]["peak_ratio"] == pytest.approx(2.5008)
    assert table(found).splitlines()[-1].endswith("| 1250 | 2.50 |")


def test_memory_is_that_of_a_process_with_the_way_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """400 MB in a list count, in the process itself or in one that it starts; what failed has none."""
    code = """
import subprocess, sys
from tests.bench import comparisons, own_process
from tests.bench.compare import Way

large = "bytearray(400 << 20)"
ways = [
    Way("small", lambda: None),
    Way("large", lambda: bytearray(400 << 20)),
    Way("started", lambda: subprocess.run([sys.executable, "-c", large], check=True)),
    Way("fails", lambda: 1 / 0),
]
comparisons.COMPARISONS["work"] = lambda out: ways
sys.exit(own_process.main(sys.argv[1:]))
"""
    script = tmp_path / "own.py"
    script.write_text(code)
    run = own_process.subprocess.run

    def of_script(words: list[str], **options: object) -> object:
        assert words[1:3] == ["-m", "tests.bench.own_process"]
        root = Path(__file__).parents[1]
        return run([words[0], str(script), *words[3:]], env={**os.environ, "PYTHONPATH": str(root)}, **options)

    monkeypatch.setattr(own_process, "subprocess", SimpleNamespace(run=of_script, PIPE=-1, DEVNULL=-3))
    peaks = {way: own_process.peak_of("work", way, tmp_path) for way in ("small", "large", "started", "fails")}
    assert peaks["fails"] is None and peaks["small"] < 300
    assert peaks["large"] > peaks["small"] + 380 and 400 < peaks["started"] < 600


def test_a_peer_that_is_not_installed_is_left_out_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse() -> None:
        raise AssertionError("not installed")

    ways = [Way("ours", lambda: None), Way("theirs", refuse, "pip install theirs")]
    monkeypatch.setattr(bench, "COMPARISONS", {"work": lambda out: ways})
    monkeypatch.setattr(bench, "peak_of", lambda *asked: {("work", "ours", tmp_path): 123.0}[asked])
    monkeypatch.setattr(sys, "argv", ["bench", "work", "--out", str(tmp_path), "--rounds", "1"])
    assert bench.main() == 0
    said = capsys.readouterr()
    assert "theirs is left out: pip install theirs" in said.err and "| ours |" in said.out
    assert '"ratio": 1.0' in (said_there := (tmp_path / "work.json").read_text()) and '"peak_mb": 123.0' in said_there
    monkeypatch.setattr(sys, "argv", ["bench", "nothing"])
    with pytest.raises(SystemExit):
        bench.main()


@pytest.mark.parametrize(("shape", "step", "count"), [((154, 154, 128), 0.8, 4), ((300, 154, 128), 0.5, 8)])
def test_the_peers_windows_cover_the_scan_at_most_a_step_apart(
    shape: tuple[int, int, int], step: float, count: int
) -> None:
    """300 voxels: (300 - 128) / 64, rounded up, and one: four windows."""
    places, seen = list(nnunet.places(shape, step, 128)), np.zeros(shape, bool)
    for place in places:
        seen[place] = True
    assert len(places) == count and seen.all()
    starts = sorted({place[0].start for place in places})
    assert max(np.diff(starts)) <= step * 128


def test_the_peer_s_labels_lie_on_the_scan_s_grid() -> None:
    """A network that calls what is bright class 3: the mask is where the scan is bright."""
    hu = np.zeros((40, 30, 12), np.int16)
    hu[10:30, 10:20, 3:9] = 1000

    def bright(window):
        logits = window.new_zeros(1, nnunet.CLASSES, *window.shape[2:])
        logits[:, 3] = window[:, 0]
        return logits

    found = nnunet.segment(bright, hu, np.array([0.75, 0.75, 1.5]), 1.5, 0.5, 16)
    both = np.sum((found == 3) & (hu > 0))
    assert found.shape == hu.shape and both > 0.9 * np.sum(hu > 0) and both > 0.7 * np.sum(found == 3)


def test_the_recipe_sees_fifteen_slices_with_neighbours_and_the_mask() -> None:
    hu = np.broadcast_to(np.arange(40) * 10, (50, 50, 40)).astype(np.int16)
    mask = np.zeros(hu.shape, np.uint8)
    mask[20:30, 20:30, 5:34] = 2
    crop = recipe25d._crop(hu, mask, 2, np.array([0.5, 0.5, 1.0]), 32)
    assert crop.shape == (15, 6, 32, 32)
    np.testing.assert_allclose(crop[0, :5, 0, 0] * 3000 - 1000, [30, 40, 50, 60, 70], atol=0.1)
    assert crop[7, 5].max() == 1 and 0 < crop[7, 5].mean() < 0.2


def test_a_peer_that_fails_is_left_out_and_our_own_fault_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise OSError("no such series")

    found = measured([Way("ours", lambda: None), Way("theirs", fails)], 1)
    assert list(found) == ["ours"] and "theirs is left out, since it fails: no such series" in capsys.readouterr().err
    with pytest.raises(OSError):
        measured([Way("ours", fails)], 1)


@pytest.fixture
def boxes(tmp_path: Path) -> Pair:
    """40 x 40 x 40 voxels of 1 mm, all air but for two boxes of 12 x 12 x 10, which are C3 and C4 of 600 HU."""
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[14:26, 14:26, 24:34], mask[14:26, 14:26, 6:16] = 3, 4
    for name, array in (("ct", np.where(mask, 600, -1000).astype(np.int16)), ("mask", mask)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii")
    return Pair(tmp_path / "ct.nii", tmp_path / "mask.nii")


@pytest.mark.parametrize("coarse", [0, 1])
def test_a_plain_loader_of_stage_1_makes_what_ours_makes(boxes: Pair, coarse: int) -> None:
    """Bone is as bright as its HU say and has its number, in a patch of any shape."""
    settings = SegmentSettings(
        patch=stage1.PatchSettings(size=(16, 16, 24), coarse_share=coarse), augment=stage1.AugmentSettings.off()
    )
    ct, mask = boxes.volumes()
    ours = SegmentTask(settings, CohortSamples([make_sample(ct, mask, 1.5)], settings), []).sample(0)
    plain = PlainPatches(boxes, settings).sample(0)
    assert {name: (value.shape, value.dtype) for name, value in plain.items()} == {
        name: (value.shape, value.dtype) for name, value in ours.items()
    }
    bone = plain["mask"][0] > 0
    assert set(plain["mask"].unique().tolist()) <= {0, 3, 4} and bone.sum() * (4.0 if coarse else 1.5) ** 3 > 600
    assert plain["image"][0][~bone].median() == 0
    assert float(plain["image"][0][bone].max()) == pytest.approx((600 + 200) / 1200, abs=1e-4)
    assert bool(plain["image"][1].any()) != bool(coarse)


def test_a_plain_loader_of_stage_2_makes_what_ours_makes(boxes: Pair) -> None:
    """Its crops of upright boxes are ours but for voxels at the rim, and its samples differ in nothing else."""
    settings = ClassifySettings(
        crops=stage2.CropSettings(size_mm=(32, 32, 32), oriented=False, min_volume_mm3=100),
        augment=stage2.AugmentSettings(synthetic_fractures=0).off(),
        encoder_patch=16,
    )
    known = tasks.example(*boxes.volumes(), settings)
    assert known.crops.present.tolist() == [False, False, True, True, False, False, False]
    assert known.labels.tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    images = cut_vertebrae(boxes, np.array([2, 3]), settings.crops)
    assert np.mean(images == known.crops.images) > 0.99 and images[2:4].any(axis=(1, 2, 3, 4)).all()
    ours = Samples([known], settings.augment, settings.crops, settings.train.seed).sample(0)
    plain = PlainStudies(boxes, known, settings).sample(0)
    assert plain.keys() == ours.keys() and all(
        torch.equal(plain[name], ours[name]) for name in ours if name != "images"
    )
    own, plain_patches, labels = EncoderPatches([known], settings), PlainVertebrae(boxes, known, settings), set()
    for draw in range(8):
        patch, other = own.sample(draw), plain_patches.sample(draw)
        assert patch["images"].shape == other["images"].shape and torch.equal(patch["label"], other["label"])
        assert float((patch["images"] - other["images"]).abs().mean()) < 0.02
        labels.add(float(other["label"]))
    assert labels == {0.0, 1.0}


def test_a_larger_scan_is_the_same_in_smaller_voxels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "PAIR_SIDE", 32)
    (ct, mask), (large, large_mask) = studies.pair(tmp_path).volumes(), studies.larger_pair(tmp_path).volumes()
    assert large.array.shape == (64, 64, ct.array.shape[2])
    np.testing.assert_allclose(large.spacing, ct.spacing * [0.5, 0.5, 1])
    assert np.array_equal(large.array[1::2, ::2], ct.array) and np.array_equal(large_mask.array[::2, 1::2], mask.array)
    corners = [one.grid.to_world(np.array([[-0.5] * 3, np.array(one.array.shape) - 0.5])) for one in (ct, large)]
    np.testing.assert_allclose(*corners, atol=1e-3)
    made = (tmp_path / "pair_ct.nii").stat().st_mtime_ns
    studies.pair(tmp_path)
    assert (tmp_path / "pair_ct.nii").stat().st_mtime_ns == made


def test_operations_and_the_time_within_a_network() -> None:
    """A layer of 4 to 8 on 2 rows: 2 x 2 x 4 x 8 operations; half a second of a hardware of 256 a second."""
    layer = torch.nn.Linear(4, 8)
    waits = (lambda: layer(torch.zeros(2, 4)), lambda: time.sleep(0.02))
    work = on_device.Work("a layer", lambda: [do() for do in waits], layer)
    row = on_device.measured(work, torch.device("cpu"), "32-true", rounds=3)
    assert row.flops == 128 and row.in_network is not None
    assert 0 < row.in_network < row.seconds - 0.019
    said = on_device.table([on_device.Row("a layer", "32-true", 1.0, 0.625, 128.0, 7)], {"32-true": 256.0})
    assert said.splitlines()[-1] == "| a layer | 32-true | 1.000 | 60 | 62% | 50.0% | 80.0% | 7 |"


def test_the_benchmark_of_a_gpu_refuses_without_one() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="finds no GPU here"):
        gpu.main(["--device", "cuda"])
