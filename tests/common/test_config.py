"""Configuration: overrides reach their keys, and every mistake is named."""

from pathlib import Path

import pytest

from common.config import Settings, load, parse_saved
from common.errors import ConfigError
from stage1_segment.settings import SegmentSettings
from stage2_classify.settings import ClassifySettings


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


def renamed_keys(model: type[Settings], prefix: str = "") -> list[tuple[str, str]]:
    """Every old key of a part, dotted under today's parents, with its new name."""
    found = [(f"{prefix}{old}", new) for old, new in model.RENAMED.items()]
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found += renamed_keys(field.annotation, f"{prefix}{name}.")
    return found


RENAMED = [
    (part, model, old, new)
    for part, model in (("segment", SegmentSettings), ("classify", ClassifySettings))
    for old, new in renamed_keys(model)
]


def test_keys_that_were_renamed() -> None:
    assert {"predict.clean", "train.start_from", "network.widths", "bank"} <= {old for part, _, old, _ in RENAMED}
    assert {"augment.drawn", "encoder.start_from", "decision.flip"} <= {old for _, _, old, _ in RENAMED}


@pytest.mark.parametrize(("part", "model", "old", "new"), RENAMED)
def test_an_old_key_is_refused_with_its_new_name(tmp_path: Path, part: str, model: type, old: str, new: str) -> None:
    """As an override and in a file. The new name is a key, and settings saved under the old one are still read."""
    *parents, key = old.split(".")
    said = rf"`{part}\.{old}` is called `{new}` now"
    with pytest.raises(ConfigError, match=said):
        load(None, part, model, [f"{old}=1"])
    text = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate([part, *parents]))
    (tmp_path / "old.yaml").write_text(f"{text}{'  ' * (len(parents) + 1)}{key}: 1\n")
    with pytest.raises(ConfigError, match=said):
        load(tmp_path / "old.yaml", part, model, [])
    owner, value = model(), model().model_dump(mode="json")
    for name in parents:
        owner, value = getattr(owner, name), value[name]
    assert new in type(owner).model_fields and key not in type(owner).model_fields
    if new in value:  # init_from isn't saved
        value[key] = value.pop(new)
        assert parse_saved({key: value[key]}, type(owner), "test") == type(owner)()
