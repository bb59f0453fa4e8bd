"""Configuration: overrides reach their keys, and every mistake is named."""

from pathlib import Path

import pytest

from common.config import Settings, load
from common.errors import ConfigError


class Train(Settings):
    lr: float = 1e-3
    steps: int = 100


class Stage(Settings):
    train: Train = Train()
    spacing_mm: tuple[float, float, float] = (1, 1, 1)


def read(tmp_path: Path, text: str, *overrides: str) -> Stage:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return load(path, "segment", Stage, list(overrides))[1]


def test_file_then_override(tmp_path):
    stage = read(tmp_path, "segment:\n  train: {lr: 2e-3, steps: 7}\n", "train.lr=1e-4")
    assert (stage.train.lr, stage.train.steps) == (1e-4, 7)


def test_list_override(tmp_path):
    assert read(tmp_path, "", "spacing_mm=[1,2,3.5]").spacing_mm == (1, 2, 3.5)


def test_data_override(tmp_path):
    data, _ = load(None, "segment", Stage, ["data.root=/somewhere"])
    assert data.root == Path("/somewhere")


@pytest.mark.parametrize(
    ("text", "override", "expected"),
    [
        ("segmet: {}", (), "unknown key `segmet`, did you mean `segment`"),
        ("segment: {train: {lrr: 1}}", (), r"unknown key `segment.train.lrr`, did you mean `lr`"),
        ("", ("train.step=3",), "did you mean `steps`"),
        ("segment: {train: {steps: many}}", (), r"segment.train.steps` is 'many'"),
        ("segment: [1]", (), "expected the parts"),
        ("segment: {", (), "can't be read as YAML"),
        ("", ("train.lr",), "expected key.sub=value"),
        ("", ("spacing_mm=1", "spacing_mm.x=2"), "holds a value"),
    ],
)
def test_mistakes_are_named(tmp_path, text, override, expected):
    with pytest.raises(ConfigError, match=expected):
        read(tmp_path, text, *override)


def test_missing_file():
    with pytest.raises(ConfigError, match=r"no such configuration file.*--config atlas, phantom"):
        load(Path("/nowhere.yaml"), "segment", Stage, [])


def test_a_configuration_that_comes_along_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stage1_segment.settings import SegmentSettings

    monkeypatch.chdir(tmp_path)
    assert load(Path("phantom"), "segment", SegmentSettings, []) == load(
        Path(__file__).parents[2] / "configs" / "phantom.yaml", "segment", SegmentSettings, []
    )
    Path("phantom").write_text("data: {folds: 3}")  # a file here goes before
    assert load(Path("phantom"), "segment", SegmentSettings, [])[0].folds == 3
    with pytest.raises(ConfigError, match="no such configuration file"):
        load(Path("elsewhere/phantom"), "segment", SegmentSettings, [])


class Places(Settings):
    folder: Path | None = None


class Placed(Settings):
    masks: Places = Places()


@pytest.mark.parametrize("path", ["/my data/a #1", "a: b", "[1", "2023", "it's here", "1e-3"])
def test_a_path_in_an_override_stands_as_it_is(path: str) -> None:
    data, settings = load(None, "classify", Placed, [f"data.root={path}", f"masks.folder={path}"])
    assert (data.root, settings.masks.folder) == (Path(path), Path(path))
    assert load(None, "classify", Placed, ["masks.folder=null"])[1].masks.folder is None
