"""Notices reach people: on stderr, one line each."""

import io
import sys

import numpy as np
import pytest

from common.errors import NoCervicalLevel, WrongOrientation
from common.outputs.notices import kept_beside, tell
from common.volume import Volume
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.cut import cut_study
from stage2_classify.prediction import Prediction
from stage2_classify.predictions import read_predictions, write_predictions
from stage2_classify.settings import CropSettings


def test_a_notice_is_one_line_on_stderr(capsys):
    tell("1.2.3", ["a slice is missing", "left out:\n2 localizers\r\tand a \x1b[31mreport"])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "notice: 1.2.3: a slice is missing\nnotice: 1.2.3: left out: 2 localizers and a [31mreport\n"


def test_a_notice_clears_the_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    tell("1.2.3", ["repaired"])
    assert sys.stderr.getvalue() == "\r\x1b[Knotice: 1.2.3: repaired\n"


@pytest.mark.parametrize("error, code", [(NoCervicalLevel, 14), (WrongOrientation, 15)])
def test_codes_of_answers_that_are_none(error, code):
    assert error.exit_code == code


def test_notices_of_a_cohort_lie_in_its_crops_and_its_table(tmp_path):
    mask = Volume(np.zeros((4, 4, 4), np.uint8), np.eye(4), ("the mask is aside",))
    ct = Volume(np.zeros((4, 4, 4), np.int16), np.eye(4), ("a slice was missing",))
    crops = cut_study(ct, mask, CropSettings(size_mm=(8, 8, 8), spacing_mm=4))
    crop_files.save(tmp_path / "1.npz", crops)
    said = crop_files.load(tmp_path / "1.npz").notices
    assert said == ("a slice was missing", "the mask is aside")
    answers = [Prediction("1", np.zeros(8), notices=said), Prediction("2", np.zeros(8))]
    write_predictions(tmp_path / "test.csv", answers)
    assert read_predictions(tmp_path / "test.csv")["notices"].fillna("").tolist() == ["; ".join(said), ""]


def test_what_lies_beside_a_mask(tmp_path):
    (tmp_path / "m.json").write_text('{"notices": ["upside down", 3]}')
    assert kept_beside(tmp_path / "m.nii.gz") == ("upside down",)
    for other in ('{"notices": "text"}', "[]", "{", '{"levels": {}}'):
        (tmp_path / "m.json").write_text(other)
        assert kept_beside(tmp_path / "m.nii.gz") == ()
