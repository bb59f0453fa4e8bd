"""What the rate of invented levels is measured on, and how it is counted."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_stage1_pretrained import tiny_settings, write_weights

from common.errors import ConfigError
from common.labels import LEVEL_IDS
from common.volume import Volume
from stage1_segment.__main__ import _parser
from stage1_segment.evaluation import no_neck
from stage1_segment.evaluation.no_neck import NECK, is_kept, measure_no_neck, table
from stage1_segment.evaluation.no_neck_volumes import KINDS, neck_beside_a_tube
from stage1_segment.inference import segmenter as predict
from stage1_segment.inference.anatomy import orientation
from stage1_segment.inference.segmenter import Segmentation


@pytest.mark.parametrize("kind", KINDS)
def test_volumes_are_a_function_of_their_number(kind: str) -> None:
    one, again, other = (KINDS[kind](np.random.default_rng([0, n])) for n in (1, 1, 2))
    assert np.array_equal(one.array, again.array) and np.array_equal(one.affine, again.affine)
    assert one.array.shape != other.array.shape or not np.array_equal(one.array, other.array)
    assert one.array.dtype == np.int16 and one.array.min() >= -1024 and one.array.max() <= 3071


@pytest.mark.parametrize("kind", ["rods", "blocks", "spheres"])
def test_shapes_are_as_dense_as_bone(kind: str) -> None:
    assert all((KINDS[kind](np.random.default_rng([3, n])).array > 140).sum() > 20 for n in range(5))


def test_a_neck_with_a_tube_beside_it() -> None:
    """All seven levels where bone is, and beside them more soft tissue than bone."""
    ct, truth = neck_beside_a_tube(np.random.default_rng(0))
    assert set(LEVEL_IDS.values()) <= set(np.unique(truth.array).tolist())
    assert ct.array[(truth.array > 0) & (truth.array < 8)].mean() > 250
    columns = np.flatnonzero((truth.array > 0).any(axis=(1, 2)))
    side = slice(0, columns[0] - 10) if columns[0] > len(ct.array) - columns[-1] else slice(columns[-1] + 11, None)
    assert np.count_nonzero(np.abs(ct.array[side] - 40) < 150) > np.count_nonzero(truth.array)


def test_kept_by_hand() -> None:
    truth = np.zeros((30, 30, 60), np.uint8)
    for level in range(1, 8):
        truth[5:15, 5:15, 55 - 8 * level : 61 - 8 * level] = level
    missed, tube, beside, unnamed = (truth.copy() for _ in range(4))
    missed[truth == 4] = 0
    tube[22:30, 5:15, 5:25] = 3
    beside[15:17, 5:15, 20:24] = 3  # 2 mm wide of its bone
    unnamed[truth > 0] = 0

    def kept(prediction: np.ndarray) -> bool:
        return is_kept(Volume(prediction, np.eye(4)), Volume(truth, np.eye(4)))

    assert kept(truth) and kept(beside)
    assert not kept(missed) and not kept(tube) and not kept(unnamed)


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Of four volumes every second one is given a level: a rate of a half, with an interval of 15 to 85 %. Something
    is said about C7, nothing about C3."""
    answers = iter(np.array([0, 3, 8, 7]).reshape(4, 1, 1, 1))
    monkeypatch.setattr(
        predict, "segment", lambda ct, _: Segmentation(Volume(next(answers) + 0 * ct.array, ct.affine), {}, ())
    )
    monkeypatch.setattr(
        orientation, "judge", lambda ct, mask: SimpleNamespace(sentences=("C7",) if 7 in mask.array else ())
    )
    weights = write_weights(tmp_path / "w.safetensors", tiny_settings())
    line = ["no-neck", "--volumes", "4", "--kinds", "rods", "--weights", str(weights), "--precision", "bf16-mixed"]
    arguments = _parser().parse_args([*line, "-o", str(tmp_path / "r.json")])
    assert arguments.command(arguments) == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["precision"] == "bf16-mixed"
    assert result["kinds"] == {
        "rods": {"volumes": 4, "wrong": 2, "interval": [0.15, 0.85], "silent": 1, "which": [1, 3]}
    }
    assert "50.0 %   15.0 % to 85.0 %" in capsys.readouterr().out
    wrong = _parser().parse_args(["no-neck", "--kinds", "cubes"])
    with pytest.raises(ConfigError, match="cubes: not known; known are white noise"):
        wrong.command(wrong)


def test_a_lost_neck_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.zeros((8, 8, 8), np.uint8)
    truth[2:6, 2:6, 2:6] = 3
    monkeypatch.setattr(no_neck, "neck_beside_a_tube", lambda rng: (Volume(truth, np.eye(4)), Volume(truth, np.eye(4))))
    weights = write_weights(tmp_path / "w.safetensors", tiny_settings())
    for prediction, wrong in ((truth, 0), (0 * truth, 2)):
        monkeypatch.setattr(predict, "segment", lambda ct, _, a=prediction: Segmentation(Volume(a, np.eye(4)), {}, ()))
        result = measure_no_neck(weights, 2, 0, "cpu", kinds=[NECK])
        assert result["kinds"][NECK]["wrong"] == wrong
        assert "soft tissue beside a neck" in table(result)
