"""Devices and precisions: what isn't there is refused in words, in both stages; nothing is taken from the host."""

from pathlib import Path

import pytest
import torch

from common import device
from common.config import DataSettings
from common.device import autocast, check_device, choose_device, choose_precision, prediction_precision
from common.errors import ConfigError
from stage1_segment.settings import SegmentSettings
from stage2_classify.settings import ClassifySettings

WRONG = ["cuda", "cuda:3", "nonsense", "", "cuda:", "cuda:-1", "mps", "CPU"]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.fixture(params=[True, False])
def fast_at_bfloat16(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A CPU with and without it."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": request.param}, raising=False)
    return request.param


@pytest.mark.parametrize("name", WRONG)
def test_a_device_that_is_not_there(no_gpu: None, name: str) -> None:
    with pytest.raises(
        ConfigError, match="no GPU here" if name.startswith("cuda") and name[-1] in "a3" else "expected"
    ):
        choose_device(name)


def test_a_machine_with_one_gpu(one_gpu: None) -> None:
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert choose_device("cuda:0") == torch.device("cuda:0")
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="finds 1 here"):
        check_device("cuda:1")


def test_auto_without_gpu(no_gpu: None) -> None:
    assert choose_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:3", "nonsense"])
def test_every_function_that_takes_a_device_refuses(no_gpu: None, tmp_path: Path, name: str) -> None:
    """Before it reads anything: no file that is named here exists."""
    from stage1_segment.inference.cohort import predict_cohort as segment_cohort
    from stage1_segment.inference.segmenter import Segmenter
    from stage2_classify.evaluation.evaluate_encoder import evaluate_encoder
    from stage2_classify.inference.cohort import predict_cohort as answer_cohort
    from stage2_classify.inference.one_study import predict_study
    from stage2_classify.predictor import load_predictor

    data, nothing = DataSettings(root=tmp_path / "no", run=tmp_path / "run"), tmp_path / "none"
    settings = ClassifySettings()
    settings = settings.model_copy(
        update={part: getattr(settings, part).model_copy(update={"device": name}) for part in ("train", "encoder")}
    )
    for call in (
        lambda: Segmenter.load(nothing, name),
        lambda: segment_cohort(data, SegmentSettings(), name),
        lambda: load_predictor(nothing, name),
        lambda: answer_cohort(data, settings),
        lambda: predict_study(nothing, nothing, nothing, [nothing], "merged", name),
        lambda: evaluate_encoder(data, settings, nothing),
    ):
        with pytest.raises(ConfigError, match=f"device is '?{name}"):
            call()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["stage1 predict", "stage1 evaluate", "stage1 gallery -o p.png", "stage2 predict"])
@pytest.mark.parametrize("name", ["cuda", "cuda:3", "nonsense"])
def test_every_command_refuses(no_gpu: None, monkeypatch: pytest.MonkeyPatch, command: str, name: str) -> None:
    from stage1_segment.__main__ import main as stage1
    from stage2_classify.__main__ import main as stage2

    stage, *line = [*command.split(), "--device", name]
    with pytest.raises(ConfigError, match=f"device is '?{name}"):
        if stage == "stage1":
            monkeypatch.setattr("sys.argv", ["stage1_segment", *line])
            stage1()
        else:
            stage2(line)


def test_prediction_is_in_32_bit_on_every_machine(fast_at_bfloat16: bool) -> None:
    for name in (SegmentSettings().predict.precision, ClassifySettings().decision.precision):
        assert name == prediction_precision(name, "cpu") == "32-true"
    auto = "bf16-mixed" if fast_at_bfloat16 else "32-true"
    assert prediction_precision("auto", "cpu") == choose_precision("auto", cuda=False) == auto


@pytest.mark.parametrize("precision, dtype", [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_what_is_asked_for_is_what_is_computed_in(fast_at_bfloat16: bool, precision: str, dtype: torch.dtype) -> None:
    linear, x = torch.nn.Linear(2, 2), torch.zeros(1, 2)
    with autocast(torch.device("cpu"), "bf16-mixed"), autocast(torch.device("cpu"), precision):
        assert linear(x).dtype == dtype


def test_an_unknown_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("float16", "", "16", None):
        with pytest.raises(ConfigError, match="expected one of"):
            choose_precision(wrong, cuda=False)
    assert device.TRAINING[:4] == ("32-true", "bf16-mixed", "16-mixed", "auto")
