"""The precision of a prediction is what the settings say, in both stages, on machines fast at bfloat16 and others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_stage1 import TINY
from test_stage2_attention import predictor as stage2_predictor
from test_stage2_attention import study
from torch import nn

from common.reading.nifti import write_nifti
from common.training.weights import read_description, save_weights
from common.volume import Volume
from stage1_segment.inference.one_study import predict_study
from stage1_segment.inference.segmenter import Segmenter, segment
from stage1_segment.network import build_network
from stage1_segment.settings import KIND, PatchSettings, PredictSettings, SegmentSettings
from stage2_classify.predictor import load_predictor

PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@pytest.fixture(params=[True, False], ids=["fast at bfloat16", "not"], autouse=True)
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": request.param}, raising=False)
    return request.param


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_stage_1_computes_in_what_is_asked_for(precision: str, flip: bool) -> None:
    seen: set[torch.dtype] = set()
    kernel = torch.ones(9, 2, 1, 1, 1)

    def network(windows: torch.Tensor) -> torch.Tensor:
        answer = nn.functional.conv3d(windows, kernel)
        seen.add(answer.dtype)
        return answer

    hu = np.random.default_rng(0).normal(300, 100, (8, 8, 8)).astype(np.float32)
    settings = PredictSettings(precision=precision, test_time_augmentation=flip)
    segmenter = Segmenter(network, PatchSettings(coarse_mm=4.0, fine_mm=4.0, size=8), settings, torch.device("cpu"))
    segment(Volume(hu, np.diag([4.0, 4, 4, 1])), segmenter)
    assert seen == {PRECISIONS[precision]}


@pytest.mark.parametrize("precision", [None, *PRECISIONS, "auto"])
def test_stage_1_says_what_it_computed_in(tmp_path: Path, host: bool, precision: str | None) -> None:
    """None: weights whose description is older than the setting."""
    settings = SegmentSettings(network=TINY, patch=PatchSettings(coarse_mm=8.0, fine_mm=4.0, size=16))
    dump = settings.model_dump(mode="json", include={"network", "patch", "predict"})
    del dump["predict"]["precision"]
    if precision is not None:
        dump["predict"]["precision"] = precision
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, build_network(TINY), {"kind": KIND, **dump})
    expected = {None: "32-true", "auto": "bf16-mixed" if host else "32-true"}.get(precision, precision)
    assert Segmenter.load(weights, "cpu").predict.precision == expected

    rng, hu = np.random.default_rng(0), np.full((40, 40, 40), -1000.0)
    hu[6:34, 6:34] = rng.normal(40, 15, (28, 28, 40))
    hu[16:24, 16:24] = rng.normal(500, 150, (8, 8, 40))
    write_nifti(Volume(hu.astype(np.int16), np.diag([4.0, 4, 4, 1])), tmp_path / "ct.nii.gz")
    try:
        predict_study(tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz", weights, "cpu")
    except Exception as error:  # no level by these weights; the files are there all the same
        assert type(error).__name__ == "NoCervicalLevel"
    assert json.loads((tmp_path / "mask.json").read_text())["precision"] == expected
    record = json.loads((tmp_path / "mask.nii.gz.record.json").read_text())
    assert record["provenance"]["predict"]["precision"] == expected


@pytest.mark.parametrize("precision", PRECISIONS)
def test_stage_2_computes_in_what_is_asked_for(precision: str) -> None:
    predictor = replace(stage2_predictor(), precision=precision)
    seen = set()
    layer = next(part for part in predictor.network.modules() if isinstance(part, nn.Conv3d))
    layer.register_forward_hook(lambda part, given, answer: seen.add(answer.dtype))
    logits = predictor.logits(study(), augmented=True)
    assert seen == {PRECISIONS[precision]}
    assert logits.shape == (8,) and np.isfinite(logits).all()
    np.testing.assert_allclose(logits, stage2_predictor().logits(study(), augmented=True), atol=0.1)


def test_stage_2_loads_in_what_is_asked_for(tmp_path: Path, host: bool) -> None:
    predictor = stage2_predictor()
    settings = predictor.settings.model_dump(mode="json")
    del settings["decision"]["precision"]  # as it was before the setting
    path = tmp_path / "w.safetensors"
    save_weights(path, predictor.network, {"kind": "classification", "settings": settings, "prior": [0.1] * 8})
    assert "precision" not in read_description(path)["settings"]["decision"]
    assert load_predictor(path, "cpu").precision == "32-true"
    assert load_predictor(path, "cpu", "bf16-mixed").precision == "bf16-mixed"
    assert load_predictor(path, "cpu", "auto").precision == ("bf16-mixed" if host else "32-true")
