"""Imports beside what computes."""

import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from common.cli.request import Request, read_once
from common.page import from_folder
from common.workers.ahead import imports_ahead
from common.writing import outputs
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
    for home in (segment, classify, from_folder, outputs):
        for module in (name for names in home.IMPORTED_FOR.values() for name in names):
            assert find_spec(module) is not None, module


def test_only_what_is_asked_for_is_imported(tmp_path: Path) -> None:
    from common.cli.predict import _imported_later

    steps = [segment.answer_study, classify.answer_study]
    dicom, out = tmp_path / "dicom", tmp_path / "out"
    everything = _imported_later(Request(dicom, out), steps)
    assert everything[0] == "stage1_segment.inference.preview" and "common.writing.dicom_seg" in everything
    assert "common.page.page" in everything and "stage2_classify.predictor" in everything
    nifti = _imported_later(Request(tmp_path / "scan.nii.gz", out), steps)
    assert set(everything) - set(nifti) == {
        "common.writing.source", "common.writing.dicom_seg", "common.writing.dicom_sr"
    }  # fmt: skip
    assert _imported_later(Request(dicom, out, outputs=("mask.nii.gz",)), steps) == []


def test_before_the_study_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr("common.cli.request._read", lambda *asked: done.append(asked) or len(done))
    read = read_once(lambda: done.append("before"))
    assert read(tmp_path, None) == read(tmp_path, None) == 2
    assert done == ["before", (tmp_path, None)]
