"""Hostile tables, configurations and overrides: a typed error or a sound answer, nothing else.

FUZZ_CASES=2000 runs that many cases of each test; without it as many as take seconds.
"""

import os
import string
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.config import PARTS, DataSettings, Settings, load
from common.dataset.competition import BOX_COLUMNS, UID, Competition, is_uid
from common.dataset.verify import verify
from common.errors import ConfigError, ProjectError
from common.labels import TARGETS
from common.training.task import TrainSettings

CASES = int(os.environ.get("FUZZ_CASES", "60"))
fuzz = settings(
    max_examples=CASES, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


class Stage(Settings):
    train: TrainSettings = TrainSettings()
    spacing_mm: tuple[float, float, float] = (1, 1, 1)
    names: dict[str, int] | None = None
    kind: str = "a"


def typed(call: Callable[[], object]) -> object:
    """What `call` returns, None after a ProjectError that says something; any other error is the test's failure."""
    try:
        return call()
    except ProjectError as error:
        assert 10 < len(str(error)) < 3000
        return None


# Tables

NASTY = [
    "", " ", "nan", "inf", "-inf", "1e400", "-1", "0", "1", "1.0", "2", "0x1", "True", "1_0", "9" * 400, "../../x",
    "/etc/passwd", "..", ".", "a/b", "a\\b", "\x00", "\ufeff", "\u202e", '"', "'", ",", "\n", "<script>", "=1+1",
    "1.2.3", "a", "\ud7ff",
    "x" * 5000, "C1", "C9", "patient_overall",
]  # fmt: skip
cell = st.one_of(st.sampled_from(NASTY), st.text(max_size=8), st.integers(-5, 600).map(str), st.floats().map(str))
row = st.lists(cell, min_size=1, max_size=11).map(",".join)


def table(columns: tuple[str, ...], good: str) -> st.SearchStrategy[bytes]:
    """A header (right, or not), rows of anything among good ones; or bytes of anything."""
    header = st.one_of(st.just(",".join(columns)), st.permutations(columns).map(",".join), row)
    rows = st.lists(st.one_of(row, st.just(good)), max_size=6)
    ends = st.sampled_from(["\n", "\r\n", "\r", "\n\n"])
    text = st.tuples(header, rows, ends).map(lambda t: t[2].join([t[0], *t[1], ""]).encode("utf-8", "surrogatepass"))
    return st.one_of(text, text.flatmap(mutated), st.binary(max_size=200))


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """`content` cut off, with bytes changed or put in."""

    def change(edits: list[tuple[int, bytes]]) -> bytes:
        changed = bytearray(content)
        for place, new in edits:
            at = place % (len(changed) + 1)
            changed[at : at + len(new) // 2] = new
        return bytes(changed)

    return st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=4)), min_size=1, max_size=4).map(change)


labels = table((UID, "patient_overall", *TARGETS[:-1]), "1.2,1,0,1,0,0,0,0,0")
boxes = table((UID, *BOX_COLUMNS), "1.2,1,2,3,4,5")
test_rows = table(("row_id", UID, "prediction_type"), "1.3_C1,1.3,C1")


def competition(**tables: bytes) -> tuple[tempfile.TemporaryDirectory, Path]:
    keeper = tempfile.TemporaryDirectory()
    root = Path(keeper.name)
    good = {
        "train": b"StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7\n1.2,1,0,1,0,0,0,0,0\n",
        "train_bounding_boxes": b"StudyInstanceUID,x,y,width,height,slice_number\n1.2,1,2,3,4,5\n",
        "test": b"row_id,StudyInstanceUID,prediction_type\n1.3_C1,1.3,C1\n",
        "sample_submission": b"row_id,fractured\n1.3_C1,0.5\n",
    }
    for name, content in {**good, **tables}.items():
        (root / f"{name}.csv").write_bytes(content)
    return keeper, root


@fuzz
@given(labels)
def test_labels(content: bytes) -> None:
    keeper, root = competition(train=content)
    with keeper:
        found = typed(lambda: Competition.open(root).train_labels())
        if found is not None:
            assert found.isin([0, 1]).all(axis=None)
            assert list(found.columns) == list(TARGETS)
            assert found.index.is_unique
            assert all(is_uid(uid) for uid in found.index)


@fuzz
@given(boxes)
def test_boxes(content: bytes) -> None:
    keeper, root = competition(train_bounding_boxes=content)
    with keeper:
        found = typed(lambda: Competition.open(root).boxes())
        if found is not None:
            assert np.isfinite(found[list(BOX_COLUMNS)].to_numpy(dtype=float)).all()
            assert all(is_uid(uid) for uid in found[UID])


@fuzz
@given(test_rows)
def test_test_rows(content: bytes) -> None:
    keeper, root = competition(test=content)
    with keeper:
        data = Competition.open(root)
        found = typed(data.test_studies)
        for uid in found or []:
            assert data.images(uid).resolve().parent == (root / "test_images").resolve()


