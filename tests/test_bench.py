"""The benchmark's ratios are taken round by round, in turn, and a missing peer is named."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import ConfigError
from tests.bench import __main__ as bench
from tests.bench import gpu, nnunet, recipe25d
from tests.bench.compare import Figures, Way, measured, ratios, table


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
        "wall_s": 3, "core_s": 1.5, "ratio": 3, "ratio_low": 2, "ratio_high": 3, "cores_ratio": 1.5,
    }  # fmt: skip
    assert "| other | 3.000 | 1.500 | 3.00 (2.00 to 3.00) | 1.50 |" in table(found)


def test_a_peer_that_is_not_installed_is_left_out_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse() -> None:
        raise AssertionError("not installed")

    ways = [Way("ours", lambda: None), Way("theirs", refuse, "pip install theirs")]
    monkeypatch.setattr(bench, "COMPARISONS", {"work": lambda out: ways})
    monkeypatch.setattr(sys, "argv", ["bench", "work", "--out", str(tmp_path), "--rounds", "1"])
    assert bench.main() == 0
    said = capsys.readouterr()
    assert "theirs is left out: pip install theirs" in said.err and "| ours |" in said.out
    assert '"ratio": 1.0' in (tmp_path / "work.json").read_text()
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


def test_a_plain_loader_cuts_patches_of_any_shape(tmp_path: Path) -> None:
    import nibabel as nib

    from tests.bench.plain_loader import PlainSamples

    mask = np.zeros((20, 20, 20), np.uint8)
    mask[8:12, 8:12, 8:12] = 3
    for name, array in (("ct", mask.astype(np.int16) * 200), ("mask", mask)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii")
    sample = PlainSamples(tmp_path / "ct.nii", tmp_path / "mask.nii", (8, 8, 12))[0]
    assert sample["image"].shape == (2, 8, 8, 12) and sample["mask"].shape == (1, 8, 8, 12)
    assert set(np.unique(sample["mask"])) == {0, 3}


def test_operations_and_the_time_within_a_network() -> None:
    """A layer of 4 to 8 on 2 rows: 2 x 2 x 4 x 8 operations; half a second of a hardware of 256 a second."""
    layer = torch.nn.Linear(4, 8)
    waits = (lambda: layer(torch.zeros(2, 4)), lambda: time.sleep(0.02))
    work = gpu.Work("a layer", lambda: [do() for do in waits], layer)
    row = gpu.measured(work, torch.device("cpu"), "32-true", rounds=3)
    assert row.flops == 128 and row.in_network is not None
    assert 0 < row.in_network < row.seconds - 0.019
    said = gpu.table([gpu.Row("a layer", "32-true", 1.0, 0.625, 128.0, 7)], {"32-true": 256.0})
    assert said.splitlines()[-1] == "| a layer | 32-true | 1.000 | 60 | 62% | 50.0% | 80.0% | 7 |"


def test_the_benchmark_of_a_gpu_refuses_without_one() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="finds no GPU here"):
        gpu.main(["--device", "cuda"])
