"""Weights that come with the project, and trainings that begin from some; a training from a bank."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fake_subject import write_bank

from common.config import DataSettings
from common.errors import ConfigError, NoCervicalLevel, WeightsError
from common.training import initial_weights
from common.training.weights import load_weights, save_weights
from stage1_segment import pretrained as pretrained_module
from stage1_segment.network import build_network
from stage1_segment.pretrained import init_path, own_or_pretrained
from stage1_segment.provenance import all_current
from stage1_segment.run_folder import RunFolder
from stage1_segment.settings import (
    KIND,
    InitTrainSettings,
    NetworkSettings,
    PatchSettings,
    PredictSettings,
    SegmentSettings,
    SyntheticSettings,
)
from stage1_segment.training.set_pretrained import set_pretrained

TINY = NetworkSettings(channels=(8, 8), decoder_channels=(8, 8))


def tiny_settings(init_from: str | None = None, bank: Path = Path("bank"), **train) -> SegmentSettings:
    return SegmentSettings(
        source="synthetic",
        network=TINY,
        patch=PatchSettings(coarse_mm=8.0, fine_mm=4.0, size=(16, 16, 24)),
        synthetic=SyntheticSettings(folder=bank, held_out=0.5),
        train=InitTrainSettings(
            steps=2, batch=1, warmup=1, workers=0, precision="32-true", init_from=init_from, **train
        ),
    )


def write_weights(path: Path, settings: SegmentSettings, seed: int = 7) -> Path:
    dump = settings.model_dump(mode="json", include={"network", "patch", "predict"})
    save_weights(path, build_network(settings.network, seed), {"kind": KIND, "fold": 0, "held_out": ["x"], **dump})
    return path


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pretrained" / "weights.safetensors"
    monkeypatch.setattr(pretrained_module, "PRETRAINED", path)
    return path


def test_pretrained_module_are_used_and_announced(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    own = tmp_path / "own.safetensors"
    assert own_or_pretrained(own) == own and capsys.readouterr().err == ""  # nothing there: today's error follows
    write_weights(pretrained, tiny_settings())
    assert own_or_pretrained(own) == pretrained
    said = capsys.readouterr().err
    assert "come with the project" in said and "Research software" in said and "CARD.md" in said
    write_weights(own, tiny_settings())
    assert own_or_pretrained(own) == own and capsys.readouterr().err == ""


def test_predict_without_weights_of_its_own(pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import numpy as np

    from common.reading.nifti import write_nifti
    from common.volume import Volume
    from stage1_segment.__main__ import _parser

    write_nifti(Volume(np.full((16, 16, 24), -1000, np.int16), np.diag([4.0, 4, 4, 1])), tmp_path / "ct.nii.gz")
    line = ["predict", "-i", f"{tmp_path}/ct.nii.gz", "-o", f"{tmp_path}/m.nii.gz", f"data.run={tmp_path}/none"]
    arguments = _parser().parse_args(line)
    with pytest.raises(WeightsError, match="none"):
        arguments.command(arguments)
    write_weights(pretrained, tiny_settings())
    with pytest.raises(NoCervicalLevel):  # it has learned nothing
        arguments.command(arguments)
    assert (tmp_path / "m.nii.gz").is_file()
    assert "come with the project" in capsys.readouterr().err
    assert (tmp_path / "m.nii.gz").exists()


def test_set_pretrained_keeps_the_weights(pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_weights(tmp_path / "w.safetensors", tiny_settings())
    assert set_pretrained([source]) == pretrained
    (old, _), (new, description) = load_weights(source), load_weights(pretrained, KIND)
    assert old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)
    assert "held_out" not in description and description["network"]["channels"] == [8, 8]
    monkeypatch.setattr(initial_weights, "LARGEST", 1000)
    with pytest.raises(ConfigError, match="MB"):
        set_pretrained([source])


def test_set_pretrained_takes_the_mean_and_says_how_to_predict(pretrained: Path, tmp_path: Path) -> None:
    sources = [write_weights(tmp_path / f"{seed}.safetensors", tiny_settings(), seed) for seed in (1, 2)]
    set_pretrained(sources, predict=PredictSettings(test_time_augmentation=True, overlap=0.125))
    (a, _), (b, _), (mean, description) = (load_weights(path) for path in (*sources, pretrained))
    assert all(torch.allclose(mean[name], (a[name] + b[name]) / 2) for name in a)
    assert description["predict"]["test_time_augmentation"] and description["predict"]["overlap"] == 0.125
    wide = tiny_settings().model_copy(
        update={"network": NetworkSettings(channels=(8, 8, 8), decoder_channels=(8, 8, 8))}
    )
    other = write_weights(tmp_path / "other.safetensors", wide)
    with pytest.raises(WeightsError, match="no mean"):
        set_pretrained([sources[0], other])


def test_weights_of_an_older_version_are_read(tmp_path: Path) -> None:
    """Their description has the names that settings had before 0.4."""
    from stage1_segment.inference.segmenter import Segmenter

    path = write_weights(tmp_path / "a.safetensors", tiny_settings())
    old = {
        **load_weights(path)[1],
        "network": {"widths": [8, 8], "decoder": [8, 8], "blocks": 1},
        "predict": {"margin_mm": 5, "flip": True, "clean": {"speck_mm3": 7}},
    }
    save_weights(path, Segmenter.load(path, "cpu").network, old)
    predict = Segmenter.load(path, "cpu").predict
    assert (predict.margin_mm, predict.test_time_augmentation) == (5, True)
    assert predict.postprocess.min_component_mm3 == 7
    begins = tiny_settings(str(path))
    assert init_path(begins) == path


def test_a_name_of_no_weights_tells_the_names(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"practice: no such .* set train\.init_from to pretrained"):
        init_path(tiny_settings("practice"))


def test_start_must_fit(pretrained: Path, tmp_path: Path) -> None:
    assert init_path(tiny_settings()) is None
    with pytest.raises(WeightsError, match="init_from=null"):
        init_path(tiny_settings("pretrained"))
    write_weights(pretrained, tiny_settings())
    assert init_path(tiny_settings("pretrained")) == pretrained
    other = tiny_settings("pretrained").model_copy(
        update={"network": NetworkSettings(channels=(8, 16), decoder_channels=(8, 8))}
    )
    with pytest.raises(ConfigError, match=r"network\.channels is \[8, 8\]"):
        init_path(other)
    window = tiny_settings("pretrained").model_copy(update={"patch": PatchSettings(high_hu=1500)})
    with pytest.raises(ConfigError, match=r"patch\.high_hu"):
        init_path(window)


@pytest.mark.slow
def test_training_from_a_bank(pretrained: Path, tmp_path: Path) -> None:
    """Two steps and a validation; it is current afterwards, and begins from weights when asked."""
    from stage1_segment.training.train import train_folds

    data = DataSettings(root=tmp_path / "no cohort", run=tmp_path / "run")
    write_bank(tmp_path / "bank", 2)
    write_weights(pretrained, tiny_settings())
    settings = tiny_settings("pretrained", tmp_path / "bank", lr=1e-9, weight_decay=0.0, log_every=1)
    assert not all_current(data, settings)
    train_folds(data, settings)
    assert all_current(data, settings)
    assert not all_current(data, tiny_settings(None, tmp_path / "bank", lr=1e-9, weight_decay=0.0, log_every=1))
    begun, trained = load_weights(pretrained)[0], load_weights(RunFolder(data.run).weights(0), KIND)[0]
    assert all(torch.allclose(begun[name], trained[name], atol=1e-6) for name in begun)
    lines = [json.loads(line) for line in (RunFolder(data.run).fold(0) / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 2] and "validation_dice" in lines[-1]
    assert lines[0]["validation_loss"] > 0 and lines[0]["validation_loss"] != lines[-1]["validation_loss"]


@pytest.mark.slow
def test_gallery_of_synthetic_scans(tmp_path: Path) -> None:
    from PIL import Image

    from stage1_segment.evaluation.gallery import draw_gallery
    from stage1_segment.provenance import bank_files

    write_bank(tmp_path / "bank", 1)
    subjects = tuple(map(str, bank_files(tmp_path / "bank")))
    weights = write_weights(tmp_path / "w.safetensors", tiny_settings())
    draw_gallery(subjects, 2, weights, tmp_path / "gallery.png")
    colours = Image.open(tmp_path / "gallery.png").convert("RGB").getcolors(1 << 24)
    assert sum(max(colour) - min(colour) > 60 for _, colour in colours) > 20  # levels are drawn over the grey


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(
    "what, seed",
    [("nothing", 0), ("noise", 0), ("noise", 2), ("noise in a body", 0), ("a rod of bone", 0), ("a noisy ball", 0)],
)
def test_no_neck_no_level(what: str, seed: int, precision: str) -> None:
    """The weights that come with the project label nothing cervical where there is no neck, in either precision and
    whatever the machine is fast at; how often they do is measured by `stage1_segment no-neck`."""
    import numpy as np

    from common.volume import Volume
    from stage1_segment.inference.segmenter import Segmenter, segment

    rng, shape = np.random.default_rng(seed), (64, 64, 80)
    hu = np.full(shape, -1000, np.float32)
    if what == "noise":
        hu = rng.normal(0, 300, shape).astype(np.float32)
    elif what != "nothing":
        hu[10:54, 12:52] = 40
        hu += rng.normal(0, 60, shape).astype(np.float32)
    if what == "a rod of bone":
        hu[25:39, 20:34] = 500
    if what == "a noisy ball":
        hu[sum((np.indices(shape) - np.array([32, 30, 40])[:, None, None, None]) ** 2) < 16**2] += 760
    segmenter = Segmenter.load(pretrained_module.PRETRAINED, "cpu")
    assert segmenter.predict.precision == "32-true"  # the description of these weights is older than the setting
    segmenter = replace(segmenter, predict=segmenter.predict.model_copy(update={"precision": precision}))
    result = segment(Volume(hu, np.diag([3.0, 3, 3, 1])), segmenter)
    assert not np.isin(result.mask.array, range(1, 8)).any()
