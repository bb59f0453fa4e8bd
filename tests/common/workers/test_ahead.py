"""Imports beside what computes."""

import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from common.cli.predict import main as predict
from common.cli.request import Request, read_once
from common.page import from_folder
from common.workers.ahead import imports_ahead
from common.writing import asked
from stage1_segment import commands as segment
from stage2_classify import commands as classify


def test_modules_are_imported_in_turn_beside_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing before it is asked for; the block goes on meanwhile, and one that fails keeps none of the others."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("ahead_a", "ahead_b", "ahead_c"):
        text = "raise ValueError" if name == "ahead_b" else "import sys\nsys.ahead.wait(60)"
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "ahead", threading.Event(), raising=False)
    names = ["ahead_a", "ahead_b", "ahead_c"]
    with imports_ahead(names):
        pass
    assert "ahead_a" not in sys.modules
    with imports_ahead(names) as begin:
        futures = begin()
        assert not any(future.done() for future in futures)
        sys.ahead.set()
        futures[-1].result(60)
    assert "ahead_a" in sys.modules and "ahead_b" not in sys.modules and "ahead_c" in sys.modules


def test_the_block_ends_with_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the block"), imports_ahead(["no_such_module"]) as begin:
        begin()
        raise OSError("of the block")


def test_what_is_imported_for_an_output_is_there() -> None:
    """A wrong name would only make it slower, unseen."""
    tables = [home.IMPORTED_FOR for home in (segment, classify, from_folder, asked)]
    for table in (*tables, {"first": segment.IMPORTED_FIRST}):
        for module in (name for names in table.values() for name in names):
            assert find_spec(module) is not None, module


def test_only_what_is_asked_for_is_imported(tmp_path: Path) -> None:
    from common.cli.predict import _imported_later

    steps = [segment, classify]
    dicom, out = tmp_path / "dicom", tmp_path / "out"
    everything = _imported_later(Request(dicom, out), steps)
    assert everything[0] == "stage1_segment.inference.preview" and "common.writing.dicom_seg" in everything
    assert "common.page.page" in everything and "stage2_classify.predictor" in everything
    nifti = _imported_later(Request(tmp_path / "scan.nii.gz", out), steps)
    assert set(everything) - set(nifti) == {
        "common.writing.source", "common.writing.dicom_seg", "common.writing.dicom_sr"
    }  # fmt: skip
    assert _imported_later(Request(dicom, out, outputs=("mask.nii.gz",)), steps) == []


def test_nothing_is_imported_while_the_study_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks' modules are there before, the other ones begin after; a correction needs no network first."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("ahead_first", "ahead_later"):
        (tmp_path / f"{name}.py").write_text("import time\ntime.sleep(0.2)\nready = True")
        monkeypatch.delitem(sys.modules, name, raising=False)
    home = ModuleType("ahead_home")
    home.IMPORTED_FIRST, home.IMPORTED_FOR = ("ahead_first",), {"result.json": ("ahead_later",)}
    monkeypatch.setitem(sys.modules, "ahead_home", home)
    seen = []

    def step(request: Request) -> int:
        return request.read(request.study, None) or 0

    def read(*_: object) -> int:
        seen.append([hasattr(sys.modules.get(name), "ready") for name in ("ahead_first", "ahead_later")])
        return 0

    step.__module__ = "ahead_home"
    monkeypatch.setattr("common.cli.predict.registered", lambda group: {"1-a": step})
    monkeypatch.setattr("common.cli.request._read", read)
    assert predict(["scan", "-o", str(tmp_path / "out"), "--outputs", "result.json"]) == 0
    assert seen == [[True, False]] and sys.modules["ahead_later"].ready
    monkeypatch.delitem(sys.modules, "ahead_first")
    assert predict(["scan", "-o", str(tmp_path / "out"), "--outputs", "result.json", "--levels", "C4=C5"]) == 0
    assert "ahead_first" not in sys.modules


def test_what_is_shown_begins_after_the_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that import highdicom at once find half of it each, its parts needing one another."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ahead_slow.py").write_text("import time\ntime.sleep(0.5)\nready = True")
    monkeypatch.delitem(sys.modules, "ahead_slow", raising=False)
    home = ModuleType("ahead_home")
    home.IMPORTED_FOR = {"result.json": ("ahead_slow",)}
    monkeypatch.setitem(sys.modules, "ahead_home", home)

    def step(request: Request) -> int:
        request.read(request.study, None)
        request.out.mkdir()
        (request.out / "mask.nii.gz").touch()
        return 0

    def begin(*_: object) -> None:
        seen.append(hasattr(sys.modules.get("ahead_slow"), "ready"))

    seen: list[bool] = []
    step.__module__ = "ahead_home"
    monkeypatch.setattr("common.cli.predict.registered", lambda group: {"1-a": step})
    monkeypatch.setattr("common.cli.predict._begin_to_show", begin)
    monkeypatch.setattr("common.cli.request._read", lambda *_: 0)
    assert predict(["scan", "-o", str(tmp_path / "out"), "--outputs", "result.json"]) == 0
    assert seen == [True]


def test_before_and_after_the_study_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr("common.cli.request._read", lambda *asked: done.append(asked) or len(done))
    read = read_once(lambda: done.append("before"), lambda: done.append("after"))
    assert read(tmp_path, None) == read(tmp_path, None) == 2
    assert done == ["before", (tmp_path, None), "after"]