@fuzz
@given(st.tuples(labels, boxes, test_rows, table(("row_id", "fractured"), "1.3_C1,0.5")))
def test_verify_never_fails(contents: tuple[bytes, ...]) -> None:
    names = ("train", "train_bounding_boxes", "test", "sample_submission")
    keeper, root = competition(**dict(zip(names, contents)))
    with keeper:
        report = verify(root)
        assert report.faults  # there are no images, or there is no study
        assert report.as_table()
        assert report.as_json()["clean"] is False


# Configurations

SNIPPETS = [
    "!!python/object/apply:os.system ['touch hacked']", "!!python/name:os.system",
    "!!python/object:common.config.Settings {}", "!!python/module:os", "!!binary x", "!!int ''", "!!float x",
    "!!bool x", "!!timestamp x", "!!set {a}", "!!omap [a: 1]",
    "!!pairs [a: 1]", "2022-99-99", "2022-01-01", "9" * 5000, "0b", "0x", "1:99:1", ".inf", "-.inf", ".nan",
    "1e999", "&a [*a]",
    "&a {b: *a}", "*a", "<<: {lr: 1}", "? [a]", "? {a: b}", "{a: {b: {c: 1}}}", "[" * 3000, "{a: " * 2000, "- " * 2000,
    "---\n---", "%YAML 9.9", "\x00", "\u2028", "null", "~", "yes", "1e-3", "'", '"\\xZZ"', "|", ">",
    "a: b: c", "{", "[",
]  # fmt: skip
KEYS = [
    "data",
    "segment",
    "classify",
    "train",
    "lr",
    "steps",
    "spacing_mm",
    "names",
    "root",
    "run",
    "folds",
    "",
    ".",
    "1",
    "~",
]
scalar = st.one_of(st.sampled_from(SNIPPETS), st.text(max_size=12), st.integers().map(str), st.floats().map(str))
line = st.tuples(st.integers(0, 3), st.sampled_from([*KEYS, "? a", "- a", "x"]), scalar).map(
    lambda t: "  " * t[0] + f"{t[1]}: {t[2]}"
)
yaml_text = st.one_of(
    st.lists(line, max_size=6).map("\n".join),
    scalar,
    st.text(alphabet=string.printable, max_size=40),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)).map(repr),
        lambda inner: st.lists(inner, max_size=3).map(lambda items: "{" + ", ".join(f"a: {i}" for i in items) + "}"),
        max_leaves=6,
    ),
)


def loaded(text: bytes, overrides: list[str]) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_bytes(text)
        found = typed(lambda: load(path, "segment", Stage, overrides))
        assert [p.name for p in Path(folder).iterdir()] == ["a.yaml"]
    if found is not None:
        data, stage = found
        assert isinstance(data, DataSettings)
        assert np.isfinite(stage.train.lr)
        assert stage.train.lr > 0
    return found


@fuzz
@given(st.one_of(yaml_text.map(lambda t: t.encode("utf-8", "surrogatepass")), st.binary(max_size=100)))
def test_configuration(content: bytes) -> None:
    loaded(content, [])


@fuzz
@given(yaml_text.map(lambda t: "\n".join(f"  {x}" for x in t.splitlines())), st.sampled_from(PARTS))
def test_configuration_below_a_part(text: str, part: str) -> None:
    loaded(f"{part}:\n{text}\n".encode("utf-8", "surrogatepass"), [])


dotted = st.lists(st.one_of(st.sampled_from(KEYS), st.text(max_size=4)), max_size=4).map(".".join)
override = st.one_of(
    st.tuples(dotted, scalar).map("=".join), scalar, st.sampled_from(["train.lr=1e-2", "data=5", "segment=5", "=", "a"])
)


@fuzz
@given(st.lists(override, max_size=4))
def test_overrides(overrides: list[str]) -> None:
    loaded(b"", overrides)


@pytest.mark.parametrize("snippet", SNIPPETS)
@pytest.mark.parametrize(
    "place", ["{}", "segment: {}", "segment:\n  train:\n    lr: {}", "segment:\n  train:\n    {}: 1"]
)
def test_every_snippet_everywhere(snippet: str, place: str) -> None:
    loaded(place.replace("{}", snippet).encode(), [])
    loaded(b"", [f"train.lr={snippet}", f"{snippet}=1"])


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_text("segment:\n" + "".join(f"  {text}\n" for text in lines))
        with pytest.raises(ConfigError, match="aliases"):
            load(path, "segment", Stage, [])


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than"):
        load(Path("/dev/zero"), "segment", Stage, [])


@pytest.mark.parametrize("text", ["!!python/object/apply:os.mkdir [hacked]", "!!python/object/new:os.mkdir [[hacked]]"])
def test_no_code_is_run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (text, f"train.lr={text}"):
        with pytest.raises(ConfigError, match="could not determine a constructor"):
            load(None, "segment", Stage, [place if "=" in place else f"kind={place}"])
    assert not list(tmp_path.iterdir())
